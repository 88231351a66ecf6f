"""Everything on one machine: embedded servers, a worker, the trainer and a shop that sells.

Processes are real, and so is what they do: the demo starts what a user would start, feeds what a
shop would send, and reads the result where a user would read it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from config.segmentation import load_segmentation
from config.settings import Settings, load_settings
from models.errors import ShoalError
from stream.catalogue import Catalogue
from stream.embedded import EmbeddedKafka, EmbeddedRedis, die_with_parent, free_port
from stream.feeding import feed_source
from stream.inspection import SegmentReport, segment_report, segment_table, summarise
from stream.names import Keys, Topics
from stream.scrape import Scrape, scrape
from stream.sources import Source, open_source
from stream.store import connect
from stream.topics import create_topics

MAX_BACKLOG = 4_000
START_SECONDS = 60.0
DRAIN_SECONDS = 300.0
STOP_SECONDS = 15.0


class DemoError(ShoalError):
    """A process of the demo ended, or did not become ready; its last words are in the message."""


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


class Demo:
    """A running demo: its servers, its processes, and what can be read of them."""

    def __init__(self, settings: Settings, worker_port: int, directory: Path) -> None:
        self.settings = settings
        self._worker_port = worker_port
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._redis = connect(settings.redis)
        self._segmentation = load_segmentation(settings.segmentation).name
        self.catalogue = Catalogue(self._redis, Keys(settings.namespace))
        self.topics = Topics(settings.namespace)

    def start(self, name: str, *arguments: str, member: str) -> None:
        """Start a `shoal` process that ends with this one."""
        environment = {key: v for key, v in os.environ.items() if not key.startswith("SHOAL_")}
        given = self.settings.model_dump(mode="json", exclude_none=True)
        environment |= {f"SHOAL_{key.upper()}": str(value) for key, value in given.items()}
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "stream.cli", *arguments],
                env=environment | {"SHOAL_MEMBER": member},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing else runs between fork and exec
            )

    async def until_ready(self) -> None:
        """Wait until every process that was started is.

        Raises
        ------
        DemoError
            One of them ended, or it takes too long.
        """
        ports = {"worker": self._worker_port, "trainer": self.settings.trainer_metrics_port}
        deadline = monotonic() + START_SECONDS
        async with aiohttp.ClientSession() as session:
            for name in self._processes:
                while not await _answers(session, f"http://127.0.0.1:{ports[name]}/readyz"):
                    self.check_processes()
                    if monotonic() > deadline:
                        raise DemoError(f"{name} is not ready yet: {self._last_words(name)}")
                    await asyncio.sleep(0.1)

    def pid(self, name: str) -> int:
        """Process id of what `start` started under this name."""
        return self._processes[name].pid

    def check_processes(self) -> None:
        """Raise DemoError if a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DemoError(f"{name} ended with {process.returncode}: {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = (self._directory / f"{name}.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:])

    async def scrape(self) -> Scrape:
        """The worker's metrics."""
        return await scrape(f"http://127.0.0.1:{self._worker_port}/metrics")

    async def segments(self) -> SegmentReport:
        """Segments and sizes as Redis has them."""
        return await segment_report(self.catalogue, self._segmentation, self.settings.partitions)

    async def handled(self) -> int:
        """Records that the lanes have behind them."""
        lanes = await self.catalogue.lanes(range(self.settings.partitions))
        return sum(int(lane.get("next_offset", 0)) for lane in lanes)

    async def hold_back(self, sent: int) -> None:
        """Return once the worker is near enough to what was sent."""
        while sent - await self.handled() > MAX_BACKLOG:
            self.check_processes()
            await asyncio.sleep(0.02)

    async def drain(self, sent: int) -> float:
        """Wait until every event is handled and everyone is scored by the last model.

        Returns
        -------
        When the last event was handled, by the monotonic clock.

        Raises
        ------
        DemoError
            It takes too long.
        """
        deadline = monotonic() + DRAIN_SECONDS
        while await self.handled() < sent:
            await self._pause(deadline)
        handled_at = monotonic()
        while not await self._settled():
            await self._pause(deadline)
        return handled_at

    async def _pause(self, deadline: float) -> None:
        self.check_processes()
        if monotonic() > deadline:
            raise DemoError(f"the worker does not come to an end: {self._last_words('worker')}")
        await asyncio.sleep(0.05)

    async def _settled(self) -> bool:
        """Whether the trainer has read all profiles, and all customers know its last model."""
        report = await self.segments()
        training = await self.catalogue.training(self._segmentation)
        if training.get("customers", 0) < report.customers:
            return False
        if not report.model:
            return report.customers < training["needed"]
        lanes = await self.catalogue.lanes(range(self.settings.partitions))
        used = [lane for lane in lanes if "next_offset" in lane]
        return all(int(lane.get("rescored", 0)) >= report.model for lane in used)

    async def changes(self) -> list[bytes]:
        """Every message of the change topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            parts = [
                TopicPartition(self.topics.changes, partition)
                for partition in range(self.settings.partitions)
            ]
            consumer.assign(parts)
            await consumer.seek_to_beginning(*parts)
            ends = await consumer.end_offsets(parts)
            found: list[bytes] = []
            while any([await consumer.position(part) < ends[part] for part in parts]):
                fetched = await consumer.getmany(timeout_ms=1000)
                found += [record.value for records in fetched.values() for record in records]
            return found
        finally:
            await consumer.stop()

    async def end(self, *names: str) -> None:
        """End these processes; `start` may start them again."""
        ended = [self._processes.pop(name) for name in names]
        for process in ended:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in ended:
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)

    async def stop(self) -> None:
        """End every process that was started."""
        await self.end(*self._processes)
        await self._redis.aclose()


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
    async with running_demo(console) as demo:
        if rate is not None:
            await _until_interrupted(demo, source, rate, console)
            return None
        summary = await _bounded(demo, source, events, console)
    if live:
        _print_summary(summary, console)
    return summary


@contextlib.asynccontextmanager
async def running_demo(console: Console) -> AsyncIterator[Demo]:
    """Servers, worker and trainer, ready; all gone at the end."""
    async with prepared_demo(console) as demo:
        console.print("starting a worker and the trainer", style="dim")
        demo.start("worker", "worker", member="demo-worker")
        demo.start("trainer", "trainer", member="demo-trainer")
        await demo.until_ready()
        yield demo


@contextlib.asynccontextmanager
async def prepared_demo(console: Console) -> AsyncIterator[Demo]:
    """Servers with all topics, and no process of Shoal yet; all gone at the end."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:
        directory = Path(name)
        console.print("starting Kafka and Redis", style="dim")
        with (
            EmbeddedKafka(directory / "kafka") as kafka,
            EmbeddedRedis(directory / "redis") as redis,
        ):
            worker_port = free_port()
            settings = load_settings(
                kafka=kafka.address,
                redis=redis.url,
                clock="replay",
                durability="strict",
                replication=1,
                metrics_host="127.0.0.1",
                metrics_port=worker_port,
                trainer_metrics_port=free_port(),
            )
            await create_topics(settings)
            demo = Demo(settings, worker_port, directory)
            try:
                yield demo
            finally:
                await demo.stop()


