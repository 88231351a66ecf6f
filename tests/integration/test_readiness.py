"""A worker and a trainer say within two seconds that a server is away, and go on by themselves."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from config.redis_url import RedisUrl
from config.settings import Settings
from stream.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from stream.feeding import feed_source
from stream.observer import Observer
from stream.processes import Processes
from stream.server_process import EmbeddedServer
from stream.topics import create_topics
from stream.waiting import Server
from tests.apache_kafka import KafkaKind
from tests.integration.counting_shop import COUNTS, Shop, counted, running, until

pytestmark = pytest.mark.slow

PROMISED_SECONDS = 2.0
EVENTS = 1_000
PROCESSES = ("worker", "trainer")


@dataclass
class Place:
    """Servers that may be broken, and a worker and a trainer on them."""

    servers: dict[Server, EmbeddedServer]
    settings: Settings
    ports: dict[str, int]

    async def start(self, processes: Processes) -> None:
        await create_topics(self.settings)
        processes.start_worker("worker", self.ports["worker"])
        processes.start_trainer("trainer", self.ports["trainer"])
        await processes.until_ready()

    async def statuses(self) -> set[int]:
        """What /readyz answers, of both."""
        return set(await asyncio.gather(*[self._status(port) for port in self.ports.values()]))

    async def _status(self, port: int) -> int:
        url = f"http://127.0.0.1:{port}/readyz"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status

    async def until_all_say(self, status: int, processes: Processes) -> None:
        async def is_said() -> bool:
            return await self.statuses() == {status}

        await until(is_said, processes)


@pytest.fixture
def place(kafka_kind: KafkaKind, tmp_path: Path) -> Iterator[Place]:
    segmentation = tmp_path / "segmentation.yaml"
    segmentation.write_text(COUNTS, encoding="utf-8")
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(tmp_path / "redis"))
        kafka = stack.enter_context(kafka_kind(tmp_path / "kafka"))
        settings = Settings(
            kafka=kafka.address,
            redis=RedisUrl(redis.url),
            partitions=4,
            segmentation=segmentation,
            clock="replay",
        )
        ports = {name: free_port() for name in PROCESSES}
        yield Place({"redis": redis, "kafka": kafka}, settings, ports)


def strike(server: EmbeddedServer, fault: str) -> None:
    if fault == "frozen":
        server.freeze()
    elif isinstance(server, EmbeddedKafka):
        server.stop()  # a kill would lose its last second of records
    else:
        server.kill()


def mend(server: EmbeddedServer) -> None:
    server.thaw()
    server.start()


async def waited(processes: Processes, name: str) -> dict[str, float]:
    """Seconds that a process has waited for each server."""
    samples = (await processes.scrape(name)).samples
    return {
        dict(labels)["server"]: value
        for (sample, labels), value in samples.items()
        if sample == "shoal_waiting_seconds_total"
    }


@pytest.mark.parametrize("fault", ["dead", "frozen"])
@pytest.mark.parametrize("name", ["redis", "kafka"])
async def test_a_server_that_goes_away_is_noticed_in_two_seconds_and_waited_for(
    name: Server, fault: str, place: Place, tmp_path: Path
) -> None:
    server = place.servers[name]
    async with running(place.settings, tmp_path) as processes, Observer(place.settings) as observer:
        await place.start(processes)
        await feed_source(Shop(EVENTS), place.settings)

        async def is_handled() -> bool:
            return await observer.handled() == fed

        fed = EVENTS
        await until(is_handled, processes)
        assert await place.statuses() == {200}

        strike(server, fault)
        struck_at = monotonic()
        await place.until_all_say(503, processes)
        assert monotonic() - struck_at < PROMISED_SECONDS

        for process in PROCESSES:
            before = await waited(processes, process)

            async def is_waiting() -> bool:
                now = await waited(processes, process)  # noqa: B023 - awaited at once
                return now[name] > before[name]  # noqa: B023 - awaited at once

            await until(is_waiting, processes)
        assert await place.statuses() == {503}
        mend(server)
        await place.until_all_say(200, processes)
        away_seconds = monotonic() - struck_at

        await feed_source(Shop(EVENTS, first=EVENTS), place.settings)
        fed = 2 * EVENTS
        await until(is_handled, processes)
        assert await counted(place.settings) == Shop(2 * EVENTS).truth()
        for process in PROCESSES:
            seconds = await waited(processes, process)
            assert {waited_for for waited_for in seconds if seconds[waited_for] > 0} == {name}
            assert seconds[name] < away_seconds


async def test_who_got_no_partition_stands_by_and_is_ready(place: Place, tmp_path: Path) -> None:
    one = place.settings.model_copy(update={"partitions": 1})
    await create_topics(one)
    async with running(one, tmp_path) as processes:
        for name in ("one", "two"):
            processes.start_worker(f"worker-{name}", free_port())
            processes.start_trainer(f"trainer-{name}", free_port())
        await processes.until_ready()

        async def is_shared_out() -> bool:
            scrapes = [await processes.scrape(f"worker-{name}") for name in ("one", "two")]
            return sorted(s.total("shoal_partitions_assigned") for s in scrapes) == [0, 1]

        await until(is_shared_out, processes)
        await processes.until_ready()
