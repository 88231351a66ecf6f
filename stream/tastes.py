"""Counting what segments prefer, beside the events that count exactly once.

Tastes are for people to read. What a crash takes from them, or tells twice, is not made good.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np

from models.calendar import DAY_HOURS, hours_of
from models.columns import Ints
from models.tastes import KINDS, Kind, Preference, Tastes, preferences, weight
from stream.cluster import RedisClient
from stream.events import ParsedEvent
from stream.names import Keys

FLUSH_SECONDS = 15.0
COUNTED_AT_ONCE = 2_000
MAX_WAITING = 20_000
MAX_KEPT = 5_000
MAX_VALUE = 100
HOURS = tuple(map(str, range(DAY_HOURS)))


class TasteCollector:
    """Counts by segmentation, segment and value; flushed to Redis now and then.

    Parameters
    ----------
    segmentations
        Names, in the order of what profiles keep for each.
    timezone
        Whose hours of the day are counted.
    """

    def __init__(
        self, redis: RedisClient, keys: Keys, segmentations: Sequence[str], timezone: str
    ) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self._redis: Any = redis
        self._keys = keys
        self._segmentations = segmentations
        self._timezone = timezone
        self._segments: list[Ints] = []
        self._events: list[ParsedEvent] = []
        self._counts: dict[tuple[str, Kind], Counter[tuple[int, str]]] = {}
        self._now_ms = 0
        self._flushed_at = monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to flush."""
        waiting = len(self._events) + sum(map(len, self._counts.values()))
        return bool(waiting) and (
            waiting >= MAX_WAITING or monotonic() - self._flushed_at >= FLUSH_SECONDS
        )

    def add(self, segments: Ints, events: Sequence[ParsedEvent], now_ms: int) -> None:
        """Take events to be counted.

        Parameters
        ----------
        segments
            Shape (n_events, n_segmentations), the segment of each event's customer, 0 for none.
        now_ms
            Event time; of all batches until the next flush the latest counts.
        """
        if not events:
            return
        self._now_ms = max(self._now_ms, now_ms)
        self._segments.append(segments)
        self._events += events
        if len(self._events) >= COUNTED_AT_ONCE:
            self._count()

    def _count(self) -> None:
        events, self._events = self._events, []
        segments, self._segments = np.concatenate(self._segments), []
        categories = [event.categories for event in events]
        times_ms = np.array([event.time_ms for event in events], dtype=np.int64)
        each = np.arange(len(events))
        channels = [(at, event.channel) for at, event in enumerate(events) if event.channel]
        told: dict[Kind, tuple[Ints, Ints, Sequence[str]]] = {
            "categories": (
                each.repeat(list(map(len, categories))),
                *_coded([name for names in categories for name in names]),
            ),
            "channels": (
                np.array([at for at, _ in channels], dtype=np.int64),
                *_coded([name for _, name in channels]),
            ),
            "hours": (each, hours_of(times_ms, self._timezone), HOURS),
        }
        for kind, (at, codes, values) in told.items():
            for segmentation, numbers in zip(self._segmentations, segments.T, strict=True):
                counts = self._counts.setdefault((segmentation, kind), Counter())
                for number, code, count in _counted(numbers[at], codes):
                    if value := values[code][:MAX_VALUE]:
                        counts[number, value] += count

    async def flush(self) -> None:
        """Add all counts to Redis, and keep the largest counts there.

        Raises
        ------
        RedisError
            Redis does not answer; what was counted is lost.
        """
        if self._events:
            self._count()
        counts, self._counts = self._counts, {}
        self._flushed_at = monotonic()
        each = weight(self._now_ms)
        await asyncio.gather(*(self._add(*place, new, each) for place, new in counts.items()))

    async def _add(
        self, segmentation: str, kind: Kind, counts: Mapping[tuple[int, str], int], each: float
    ) -> None:
        key = self._keys.tastes(segmentation, kind)
        async with self._redis.pipeline(transaction=False) as pipe:
            for (number, value), count in counts.items():
                pipe.zincrby(key, count * each, f"{number}:{value}")
            pipe.zremrangebyrank(key, 0, -MAX_KEPT - 1)
            await pipe.execute()


def _coded(values: Sequence[str]) -> tuple[Ints, list[str]]:
    """Each value as its index among the different ones, and these.

    >>> _coded(["tea", "cups", "tea"])
    (array([0, 1, 0]), ['tea', 'cups'])
    """
    index: dict[str, int] = {}
    codes = [index.setdefault(value, len(index)) for value in values]
    return np.array(codes, dtype=np.int64), list(index)


def _counted(first: Ints, second: Ints) -> Iterable[tuple[int, int, int]]:
    """Pairs of numbers and how often each is there; shapes (n,), `second` from 0 on.

    >>> sorted(_counted(np.array([7, 7, 9]), np.array([0, 0, 0])))
    [(7, 0, 2), (9, 0, 1)]
    """
    width = int(second.max(initial=0)) + 1
    pairs, counts = np.unique(first.astype(np.int64) * width + second, return_counts=True)
    return zip(*(part.tolist() for part in (*np.divmod(pairs, width), counts)), strict=True)


async def load_tastes(redis: RedisClient, keys: Keys, segmentation: str, now_ms: int) -> Tastes:
    """What each segment of a segmentation prefers, as counted until now."""
    client: Any = redis
    tastes: dict[int, dict[Kind, tuple[Preference, ...]]] = {}
    for kind in KINDS:
        found = await client.zrange(keys.tastes(segmentation, kind), 0, -1, withscores=True)
        counts: dict[tuple[int, str], float] = {}
        for member, score in found:
            number, _, value = member.decode().partition(":")
            counts[int(number), value] = score
        for segment, preferred in preferences(counts, now_ms).items():
            tastes.setdefault(segment, {})[kind] = preferred
    return tastes
