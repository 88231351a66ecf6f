"""Real workers on a real broker and a real Redis: nothing lost, nothing counted twice."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from redis.asyncio import Redis

from config.redis_url import RedisUrl
from config.segmentation import load_segmentation
from config.settings import Settings
from models.identifiers import CustomerId
from stream.changes import change_schema
from stream.connections import connect_redis
from stream.embedded import EmbeddedRedis, free_port
from stream.feeding import feed_source
from stream.names import Keys
from stream.observer import Observer
from stream.processes import Processes
from stream.sources import SourceEvent
from stream.topics import create_topics

pytestmark = pytest.mark.slow

COUNTS = """
model: {k: 3, min_customers: 50, publish_every_seconds: 1}
features:
  orders: {kind: count, events: [order_completed], scale: linear}
  views: {kind: count, events: [product_viewed], scale: linear}
  spent: {kind: sum, of: value, events: [order_completed], scale: linear}
"""
START_MS = 1_500_000_000_000


class Shop:
    """Events of which the truth is known: who ordered, viewed and spent how much."""

    name = "shop"

    def __init__(self, events: int, *, first: int = 0, customers: int = 120) -> None:
        self.total = events
        self._numbers = range(first, first + events)
        self._customers = customers

    def __iter__(self) -> Iterator[SourceEvent]:
        for number in self._numbers:
            customer = f"c{number * 7 % self._customers}"
            is_order = number % 3 == 0
            content = {
                "event_id": f"e{number}",
                "customer_id": customer,
                "type": "order_completed" if is_order else "product_viewed",
                "timestamp": START_MS + number * 1000,
                "properties": {"value": number % 50} if is_order else {},
            }
            time_ms = START_MS + number * 1000
            yield SourceEvent(customer, time_ms, json.dumps(content).encode())

    def truth(self) -> dict[str, tuple[float, float, float]]:
        """Orders, views and money of each customer."""
        orders: Counter[str] = Counter()
        views: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        for event in self:
            content = json.loads(event.value)
            if content["type"] == "order_completed":
                orders[event.customer_id] += 1
                spent[event.customer_id] += content["properties"]["value"]
            else:
                views[event.customer_id] += 1
        return {
            name: (float(orders[name]), float(views[name]), float(spent[name]))
            for name in orders | views
        }


@pytest.fixture
async def counting(settings: Settings, tmp_path: Path) -> Settings:
    path = tmp_path / "segmentation.yaml"
    path.write_text(COUNTS, encoding="utf-8")
    chosen = settings.model_copy(update={"segmentation": path, "clock": "replay"})
    await create_topics(chosen)
    return chosen


@asynccontextmanager
async def running(settings: Settings, directory: Path) -> AsyncIterator[Processes]:
    processes = Processes(settings, directory)
    try:
        yield processes
    finally:
        await processes.stop()


async def until(condition: Callable[[], Awaitable[bool]], processes: Processes) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            processes.check()
            await asyncio.sleep(0.02)


async def until_shared(processes: Processes) -> None:
    """Wait until two workers, one and two, own two partitions each."""

    async def is_shared() -> bool:
        owned = [
            (await processes.scrape(name)).total("shoal_partitions_assigned")
            for name in ("one", "two")
        ]
        return owned == [2, 2]

    await processes.until_ready()
    await until(is_shared, processes)


async def counted(settings: Settings) -> dict[str, tuple[float, float, float]]:
    """Orders, views and money of each customer, as their profiles in Redis say."""
    schema = load_segmentation(settings.segmentation).profile_schema()
    keys = Keys(settings.namespace)
    found: dict[str, tuple[float, float, float]] = {}
    redis: Any = connect_redis(settings)
    try:
        for partition in range(settings.partitions):
            prefix = keys.profile_prefix(partition)
            async for key in redis.scan_iter(match=prefix.replace("{", "\\{") + "*", count=1000):
                rows = schema.decode([await redis.get(key)])
                orders, views, spent = schema.vectors(rows, START_MS)[0].tolist()
                found[key.decode().removeprefix(prefix)] = (orders, views, spent)
    finally:
        await redis.aclose()
    return found


async def test_a_worker_and_the_trainer_put_everybody_in_a_segment(
    counting: Settings, tmp_path: Path, redis: Redis
) -> None:
    shop = Shop(3_000)
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        await processes.until_ready()
        await feed_source(shop, counting)

        async def is_done() -> bool:
            return await observer.handled() == 3_000 and await observer.is_settled()

        await until(is_done, processes)
        report = await observer.segments()
        changes = [json.loads(change) for change in await observer.changes()]
        contract = jsonschema.Draft202012Validator(change_schema())
        for change in changes:
            contract.validate(change)
        assert await counted(counting) == shop.truth()
        assert report.customers == 120
        assert report.unassigned == 0
        assert sum(row.size for row in report.segments) == 120
        last: dict[str, dict[str, Any]] = {}
        versions: dict[str, list[int]] = {}
        for change in changes:
            data = change["data"]
            versions.setdefault(change["subject"], []).append(data["version"])
            last[change["subject"]] = data
        assert all(seen == list(range(1, len(seen) + 1)) for seen in versions.values())
        for name, data in last.items():
            page: Any = await redis.hgetall(Keys(counting.namespace).segment(CustomerId(name)))
            assert page[b"id"].decode() == data["to"]["id"]
            assert int(page[b"version"]) == data["version"]
        assert await processes.stop() == {"worker": 0, "trainer": 0}


async def test_a_worker_that_starts_into_a_backlog_scores_from_its_first_event_on(
    counting: Settings, tmp_path: Path
) -> None:
    before, backlog = Shop(3_000), Shop(1_200, first=3_000, customers=300)
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        await processes.until_ready()
        await feed_source(before, counting)
        await until(observer.is_settled, processes)
        await processes.stop()
        await feed_source(backlog, counting)
        processes.start_worker("worker", free_port())

        async def is_done() -> bool:
            return await observer.handled() == 4_200

        await until(is_done, processes)
        await processes.stop()
        told = [json.loads(change)["data"] for change in await observer.changes()]
    known = {event.customer_id for event in before}
    entered = [data for data in told if data["from"] is None and data["customer_id"] not in known]
    assert len(entered) == 180
    assert {data["reason"] for data in entered} == {"event"}


async def test_two_workers_share_the_partitions(counting: Settings, tmp_path: Path) -> None:
    shop = Shop(2_000)
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start_worker("one", free_port())
        processes.start_worker("two", free_port())
        await until_shared(processes)
        await feed_source(shop, counting)

        async def is_done() -> bool:
            return await observer.handled() == 2_000

        await until(is_done, processes)
        assert await counted(counting) == shop.truth()


async def test_a_worker_that_is_killed_goes_on_where_it_was(
    counting: Settings, tmp_path: Path
) -> None:
    shop = Shop(6_000)
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start_worker("worker", free_port())
        await processes.until_ready()
        feeding = asyncio.create_task(feed_source(shop, counting, wait=_slowly))

        async def is_under_way() -> bool:
            return await observer.handled() > 1_500

        await until(is_under_way, processes)
        processes.kill("worker")
        processes.start_worker("worker", free_port())
        await feeding

        async def is_done() -> bool:
            return await observer.handled() == 6_000

        await until(is_done, processes)
        assert await counted(counting) == shop.truth()


@pytest.mark.apache
async def test_a_dynamic_worker_that_is_killed_is_inherited_from(
    counting: Settings, tmp_path: Path
) -> None:
    shop = Shop(6_000)
    quick = counting.model_copy(update={"session_timeout_seconds": 6.0})
    async with running(quick, tmp_path) as processes, Observer(quick) as observer:
        processes.start_worker("one", free_port(), static=False)
        processes.start_worker("two", free_port(), static=False)
        await until_shared(processes)
        feeding = asyncio.create_task(feed_source(shop, quick, wait=_slowly))

        async def is_under_way() -> bool:
            return await observer.handled() > 1_500

        await until(is_under_way, processes)
        processes.kill("one")
        await feeding

        async def is_done() -> bool:
            return await observer.handled() == 6_000

        await until(is_done, processes)
        assert (await processes.scrape("two")).total("shoal_partitions_assigned") == 4
        assert await counted(quick) == shop.truth()


async def test_a_redis_that_is_killed_is_waited_for(counting: Settings, tmp_path: Path) -> None:
    shop = Shop(6_000)
    with EmbeddedRedis(tmp_path / "redis") as server:
        own = counting.model_copy(update={"redis": RedisUrl(server.url)})
        async with running(own, tmp_path) as processes, Observer(own) as observer:
            port = free_port()
            processes.start_worker("worker", port)
            await processes.until_ready()
            feeding = asyncio.create_task(feed_source(shop, own, wait=_slowly))

            async def is_under_way() -> bool:
                return await observer.handled() > 1_500

            await until(is_under_way, processes)
            server.kill()

            async def has_noticed() -> bool:
                return (await processes.scrape("worker")).total("shoal_redis_errors_total") > 0

            await until(has_noticed, processes)
            server.start()
            await feeding

            async def is_done() -> bool:
                return await observer.handled() == 6_000

            await until(is_done, processes)
            assert await counted(own) == shop.truth()


async def test_the_faust_command_starts_a_worker_too(counting: Settings, tmp_path: Path) -> None:
    shop = Shop(500)
    command = (sys.executable, "-m", "faust", "-A", "stream.app", "worker", "--without-web")
    async with running(counting, tmp_path) as processes, Observer(counting) as observer:
        processes.start("faust", command, port=free_port(), member="faust")
        await processes.until_ready()
        await feed_source(shop, counting)

        async def is_done() -> bool:
            return await observer.handled() == 500

        await until(is_done, processes)
        assert await counted(counting) == shop.truth()


async def _slowly(_: int) -> None:
    await asyncio.sleep(0.1)
