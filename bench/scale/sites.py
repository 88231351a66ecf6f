"""Servers and workers to measure, and what a block of events costs each of them."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from bench.common import BenchError, cpu_seconds
from bench.forgetting import forget_handled
from bench.load import fill
from bench.measurements import DUPLICATE, PROCESSED, REJECTED, fault
from config.settings import Settings, load_settings
from stream.connections import connect_redis
from stream.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from stream.local import Local
from stream.observer import Observer
from stream.partitions import partitioner
from stream.processes import Processes
from stream.sources import SourceEvent
from stream.topics import create_topics

CHANGES, LOADED = "shoal_segment_changes_total", "shoal_profiles_loaded_total"
STEPS = "shoal_batch_size_count"
POLL_SECONDS, LONGEST_SECONDS, COUNT_SECONDS = 0.05, 300.0, 5.0
# Workers are held still for as long as it takes to fill Kafka.
SESSION_SECONDS = 60.0
# Even in a shop of 10 000 a batch of a partition has nobody twice.
MOST_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a block of events took. All but the first two are per event.

    `worker_us`, `redis_us` and `kafka_us` are processor time; `distinct` counts the different
    customers of each step, `loaded` the profiles that were not in a worker's memory.
    """

    events: int
    events_per_second: float
    worker_us: float
    redis_us: float
    kafka_us: float
    redis_in_bytes: float
    redis_out_bytes: float
    event_bytes: float
    distinct: float
    changes: float
    loaded: float
    steps: float


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    worker: float
    redis: float
    kafka: float
    redis_in: float
    redis_out: float


class Site:
    """A Kafka, a Redis, and the workers that are started here; every event must go through it."""

    def __init__(self, local: Local, kafka: EmbeddedKafka, redis: EmbeddedRedis) -> None:
        self.local = local
        self.workers: list[str] = []
        self.sent = 0
        self._kafka = kafka
        self._redis = redis

    async def start_workers(self, count: int) -> None:
        """Start so many; return once each has its share of the partitions."""
        for _ in range(count):
            name = f"worker{len(self.workers)}"
            self.local.processes.start_worker(name, free_port())
            self.workers.append(name)
        await self.local.processes.until_ready()
        deadline = monotonic() + LONGEST_SECONDS
        while not await self._is_shared_out():
            if monotonic() > deadline:
                raise BenchError(f"{len(self.workers)} workers did not share the partitions")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_shared_out(self) -> bool:
        self.local.processes.check()
        owned = [
            (await self.local.processes.scrape(name)).total("shoal_partitions_assigned")
            for name in self.workers
        ]
        return min(owned) > 0 and sum(owned) == self.local.settings.partitions

    async def block(self, events: Sequence[SourceEvent], customers: int) -> Cost:
        """Work off a backlog, which is made while the workers are held still.

        Parameters
        ----------
        customers
            How many the whole state has afterwards, all of them in a segment.

        Raises
        ------
        BenchError
            An event is missing or was not counted once, or a customer is in no segment.
        """
        before = await self.totals()
        pids = [self.local.processes.pid(name) for name in self.workers]
        with _held(pids):
            await fill(events, self.local.settings)
            self.sent += len(events)
            started = await self._read(pids)
        await self.until_handled()
        ended = await self._read(pids)
        after = await self._counted(before[PROCESSED] + len(events))
        by = {name: after[name] - before[name] for name in after}
        complaint = fault(
            sent=len(events),
            processed=int(by[PROCESSED]),
            rejected=int(by[REJECTED]),
            duplicates=int(by[DUPLICATE]),
            customers=customers,
            report=await self.local.observer.segments(),
        )
        if complaint:
            raise BenchError(f"this block does not count: {complaint}")
        await forget_handled(self.local)
        n = len(events)
        return Cost(
            events=n,
            events_per_second=n / (ended.at - started.at),
            worker_us=(ended.worker - started.worker) / n * 1e6,
            redis_us=(ended.redis - started.redis) / n * 1e6,
            kafka_us=(ended.kafka - started.kafka) / n * 1e6,
            redis_in_bytes=(ended.redis_in - started.redis_in) / n,
            redis_out_bytes=(ended.redis_out - started.redis_out) / n,
            event_bytes=sum(len(e.value) + len(e.customer_id) for e in events) / n,
            distinct=distinct_share(events, self.local.settings),
            changes=by[CHANGES] / n,
            loaded=by[LOADED] / n,
            steps=by[STEPS] / n,
        )

    async def until_handled(self) -> None:
        """Wait until everything that was sent is behind the lanes."""
        deadline = monotonic() + LONGEST_SECONDS
        while (handled := await self.local.observer.handled()) < self.sent:
            self.local.processes.check()
            if monotonic() > deadline:
                raise BenchError(f"{handled} of {self.sent} events were handled in time")
            await asyncio.sleep(POLL_SECONDS)

    async def totals(self) -> dict[str, float]:
        """What all workers have counted since they were started."""
        pages = [await self.local.processes.scrape(name) for name in self.workers]
        names = (PROCESSED, REJECTED, DUPLICATE, CHANGES, LOADED, STEPS)
        return {name: sum(page.total(name) for page in pages) for name in names}

    async def _counted(self, processed: float) -> dict[str, float]:
        # A step is in Redis a moment before its worker knows.
        deadline = monotonic() + COUNT_SECONDS
        while True:
            totals = await self.totals()
            if totals[PROCESSED] + totals[REJECTED] >= processed or monotonic() > deadline:
                return totals
            await asyncio.sleep(POLL_SECONDS)

    async def redis_info(self) -> dict[str, Any]:
        """What Redis says of itself."""
        client = connect_redis(self.local.settings)
        try:
            told: dict[str, Any] = await client.info("everything")
        finally:
            await client.aclose()
        return told

    async def _read(self, pids: Sequence[int]) -> _Reading:
        told = await self.redis_info()
        return _Reading(
            at=monotonic(),
            worker=sum(cpu_seconds(pid) for pid in pids),
            redis=cpu_seconds(self._redis.pid or 0),
            kafka=cpu_seconds(self._kafka.pid or 0),
            redis_in=float(told["total_net_input_bytes"]),
            redis_out=float(told["total_net_output_bytes"]),
        )