async def _bounded(demo: Demo, source: Source, events: int | None, console: Console) -> Summary:
    started = monotonic()
    fed = await feed_source(
        source, demo.settings, limit=events, console=console, wait=demo.hold_back
    )
    handled_at = await demo.drain(fed.sent)
    metrics = await demo.scrape()
    report = await demo.segments()
    changes, duplicates = summarise(await demo.changes())
    latency = metrics.histogram("shoal_event_to_redis_seconds")
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


async def _until_interrupted(demo: Demo, source: Source, rate: float, console: Console) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    started = monotonic()

    async def pace(sent: int) -> None:
        await asyncio.sleep(max(started + sent / rate - monotonic(), 0))
        await demo.hold_back(sent)

    feeding = asyncio.create_task(feed_source(source, demo.settings, wait=pace))
    waiting = asyncio.create_task(stopped.wait())
    before = await demo.scrape()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while not stopped.is_set() and not feeding.done():
                await asyncio.wait({waiting}, timeout=1.0)
                demo.check_processes()
                now = await demo.scrape()
                live.update(_screen(await demo.segments(), before, now), refresh=True)
                before = now
        if feeding.done():
            feeding.result()
    finally:
        feeding.cancel()
        waiting.cancel()
        await asyncio.gather(feeding, waiting, return_exceptions=True)
    console.print("stopping")


def _screen(report: SegmentReport, before: Scrape, now: Scrape) -> Group:
    latency = now.histogram("shoal_event_to_redis_seconds") - before.histogram(
        "shoal_event_to_redis_seconds"
    )
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


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200  # noqa: PLR2004 - HTTP OK
    except aiohttp.ClientError:
        return False
