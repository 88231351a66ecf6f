"""Another segmentation file, another version: what was counted goes on, or nothing is touched."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from config.segmentation import load_segmentation
from config.settings import Settings
from models.accumulators import update
from models.formats import FORMAT
from models.identifiers import CustomerId
from models.profiles import ProfileSchema
from stream.batches import Reading, columns_of, read_batch
from stream.catalogue import Catalogue
from stream.embedded import free_port
from stream.feeding import feed_source
from stream.money import Money
from stream.names import Keys
from stream.observer import Observer
from stream.partitions import partitioner
from stream.processes import Processes
from stream.topics import create_topics
from tests.integration.counting_shop import COUNTS, START_MS, Shop, running, until
from tests.models.former_profiles import stored_before
from tests.stream.lane_kit import record, two_segments

pytestmark = pytest.mark.slow

LATER = """
model: {k: 3, min_customers: 50, publish_every_seconds: 1}
features:
  orders: {kind: count, events: [order_completed], scale: linear}
  spent: {kind: sum, of: value, events: [order_completed], half_life_days: 0.01, scale: linear}
  last_order: {kind: recency, events: [order_completed]}
"""
"""Features taken away, with another half-life, and new."""

FUTURE = FORMAT + 1
END_MS = START_MS + 10_000_000
Profiles = dict[str, list[float]]


@pytest.fixture
async def older(settings: Settings, tmp_path: Path) -> Settings:
    await create_topics(settings)
    return with_features(settings, tmp_path / "older.yaml", COUNTS)


@pytest.fixture
def later(older: Settings, tmp_path: Path) -> Settings:
    return with_features(older, tmp_path / "later.yaml", LATER)


def with_features(settings: Settings, path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return settings.model_copy(update={"segmentation": path, "clock": "replay"})


def schema_of(settings: Settings) -> ProfileSchema:
    return load_segmentation(settings.segmentation).profile_schema()


@asynccontextmanager
async def worker(
    settings: Settings, directory: Path, name: str = "worker"
) -> AsyncIterator[Processes]:
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    async with running(settings, directory) as processes:
        processes.start_worker(name, free_port())
        await processes.until_ready()
        yield processes


async def feed(shop: Shop, settings: Settings, processes: Processes, total: int) -> None:
    """Send the shop's events, and wait until so many of the namespace are counted."""
    async with Observer(settings) as observer:
        await feed_source(shop, settings)

        async def is_done() -> bool:
            return await observer.handled() == total

        await until(is_done, processes)


async def profiles(settings: Settings, redis: Redis) -> Profiles:
    """Vector of each customer, by the settings' features, as their profiles in Redis say."""
    schema, keys = schema_of(settings), Keys(settings.namespace)
    for schema_id, layout in (await Catalogue(redis, keys).schemas()).items():
        schema.learn_layout(schema_id, layout)
    found: Profiles = {}
    untyped: Any = redis
    async for key in untyped.scan_iter(f"{settings.namespace}:profile:*", count=1000):
        rows = schema.decode([await untyped.get(key)])
        found[keys.place(key.decode())[1]] = schema.vectors(rows, END_MS)[0].tolist()
    return found


def counted_by(parts: Iterable[tuple[ProfileSchema, Shop]]) -> Profiles:
    """The same from the core alone: shops counted one after the other, each by its schema."""
    blobs: dict[str, bytes] = {}
    known: list[ProfileSchema] = []
    for schema, shop in parts:
        for former in known:
            schema.learn_layout(former.id, former.layout)
        known.append(schema)
        reading = Reading(Money("EUR"), dict(schema.types), lambda _: 0, correct_skew=False)
        batch = read_batch(
            [record(at, event.value) for at, event in enumerate(shop)],
            partition=0,
            now_ms=END_MS,
            known=(),
            reading=reading,
        )
        rows = schema.decode([blobs.get(name) for name in batch.customers])
        update(schema, rows, columns_of([batch], reading))
        blobs |= zip(batch.customers, schema.encode(rows), strict=True)
    vectors = known[-1].vectors(known[-1].decode(list(blobs.values())), END_MS).tolist()
    return dict(zip(blobs, vectors, strict=True))


def assert_alike(found: Profiles, expected: Profiles) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()))


async def dump(settings: Settings, redis: Redis) -> dict[bytes, bytes]:
    """Everything that Redis holds of the namespace."""
    untyped: Any = redis
    names = [name async for name in untyped.scan_iter(f"{settings.namespace}:*", count=1000)]
    return {name: await untyped.dump(name) for name in names}


async def last_line(processes: Processes, name: str = "worker") -> str:
    """What a process says last, once it has ended with exit code 2."""

    async with asyncio.timeout(30):
        while name not in processes.ended():  # noqa: ASYNC110 - a process, not a task
            await asyncio.sleep(0.02)
    assert processes.ended()[name] == 2
    assert "Traceback" not in processes.last_words(name)
    return processes.last_words(name).rpartition(" | ")[2]


