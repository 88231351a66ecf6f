"""Counting what segments prefer, beside the events that count exactly once.

Tastes are for people to read. What a crash takes from them, or tells twice, is not made good.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from models.columns import Ints
from models.tastes import KINDS, Kind, Preference, Tastes, preferences, weight
from stream.cluster import RedisClient
from stream.names import Keys

FLUSH_SECONDS = 15.0
MAX_WAITING = 20_000
MAX_KEPT = 5_000
MAX_VALUE = 100


class TasteCollector:
    """Counts by segmentation, segment and value; flushed to Redis now and then.

    Parameters
    ----------
    segmentations
        Names, in the order of what profiles keep for each.
    """

    def __init__(self, redis: RedisClient, keys: Keys, segmentations: Sequence[str]) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self._redis: Any = redis
        self._keys = keys
        self._segmentations = segmentations
        self._counts: dict[tuple[str, Kind], Counter[tuple[int, str]]] = {}
        self._now_ms = 0
        self._flushed_at = monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to flush."""
        waiting = sum(map(len, self._counts.values()))
        return bool(waiting) and (
            waiting >= MAX_WAITING or monotonic() - self._flushed_at >= FLUSH_SECONDS
        )

    def add(
        self,
        segments: Ints,
        *,
        category_event: Ints,
        categories: Sequence[str],
        channels: Sequence[str | None],
        hours: Ints,
        now_ms: int,
    ) -> None:
        """Count the events of a batch.

        Parameters
        ----------
        segments
            Shape (n_events, n_segmentations), the segment of each event's customer, 0 for none.
        category_event, categories
            Shape (n_categories,), the index of an event and the name of a category of its.
        channels
            Of each event, None where it has none.
        hours
            Shape (n_events,), local hour of the day of each event.
        now_ms
            Event time; of all batches until the next flush the latest counts.
        """
        self._now_ms = max(self._now_ms, now_ms)
        at_channel = [i for i, channel in enumerate(channels) if channel]
        values: dict[Kind, tuple[Any, list[str]]] = {
            "categories": (category_event, [name[:MAX_VALUE] for name in categories]),
            "channels": (at_channel, [str(channels[i])[:MAX_VALUE] for i in at_channel]),
            "hours": (slice(None), list(map(str, hours.tolist()))),
        }
        for segmentation, numbers in zip(self._segmentations, segments.T, strict=True):
            for kind, (events, names) in values.items():
                if names:
                    counts = self._counts.setdefault((segmentation, kind), Counter())
                    counts.update(zip(numbers[events].tolist(), names, strict=True))

    async def flush(self) -> None:
        """Add what was counted to Redis, and keep the largest counts there.

        Raises
        ------
        RedisError
            Redis does not answer; what was counted is lost.
        """
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
