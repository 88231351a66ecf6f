"""Real workers on a real broker and a real Redis: nothing lost, nothing counted twice."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from redis.asyncio import Redis

from config.redis_url import RedisUrl
from config.settings import Settings
from models.identifiers import CustomerId
from stream.changes import change_schema
from stream.embedded import EmbeddedRedis, free_port
from stream.feeding import feed_source
from stream.names import Keys
from stream.observer import Observer
from stream.processes import Processes
from tests.integration.counting_shop import Shop, counted, running, until

pytestmark = pytest.mark.slow


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
