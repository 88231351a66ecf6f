"""Where benches of load play: a warm Shoal, and a timeline that leads up to this moment."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench.common import BenchError
from bench.feed import Feed, wall_ms
from bench.load import simulated
from bench.timeline import Timeline
from bench.watch import Look, until_lag
from stream.inspection import SegmentReport
from stream.local import WORKER, Local, local_servers
from stream.processes import Processes
from stream.scrape import Scrape
from stream.sources import SourceEvent

CIRCLE_EVENTS = 200_000
CUSTOMERS = 20_000
WARM_UP_EVENTS = 20_000
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """Trainer and worker have the first events of the feed behind them, and know a model."""

    local: Local
    feed: Feed

    async def down(self) -> None:
        """Stop the worker: events wait from now on."""
        await self.local.processes.stop(WORKER)

    async def up(self, *, lag: float = 0, every_seconds: float = LOOK_SECONDS) -> list[Look]:
        """Start the worker, and look until no more than `lag` events wait."""
        self.local.start_worker()
        return await until_lag(
            self.local, self.feed, lag, every_seconds=every_seconds, starting=True
        )

    @asynccontextmanager
    async def other(self, **settings: object) -> AsyncIterator["Stage"]:
        """The same with a worker of other settings, which runs from `up` on."""
        changed = self.local.settings.model_copy(update=settings)
        with tempfile.TemporaryDirectory(prefix="shoal-") as name:
            processes = Processes(changed, Path(name))
            try:
                yield Stage(replace(self.local, settings=changed, processes=processes), self.feed)
            finally:
                await processes.stop()

    async def check(self, *, since: int) -> Scrape:
        """Metrics of a worker that has handled every event from number `since` on.

        Raises
        ------
        BenchError
            An event was not counted, or a customer is in no segment.
        """
        handled_at = await self.local.drain(self.feed.sent)
        metrics = await self.local.scrape()
        while metrics.at < handled_at + 1:
            await asyncio.sleep(LOOK_SECONDS)  # a step is in Redis before its worker counts it
            metrics = await self.local.scrape()
        report = await self.local.observer.segments()
        if complaint := fault(metrics, self.feed.sent - since, report):
            raise BenchError(f"this run does not count: {complaint}")
        return metrics


def fault(metrics: Scrape, sent: int, report: SegmentReport) -> str:
    """Why a run does not count; empty when it does."""
    processed = int(metrics.total("shoal_events_processed_total"))
    if processed != sent:
        return f"{sent} events were sent, {processed} were processed"
    if repeated := int(metrics.total("shoal_events_duplicate_total")):
        return f"{repeated} events were left out"
    if report.unassigned:
        return f"{report.unassigned} of {report.customers} customers are in no segment"
    return ""


@asynccontextmanager
async def stage(
    console: Console, events: Sequence[SourceEvent], *, seconds: float, rate: float
) -> AsyncIterator[Stage]:
    """A warm Shoal; what happens after the warm-up began `seconds` ago.

    Parameters
    ----------
    events
        What happens, over and over.
    """
    async with local_servers(console, clock="live") as local:
        start_ms = wall_ms() - int((seconds + WARM_UP_EVENTS / rate) * 1000)
        timeline = Timeline.of(events, start_ms=start_ms, rate=rate)
        async with Feed(local.settings, timeline) as feed:
            await feed.to(WARM_UP_EVENTS)
            local.start_trainer()
            local.start_worker()
            await local.processes.until_ready()
            await local.drain(feed.sent)
            yield Stage(local, feed)


def shop() -> list[SourceEvent]:
    """What happens in the simulated shop, as long as a circle."""
    return simulated(CIRCLE_EVENTS, CUSTOMERS)
