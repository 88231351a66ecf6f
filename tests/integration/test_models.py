"""Models on real servers: what is kept, what is told, and the way back while everything runs."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config.segmentation import load_segmentation
from config.settings import Settings
from models.assignment import assign
from models.identifiers import CustomerId
from models.snapshots import Snapshot
from stream.catalogue import KEPT_MODELS, Catalogue, StaleTrainerError
from stream.connections import connect_redis
from stream.embedded import free_port
from stream.feeding import feed_source
from stream.log import log_ends, read_log
from stream.model_events import model_schema
from stream.names import Keys, Topics
from stream.observer import Observer
from stream.partitions import partitioner
from stream.processes import Processes
from stream.redis_store import RedisStore
from stream.sources import SourceEvent
from stream.together import cancelled
from tests.integration.counting_shop import START_MS, running, until
from tests.integration.test_store import connected

QUIET_FROM = 900
CUSTOMERS, BUSY, KEEN = 300, 120, 5
SERVERS = ["redis_server", "redis_itself", "cluster"]


@pytest.fixture(params=SERVERS)
async def catalogue(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Catalogue]:
    async with connected(request) as client:
        yield Catalogue(client, Keys(namespace))


async def publish(catalogue: Catalogue, version: int, epoch: int, **how: Any) -> None:
    blob = f"model {version} of epoch {epoch}".encode()
    await catalogue.publish_model(
        blob, version=version, epoch=epoch, segments={}, segmentation="default", **how
    )


async def test_the_last_fifty_models_are_kept_whatever_versions_were_left_out(
    catalogue: Catalogue,
) -> None:
    assert await catalogue.models("default") == {}
    epoch = await catalogue.claim_training("default")
    previous = 0
    for version in [*range(1, 61), 70, *range(71, 75), 500]:
        await publish(catalogue, version, epoch, previous=previous)
        previous = version
        kept = await catalogue.models("default")
        assert max(kept) == version
        assert len(kept) <= KEPT_MODELS
        everything = (
            [at for at in range(1, version + 1) if await catalogue.model(at, "default") is not None]
            if version in {60, 74, 500}
            else list(kept)
        )
        assert list(kept) == everything


async def test_a_rollback_fences_the_trainer_and_holds_until_it_is_released(
    catalogue: Catalogue,
) -> None:
    epoch = await catalogue.claim_training("default")
    await publish(catalogue, 1, epoch)
    for _ in range(2):  # the reply to the first was lost
        await publish(catalogue, 2, epoch, hold=7)
    told = await catalogue.training("default")
    assert (told["epoch"], told["hold"]) == (epoch + 1, epoch + 1)
    with pytest.raises(StaleTrainerError):
        await publish(catalogue, 2, epoch, hold=8)  # the same bytes, but another operator's
    with pytest.raises(StaleTrainerError):
        await publish(catalogue, 3, epoch)
    # A trainer whose own model 2 came too late must not take the other for it.
    with pytest.raises(StaleTrainerError):
        await catalogue.publish_model(
            b"another 2", version=2, epoch=epoch, segments={}, segmentation="default"
        )
    await catalogue.claim_training("default")
    assert "hold" in await catalogue.training("default")
    assert await catalogue.release("default")
    assert not await catalogue.release("default")
    assert "hold" not in await catalogue.training("default")


class Seasons:
    """A shop with an event a minute, where only the first `BUSY` customers come after some hours.

    Until then one in five comes eleven times, the others once. Later that is no difference any
    more, compared with how often the busy ones come.
    """

    name = "seasons"

    def __init__(self, events: int, *, first: int = 0) -> None:
        self.total = events
        self._numbers = range(first, first + events)

    def __iter__(self) -> Iterator[SourceEvent]:
        for number in self._numbers:
            who, time_ms = self._who(number), START_MS + number * 60_000
            is_order = who % 3 == 0
            content = {
                "event_id": f"e{number}",
                "customer_id": f"c{who}",
                "type": "order_completed" if is_order else "product_viewed",
                "timestamp": time_ms,
                "properties": {"value": 20} if is_order else {},
            }
            yield SourceEvent(f"c{who}", time_ms, json.dumps(content).encode())

    @staticmethod
    def _who(number: int) -> int:
        if number >= QUIET_FROM:
            return number * 7 % BUSY
        return number if number < CUSTOMERS else number * KEEN % CUSTOMERS


async def quiet_who_would_move(settings: Settings, model: Snapshot) -> int:
    """How many of the customers who do not come any more would leave their segment by a model."""
    config = load_segmentation(settings.segmentation)
    schema = config.profile_schema()
    segmentation = config.groupings(schema)[0]
    place = partitioner(settings.partitioner, settings.partitions)
    redis = connect_redis(settings)
    try:
        store = RedisStore(redis, Keys(settings.namespace))
        blobs = [
            (await store.profiles(place(name.encode()), [name]))[0]
            for name in (CustomerId(f"c{who}") for who in range(CUSTOMERS))
        ]
    finally:
        await redis.aclose()
    rows = schema.decode(blobs)
    vectors = segmentation.vectors(rows, int(rows["last_ms"].max()))
    current = rows["segment"][:, segmentation.index]
    moves = (assign(model, vectors, current).segment != current) & (current > 0)
    return int(moves[BUSY:].sum())


async def models_told(settings: Settings) -> list[dict[str, Any]]:
    topic = Topics(settings.namespace).models
    ends = await log_ends(settings, topic, [0])
    return [
        json.loads(record.value)
        async for _, records in read_log(settings, topic, ends)
        for record in records
    ]


async def assert_everybody_is_back(observer: Observer, version: int, model: Snapshot) -> None:
    """By that version customers moved, also without an event, and into segments of that model."""
    changes = [json.loads(change)["data"] for change in await observer.changes()]
    moved = [data for data in changes if data["model_version"] == version]
    assert "model" in {data["reason"] for data in moved}
    assert {data["to"]["id"] for data in moved} <= {segment.id for segment in model.segments}


async def assert_all_are_told(
    settings: Settings, versions: list[int], processes: Processes
) -> None:
    """Wait until every version was told, and compare what was told with the contract."""

    async def all_are_told() -> bool:
        told = {event["data"]["version"] for event in await models_told(settings)}
        return told >= set(versions)

    await until(all_are_told, processes)
    told = await models_told(settings)
    contract = jsonschema.Draft202012Validator(model_schema())
    for event in told:
        contract.validate(event)
    seen = [event["data"]["version"] for event in told]
    assert seen == sorted(seen)
    assert len({event["id"] for event in told}) == len({json.dumps(event) for event in told})


async def shoal(settings: Settings, *words: str) -> str:
    """What a command prints."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
    result = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream.cli", *words],
        env=plain | settings.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
