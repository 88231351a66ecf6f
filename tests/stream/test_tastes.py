"""Tastes on their way to Redis and back."""

from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.clock import DAY_MS
from models.identifiers import CustomerId
from models.tastes import HALF_LIFE_DAYS, KINDS, weight
from stream import tastes
from stream.events import ParsedEvent
from stream.names import Keys
from stream.tastes import TasteCollector, load_tastes

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
MIDNIGHT_MS = 18_993 * 24 * HOUR_MS
SEGMENTS = ["default", "value"]


@pytest.fixture
def keys(namespace: str) -> Keys:
    return Keys(namespace)


def add(
    collector: TasteCollector, segment: int, category: str, n: int, now_ms: int = NOW_MS
) -> None:
    channel = "app" if segment == 1 else None
    events = [event((category,), channel, hour=20 + segment)] * n
    collector.add(np.full((n, 2), [segment, 9]), events, now_ms)


def event(categories: tuple[str, ...], channel: str | None, *, hour: int) -> ParsedEvent:
    return ParsedEvent(
        event_id="e",
        customer_id=CustomerId("ann"),
        type="page_view",
        time_ms=MIDNIGHT_MS + hour * HOUR_MS,
        session_id=None,
        value=0.0,
        quantity=0.0,
        discounted=False,
        categories=categories,
        unknown_currency=None,
        channel=channel,
    )


async def test_what_was_counted_is_read_by_segmentation_segment_and_kind(
    redis: Redis, keys: Keys
) -> None:
    for segment, category in ((1, "tea:green"), (2, "cups")):
        collector = TasteCollector(redis, keys, SEGMENTS, "UTC")
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
        collector = TasteCollector(redis, keys, SEGMENTS, "UTC")
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
    collector = TasteCollector(redis, keys, SEGMENTS, "UTC")
    for n, category in enumerate(["a", "b", "c", "d", "e"]):
        add(collector, 1, category * 500, n + 1)
    await collector.flush()
    kept = await redis.zrange(keys.tastes("default", "categories"), 0, -1)
    assert kept == [b"1:" + category * tastes.MAX_VALUE for category in (b"c", b"d", b"e")]


async def test_each_value_of_each_event_counts_once_a_segmentation(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tastes, "COUNTED_AT_ONCE", 3)
    collector = TasteCollector(redis, keys, SEGMENTS, "Europe/Athens")
    told = [
        ([1, 8], event(("tea", "cups"), "app", hour=0)),
        ([2, 8], event((), None, hour=0)),
        ([1, 9], event(("tea",), "web", hour=1)),
        ([1, 8], event(("pots",), "", hour=23)),
    ]
    for segments, said in told:
        collector.add(np.array([segments], dtype=np.uint32), [said], NOW_MS)
    await collector.flush()
    assert await counts_of(redis, keys, "default") == {
        "categories": {"1:tea": 2, "1:cups": 1, "1:pots": 1},
        "channels": {"1:app": 1, "1:web": 1},
        "hours": {"1:2": 1, "2:2": 1, "1:3": 1, "1:1": 1},
    }
    assert await counts_of(redis, keys, "value") == {
        "categories": {"8:tea": 1, "9:tea": 1, "8:cups": 1, "8:pots": 1},
        "channels": {"8:app": 1, "9:web": 1},
        "hours": {"8:2": 2, "9:3": 1, "8:1": 1},
    }


async def counts_of(redis: Any, keys: Keys, segmentation: str) -> dict[str, dict[str, int]]:
    """By kind and member."""
    found = {
        kind: await redis.zrange(keys.tastes(segmentation, kind), 0, -1, withscores=True)
        for kind in KINDS
    }
    return {
        kind: {member.decode(): round(score / weight(NOW_MS)) for member, score in members}
        for kind, members in found.items()
    }


async def test_it_is_due_when_much_waits_or_time_has_passed(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = TasteCollector(redis, keys, SEGMENTS, "UTC")
    monkeypatch.setattr(tastes, "FLUSH_SECONDS", 0.0)
    assert not collector.is_due
    add(collector, 1, "tea", 1)
    assert collector.is_due
    monkeypatch.setattr(tastes, "FLUSH_SECONDS", 1e9)
    assert not collector.is_due
    add(collector, 1, "tea", 3)
    monkeypatch.setattr(tastes, "MAX_WAITING", 5)
    assert not collector.is_due
    add(collector, 1, "tea", 1)
    assert collector.is_due
    await collector.flush()
    assert not collector.is_due


async def test_a_batch_without_events_leaves_nothing(redis: Redis, keys: Keys) -> None:
    collector = TasteCollector(redis, keys, SEGMENTS, "UTC")
    collector.add(np.empty((0, 2), dtype=np.uint32), [], NOW_MS)
    assert not collector._segments
    await collector.flush()


async def test_what_cannot_be_flushed_is_not_flushed_twice(redis: Redis, keys: Keys) -> None:
    collector = TasteCollector(redis, keys, ["default"], "UTC")
    await redis.set(keys.tastes("default", "hours"), "no sorted set")
    collector.add(np.array([[1]]), [event(("tea",), None, hour=3)], NOW_MS)
    with pytest.raises(RedisError):
        await collector.flush()
    assert not collector.is_due
