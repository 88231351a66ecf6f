"""Tastes on their way to Redis and back."""

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.clock import DAY_MS
from models.tastes import HALF_LIFE_DAYS, weight
from stream import tastes
from stream.names import Keys
from stream.tastes import TasteCollector, load_tastes

NOW_MS = 1_700_000_000_000
SEGMENTS = ["default", "value"]


@pytest.fixture
def keys(namespace: str) -> Keys:
    return Keys(namespace)


def add(
    collector: TasteCollector, segment: int, category: str, n: int, now_ms: int = NOW_MS
) -> None:
    collector.add(
        np.full((n, 2), [segment, 9]),
        category_event=np.arange(n),
        categories=[category] * n,
        channels=["app" if segment == 1 else None] * n,
        hours=np.full(n, 20 + segment),
        now_ms=now_ms,
    )


async def test_what_was_counted_is_read_by_segmentation_segment_and_kind(
    redis: Redis, keys: Keys
) -> None:
    for segment, category in ((1, "tea:green"), (2, "cups")):
        collector = TasteCollector(redis, keys, SEGMENTS)
        add(collector, segment, category, 200)
        await collector.flush()
    found = await load_tastes(redis, keys, "default", NOW_MS)
    assert {
        number: {kind: [p.value for p in preferred] for kind, preferred in kinds.items()}
        for number, kinds in found.items()
    } == {
        1: {"categories": ["tea:green"], "hours": ["21"]},
        2: {"categories": ["cups"], "hours": ["22"]},
    }
    assert await load_tastes(redis, keys, "value", NOW_MS) == {}
    assert await load_tastes(redis, keys, "other", NOW_MS) == {}


async def test_several_collectors_add_to_one_count_that_fades(redis: Redis, keys: Keys) -> None:
    for _ in range(2):
        collector = TasteCollector(redis, keys, SEGMENTS)
        add(collector, 1, "tea", 100)
        await collector.flush()
    later = NOW_MS + HALF_LIFE_DAYS * DAY_MS
    add(collector, 1, "tea", 100, later)
    await collector.flush()
    score = await redis.zscore(keys.tastes("default", "categories"), "1:tea")
    assert score == pytest.approx(200 * weight(later))


async def test_only_the_largest_counts_are_kept(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tastes, "MAX_KEPT", 3)
    collector = TasteCollector(redis, keys, SEGMENTS)
    for n, category in enumerate(["a", "b", "c", "d", "e"]):
        add(collector, 1, category * 500, n + 1)
    await collector.flush()
    kept = await redis.zrange(keys.tastes("default", "categories"), 0, -1)
    assert kept == [b"1:" + category * tastes.MAX_VALUE for category in (b"c", b"d", b"e")]


async def test_it_is_due_when_much_waits_or_time_has_passed(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = TasteCollector(redis, keys, SEGMENTS)
    monkeypatch.setattr(tastes, "FLUSH_SECONDS", 0.0)
    assert not collector.is_due
    add(collector, 1, "tea", 1)
    assert collector.is_due
    monkeypatch.setattr(tastes, "FLUSH_SECONDS", 1e9)
    assert not collector.is_due
    monkeypatch.setattr(tastes, "MAX_WAITING", 4)
    assert collector.is_due
    await collector.flush()
    assert not collector.is_due


async def test_what_cannot_be_flushed_is_not_flushed_twice(redis: Redis, keys: Keys) -> None:
    collector = TasteCollector(redis, keys, ["default"])
    add_one = np.array([[1]])
    await redis.set(keys.tastes("default", "hours"), "no sorted set")
    collector.add(
        add_one,
        category_event=np.array([0]),
        categories=["tea"],
        channels=[None],
        hours=np.array([3]),
        now_ms=NOW_MS,
    )
    with pytest.raises(RedisError):
        await collector.flush()
    assert not collector.is_due
