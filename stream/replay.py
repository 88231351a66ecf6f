"""Feed a source into Kafka: as fast as the producer takes it, or at a multiple of real time."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from stream.sources import SourceError, SourceEvent

MAX_OUTSTANDING = 10_000
CHECK_EVERY = 500
_DAY_MS = 86_400_000
_SHORTEST_SLEEP_SECONDS = 0.005


class Producer(Protocol):
    """What the feed needs of `aiokafka.AIOKafkaProducer`."""

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, partition: int | None
    ) -> "asyncio.Future[Any]":
        """Queue a message, wait while there is no room; the future ends when Kafka has it."""


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What was fed.

    Attributes
    ----------
    sent
        Events that Kafka has acknowledged.
    first_ms, last_ms
        Earliest and latest event time among them, epoch milliseconds; 0 when none could be read.
    """

    sent: int
    first_ms: int
    last_ms: int


async def feed(
    source: Iterable[SourceEvent],
    producer: Producer,
    topic: str,
    partition_of: Callable[[bytes], int],
    *,
    limit: int | None = None,
    speed: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    wait: Callable[[int], Awaitable[None]] | None = None,
    every: int = CHECK_EVERY,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> FeedResult:
    """Send events to a topic, each to its customer's partition, and wait until Kafka has them.

    Parameters
    ----------
    partition_of
        Partition of a key; an event without customer goes to partition 0, without key.
    limit
        Send no more events than this.
    speed
        Event time passes this many times as fast as real time; None: no pacing. Events behind the
        latest one, or without a readable time, go at once; a silence of more than a day lasts one.
    on_progress
        Called with (events sent, latest event time in epoch ms) now and then, and at the end.
    wait
        Awaited now and then with the number of events sent: holds the feed back.
    every
        How many events lie between two calls of these.
    clock, sleep
        Seconds that pass, and how to let them.

    Raises
    ------
    SourceError
        The speed is not above 0, or the source cannot be read on.
    Exception
        Whatever the producer raises, at latest 10 000 events after the one that failed.
    """
    if speed is not None and not speed > 0:
        raise SourceError(f"speed {speed:g}", "is not above 0: say how many times as fast as real")
    pace = _Pace(speed, clock, sleep)
    outstanding = _Outstanding()
    sent = first_ms = last_ms = 0
    try:
        for event in islice(source, limit):
            await pace.keep(event.time_ms)
            if event.time_ms:
                first_ms = min(first_ms or event.time_ms, event.time_ms)
                last_ms = max(last_ms, event.time_ms)
            key = event.customer_id.encode() or None
            partition = partition_of(key) if key else 0
            future = await producer.send(topic, event.value, key=key, partition=partition)
            await outstanding.add(future)
            sent += 1
            if sent % every == 0:
                if on_progress is not None:
                    on_progress(sent, last_ms)
                if wait is not None:
                    await wait(sent)
                await asyncio.sleep(0)  # a producer with room never lets the others run
        await outstanding.drain()
    finally:
        outstanding.abandon()
    if on_progress is not None:
        on_progress(sent, last_ms)
    return FeedResult(sent, first_ms, last_ms)


class _Outstanding:
    """Messages that Kafka has not acknowledged; raises the error of the first that fails."""

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[Any]] = deque()

    async def add(self, future: "asyncio.Future[Any]") -> None:
        futures = self._futures
        futures.append(future)
        while futures and futures[0].done():
            futures.popleft().result()
        if len(futures) >= MAX_OUTSTANDING:
            await futures.popleft()

    async def drain(self) -> None:
        while self._futures:
            await self._futures.popleft()

    def abandon(self) -> None:
        for future in self._futures:
            future.add_done_callback(_retrieve)


def _retrieve(future: "asyncio.Future[Any]") -> None:
    # The first error was raised already; asyncio complains about those that nobody looks at.
    if not future.cancelled():
        future.exception()


class _Pace:
    """Holds each event back until its time has come."""

    def __init__(
        self,
        speed: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._start = clock()
        self._due_seconds = 0.0
        self._reached_ms = 0
        self._leapt = False

    async def keep(self, time_ms: int) -> None:
        """Sleep until an event of this time is due."""
        if self._speed is None or not time_ms:
            return
        ahead_ms = time_ms - self._reached_ms if self._reached_ms else 0
        leaps = abs(ahead_ms) > _DAY_MS
        # One event with a wrong date must not stop the feed for years: the next has to confirm it.
        if leaps and not self._leapt:
            self._leapt = True
            return
        self._leapt = False
        if leaps or ahead_ms >= 0:
            self._reached_ms = time_ms
            self._due_seconds += min(max(ahead_ms, 0), _DAY_MS) / 1000 / self._speed
        rest = self._due_seconds - (self._clock() - self._start)
        if rest > _SHORTEST_SLEEP_SECONDS:
            await self._sleep(rest)