async def test_a_rollback_under_load_is_taken_over_and_held_and_released(
    counting: Settings,
    tmp_path: Path,
) -> None:
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        await processes.until_ready()
        catalogue = observer.catalogue

        async def version_above(version: int) -> bool:
            current: int = await catalogue.model_version("default")
            return current > version

        await feed_source(Seasons(QUIET_FROM), counting)
        await until(lambda: version_above(0), processes)

        async def wait(_: int) -> None:
            await asyncio.sleep(0.1)

        going_on = feed_source(Seasons(90_000, first=QUIET_FROM), counting, wait=wait)
        feeding = asyncio.create_task(going_on)
        await until(lambda: version_above(2), processes)
        first = Snapshot.from_json(await catalogue.model(1, "default") or b"")

        async def makes_a_difference() -> bool:
            return await quiet_who_would_move(counting, first) > 0

        await until(makes_a_difference, processes)
        said = await shoal(counting, "models", "rollback", "1")
        history = json.loads(await shoal(counting, "models", "list", "--json"))
        newest = history["models"][-1]
        rolled = newest["version"]
        assert f"model {rolled} is in force" in said
        assert (newest["reason"], newest["restored"], newest["in_force"]) == ("rollback", 1, True)
        assert history["held"]

        async def workers_follow() -> bool:
            scrape = await processes.scrape("worker")
            return bool(scrape.total("shoal_model_version") == rolled)

        await until(workers_follow, processes)
        before = (await processes.scrape("trainer")).total("shoal_trainer_updates_total")

        async def trainer_learns() -> bool:
            scrape = await processes.scrape("trainer")
            news = scrape.total("shoal_trainer_updates_total") - before
            return news > 300 and scrape.total("shoal_models_held") == 1

        await until(trainer_learns, processes)
        await cancelled(feeding)
        await until(observer.is_settled, processes)
        assert await catalogue.model_version("default") == rolled
        await assert_everybody_is_back(observer, rolled, first)

        assert "publishes again" in await shoal(counting, "models", "release")
        await feed_source(Seasons(9_000, first=QUIET_FROM + 90_000), counting)
        await until(lambda: version_above(rolled), processes)
        await until(observer.is_settled, processes)
        latest = json.loads(await shoal(counting, "models", "list", "--json"))
        assert not latest["held"]
        versions = [model["version"] for model in latest["models"]]
        assert versions == list(range(1, len(versions) + 1))

        await assert_all_are_told(counting, versions, processes)
        assert (await processes.stop()) == {"worker": 0, "trainer": 0}
