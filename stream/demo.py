"""Everything on one machine: embedded servers, a worker, the trainer and a shop that sells.

Processes are real, and so is what they do: the demo starts what a user would start, feeds what a
shop would send, and reads the result where a user would read it.
"""

import asyncio
import signal
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stream.feeding import feed_source
from stream.inspection import SegmentReport, segment_table, summarise
from stream.local import Local, local_shoal
from stream.scrape import Scrape
from stream.sources import Source, open_source
from stream.together import cancelled

LATENCY = "shoal_event_to_redis_seconds"
PACE_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What a bounded demo did. Latencies run from an event's arrival in Kafka to Redis."""

    events: int
    processed: int
    rejected: int
    customers: int
    unassigned: int
    segments: list[dict[str, Any]]
    changes: int
    duplicates: int
    events_per_second: float
    latency_ms: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def run_demo(
    spec: str, *, events: int | None, rate: float | None, live: bool
) -> Summary | None:
    """Run the demo: bounded by `events` or the source's end, or until Ctrl-C when `rate` is set.

    Raises
    ------
    ShoalError
        The source cannot be read, or a process did not do its work.
    """
    console = Console(stderr=not live, highlight=False)
    source = open_source(spec)
    async with local_shoal(console) as local:
        if rate is not None:
            await _until_interrupted(local, source, rate, console)
            return None
        summary = await _bounded(local, source, events, console)
    if live:
        _print_summary(summary, console)
    return summary


async def _bounded(local: Local, source: Source, events: int | None, console: Console) -> Summary:
    started = monotonic()
    fed = await feed_source(
        source, local.settings, limit=events, console=console, wait=local.hold_back
    )
    handled_at = await local.drain(fed.sent)
    metrics = await local.scrape()
    report = await local.observer.segments()
    changes, duplicates = summarise(await local.observer.changes())
    latency = metrics.histogram(LATENCY)
    return Summary(
        events=fed.sent,
        processed=int(metrics.total("shoal_events_processed_total")),
        rejected=int(metrics.total("shoal_events_rejected_total")),
        customers=report.customers,
        unassigned=report.unassigned,
        segments=[asdict(row) for row in report.segments],
        changes=changes,
        duplicates=duplicates,
        events_per_second=round(fed.sent / (handled_at - started), 1),
        latency_ms={
            "p50": round(latency.quantile(0.5) * 1000, 1),
            "p99": round(latency.quantile(0.99) * 1000, 1),
        },
    )


async def _until_interrupted(local: Local, source: Source, rate: float, console: Console) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    started = monotonic()

    async def pace(sent: int) -> None:
        await asyncio.sleep(max(started + sent / rate - monotonic(), 0))
        await local.hold_back(sent)

    feeding = asyncio.create_task(feed_source(source, local.settings, wait=pace, every=PACE_EVENTS))
    waiting = asyncio.create_task(stopped.wait())
    before = await local.scrape()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while not stopped.is_set() and not feeding.done():
                await asyncio.wait({waiting}, timeout=1.0)
                local.processes.check()
                now = await local.scrape()
                live.update(_screen(await local.observer.segments(), before, now), refresh=True)
                before = now
        if feeding.done():
            feeding.result()
    finally:
        await cancelled(feeding, waiting)
    # Rich ends the last line of a live display only on a terminal.
    console.print("stopping" if console.is_terminal else "\nstopping")


def _screen(report: SegmentReport, before: Scrape, now: Scrape) -> Group:
    latency = now.histogram(LATENCY) - before.histogram(LATENCY)
    rates = Text(
        f"events/s {now.rate(before, 'shoal_events_processed_total'):8.0f}    "
        f"changes/s {now.rate(before, 'shoal_segment_changes_total'):6.1f}    "
        f"event to Redis p50 {latency.quantile(0.5) * 1000:6.1f} ms  "
        f"p99 {latency.quantile(0.99) * 1000:6.1f} ms"
    )
    return Group(segment_table(report), rates, Text("Ctrl-C stops everything", style="dim"))


def _print_summary(summary: Summary, console: Console) -> None:
    for segment in summary.segments:
        console.print(f"{segment['size']:8}  {segment['id']:4} {segment['name']}", markup=False)
    console.print(f"{summary.unassigned:8}       unassigned")
    console.print(
        f"{summary.processed} of {summary.events} events processed, {summary.rejected} rejected, "
        f"{summary.events_per_second:.0f} events/s; {summary.changes} changes of segment; "
        f"event to Redis p50 {summary.latency_ms['p50']} ms, p99 {summary.latency_ms['p99']} ms"
    )