@contextlib.asynccontextmanager
async def open_site(console: Console, *, partitions: int = 8) -> AsyncIterator[Site]:
    """Servers with all topics and no process of Shoal yet; all gone at the end."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:
        directory = Path(name)
        console.print("starting Kafka and Redis", style="dim")
        with (
            EmbeddedKafka(directory / "kafka") as kafka,
            EmbeddedRedis(directory / "redis") as redis,
        ):
            default = load_settings().batch_events
            settings = load_settings(
                kafka=kafka.address,
                redis=redis.url,
                clock="replay",
                durability="strict",
                replication=1,
                partitions=partitions,
                batch_events=min(default, MOST_EVENTS),
                session_timeout_seconds=SESSION_SECONDS,
                metrics_host="127.0.0.1",
                metrics_port=free_port(),
                trainer_metrics_port=free_port(),
            )
            await create_topics(settings)
            processes = Processes(settings, directory)
            try:
                async with Observer(settings) as observer:
                    yield Site(Local(settings, processes, observer), kafka, redis)
            finally:
                await processes.stop()


@contextlib.contextmanager
def _held(pids: Sequence[int]) -> Iterator[None]:
    """Processes that stand still meanwhile."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def distinct_share(events: Sequence[SourceEvent], settings: Settings) -> float:
    """Different customers per event, in steps that are as large as they may be."""
    place = partitioner(settings.partitioner, settings.partitions)
    owned: defaultdict[int, list[str]] = defaultdict(list)
    for event in events:
        owned[place(event.customer_id.encode())].append(event.customer_id)
    most = settings.batch_events
    steps = (
        names[first : first + most]
        for names in owned.values()
        for first in range(0, len(names), most)
    )
    return sum(len(set(step)) for step in steps) / len(events)