async def test_another_segmentation_file_goes_on_with_what_was_counted(
    older: Settings, later: Settings, tmp_path: Path, redis: Redis
) -> None:
    first, second = Shop(1_000), Shop(1_000, first=1_000)
    async with worker(older, tmp_path / "a") as processes:
        await feed(first, older, processes, 1_000)
    assert_alike(
        await profiles(later, redis),
        counted_by([(schema_of(older), first), (schema_of(later), Shop(0))]),
    )
    async with worker(later, tmp_path / "b") as processes:
        await feed(second, later, processes, 2_000)
    found = await profiles(later, redis)
    assert_alike(found, counted_by([(schema_of(older), first), (schema_of(later), second)]))
    orders = {name: row[0] for name, row in found.items()}
    assert orders == {name: counts[0] for name, counts in Shop(2_000).truth().items()}


async def test_profiles_of_the_format_before_are_counted_on(
    older: Settings, tmp_path: Path, redis: Redis
) -> None:
    first, second = Shop(1_000), Shop(1_000, first=1_000)
    async with worker(older, tmp_path / "a") as processes:
        await feed(first, older, processes, 1_000)
    schema = schema_of(older)
    untyped: Any = redis
    async for key in untyped.scan_iter(f"{older.namespace}:profile:*", count=1000):
        rows = schema.decode([await untyped.get(key)])
        await untyped.set(key, stored_before(schema, rows, 2)[0])
    async with worker(older, tmp_path / "b") as processes:
        await feed(second, older, processes, 2_000)
    assert_alike(
        await profiles(older, redis), counted_by([(schema, first), (schema_of(older), second)])
    )


async def test_workers_with_two_segmentation_files_lose_nothing_that_both_know(
    older: Settings, later: Settings, tmp_path: Path, redis: Redis
) -> None:
    async with (
        worker(older, tmp_path / "a", "one") as old,
        worker(later, tmp_path / "b", "two") as new,
    ):

        async def is_shared() -> bool:
            return await owned(old, "one") == await owned(new, "two") == 2

        await until(is_shared, old)
        await feed(Shop(1_000), older, new, 1_000)
        # Taken back: the old file reads what the new one has stored.
        await new.stop("two")
        back = Processes(older, tmp_path / "b")
        try:
            back.start_worker("two", free_port())
            await back.until_ready()
            await feed(Shop(1_000, first=1_000), older, back, 2_000)
        finally:
            await back.stop()
    orders = {name: row[0] for name, row in (await profiles(older, redis)).items()}
    assert orders == {name: counts[0] for name, counts in Shop(2_000).truth().items()}


async def owned(processes: Processes, name: str) -> float:
    return (await processes.scrape(name)).total("shoal_partitions_assigned")


async def test_a_worker_does_not_start_on_the_state_of_a_newer_version(
    older: Settings, tmp_path: Path, redis: Redis
) -> None:
    async with worker(older, tmp_path / "a") as processes:
        await feed(Shop(100), older, processes, 100)
    await redis.hset(Keys(older.namespace).deployment, "format", FUTURE)
    before = await dump(older, redis)
    async with running(older, tmp_path) as processes:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        for name in ("worker", "trainer"):
            assert await last_line(processes, name) == (
                f"error: the state in Redis has format {FUTURE}, this Shoal reads {FORMAT}: "
                "run the version that wrote it, or a newer one"
            )
    assert await dump(older, redis) == before


async def test_a_worker_that_runs_ends_when_a_newer_version_has_begun(
    older: Settings, tmp_path: Path, redis: Redis
) -> None:
    keys = Keys(older.namespace)
    async with worker(older, tmp_path / "a") as processes:
        await feed(Shop(100), older, processes, 100)
        await redis.hset(keys.deployment, "format", FUTURE)
        # The next step of each lane is refused, so the lane is claimed anew.
        for partition in range(older.partitions):
            await redis.hincrby(keys.lane(partition), "seq", 2)
        await feed_source(Shop(100, first=100), older)
        assert f"the state in Redis has format {FUTURE}" in await last_line(processes)


async def test_a_profile_of_a_newer_version_ends_the_worker_before_it_writes(
    older: Settings, tmp_path: Path, redis: Redis
) -> None:
    keys = Keys(older.namespace)
    partition = partitioner(older.partitioner, older.partitions)(b"c0")
    profile, future = keys.profile(partition, CustomerId("c0")), bytes([FUTURE]) + b"new"
    await redis.set(profile, future)
    untyped: Any = redis
    async with worker(older, tmp_path / "a") as processes:
        before = await untyped.hgetall(keys.lane(partition))
        await feed_source(Shop(1), older)
        assert f"error: a stored profile has format {FUTURE}" in await last_line(processes)
        assert await untyped.hgetall(keys.lane(partition)) == before
    assert await redis.get(profile) == future


async def test_a_model_of_a_newer_version_ends_worker_and_trainer(
    older: Settings, tmp_path: Path, redis: Redis
) -> None:
    keys = Keys(older.namespace)
    current = two_segments(7).to_json().replace(b'"format":%d' % FORMAT, b'"format":%d' % FUTURE)
    async with worker(older, tmp_path / "a") as processes:
        await redis.set(keys.model(7), current)
        await redis.set(keys.model_current(), 7)
        told = f"error: the stored model has format {FUTURE}, this Shoal reads {FORMAT}: run the "
        assert (await last_line(processes)).startswith(told)
    async with running(older, tmp_path) as processes:
        processes.start_trainer("trainer", free_port())
        assert (await last_line(processes, "trainer")).startswith(told)
    assert await redis.get(keys.model_current()) == b"7"
