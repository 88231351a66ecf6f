"""How far a worker is, looked at from outside over time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

from bench.common import BenchError, cpu_seconds
from bench.feed import Feed
from stream.local import WORKER, Local

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """At a moment (monotonic, seconds): records behind the lanes, and in the log, by partition.

    `cpu_seconds` is what the worker has used so far.
    """

    at: float
    handled: tuple[int, ...]
    written: tuple[int, ...]
    cpu_seconds: float = 0.0

    @property
    def lags(self) -> tuple[int, ...]:
        """Records that wait, by partition."""
        return tuple(end - done for end, done in zip(self.written, self.handled, strict=True))

    @property
    def lag(self) -> int:
        """Records that wait."""
        return sum(self.lags)


async def look(local: Local, feed: Feed) -> Look:
    """Where lanes and log are now."""
    written = tuple(feed.ends)
    lanes = await local.observer.catalogue.lanes(local.observer.partitions)
    handled = tuple(int(lane.get("next_offset", 0)) for lane in lanes)
    return Look(monotonic(), handled, written, cpu_seconds(local.processes.pid(WORKER)))


async def until_lag(
    local: Local, feed: Feed, most: float, *, every_seconds: float, starting: bool = False
) -> list[Look]:
    """What was seen until no more than `most` records wait.

    Parameters
    ----------
    starting
        The worker has just been started: what is seen before its first step is left out.

    Raises
    ------
    ShoalError
        A process ended, or nothing moves for a minute.
    """
    seen = [await look(local, feed)]
    moved = seen[0].at
    while seen[-1].lag > most:
        await asyncio.sleep(every_seconds)
        local.processes.check()
        last, now = seen[-1], await look(local, feed)
        if now.handled != last.handled:
            moved = now.at
        elif now.at - moved > PATIENCE_SECONDS:
            raise BenchError(f"{now.lag} events wait, and nothing moves")
        elif starting and len(seen) == 1:
            seen.clear()
        seen.append(now)
    return seen


def rate(looks: Sequence[Look]) -> float:
    """Events handled in a second, from the first look to the last."""
    first, last = looks[0], looks[-1]
    return (sum(last.handled) - sum(first.handled)) / max(last.at - first.at, 1e-9)


def cost(looks: Sequence[Look]) -> float:
    """Processor time of the worker, in µs an event, from the first look to the last."""
    first, last = looks[0], looks[-1]
    events = sum(last.handled) - sum(first.handled)
    return (last.cpu_seconds - first.cpu_seconds) / max(events, 1) * 1e6


def longest_stall(looks: Sequence[Look]) -> float:
    """Longest time in seconds during which nothing was handled.

    >>> longest_stall([Look(0, (0,), (9,)), Look(1, (5,), (9,)), Look(3, (5,), (9,))])
    2
    """
    longest, since = 0.0, looks[0].at
    for before, after in pairwise(looks):
        if after.handled != before.handled:
            since = after.at
        longest = max(longest, after.at - since)
    return longest


def by_second(looks: Sequence[Look]) -> list[Look]:
    """The last look of each second."""
    start = looks[0].at
    return list({int(seen.at - start): seen for seen in looks}.values())
