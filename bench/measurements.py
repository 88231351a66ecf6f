"""What can be measured of one worker: its rate and its memory."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from time import monotonic

import aiohttp
from rich.console import Console

from bench.common import BenchError, cpu_seconds, memory
from bench.contenders.job import Terms
from bench.load import customers_of, fill
from models.identifiers import CustomerId
from stream.connections import connect_redis
from stream.inspection import SegmentReport
from stream.local import WORKER, Local, local_servers
from stream.names import DEFAULT_SEGMENTATION, Keys
from stream.partitions import partitioner
from stream.redis_store import RedisStore
from stream.scrape import Scrape
from stream.sources import SourceEvent

STAGES = ("decode", "load", "score", "step", "publish")
RECEIVED = "shoal_events_received_total"
PROCESSED = "shoal_events_processed_total"
DUPLICATE = "shoal_events_duplicate_total"
REJECTED = "shoal_events_rejected_total"
CHANGES = "shoal_segment_changes_total"
BATCH_SIZE = "shoal_batch_size"
POLL_SECONDS = 0.02
HANDLE_SECONDS = 300.0
COUNT_SECONDS = 5.0
ASSIGN_SECONDS = 180.0
AGREE_SECONDS = 30.0
SAMPLE = 5_000

Events = Sequence[SourceEvent]
Shown = tuple[int, str | None]
"""Version and segment, of a change or of a page."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of throughput, and what it leaves to contenders.

    Stages overlap between partitions, and mostly wait for servers. `change_rate` is the share of
    the events that changed a segment.
    """

    events_per_second: float
    cpu_us_per_event: float
    stages_us_per_event: dict[str, float]
    change_rate: float
    terms: Terms


async def measure_throughput(warm_up: Events, events: Events, console: Console) -> Run:
    """Rate of the whole path, from the first of `events` that is taken to the last that is durable.

    `warm_up` makes the model and is not measured: without a model nobody has a segment, and a
    worker has less to do. `events` are in Kafka before the measured worker is started, so that
    nobody else needs the cores.

    Raises
    ------
    BenchError
        An event is missing, a customer has no segment, or was told of another.
    """
    async with local_servers(console) as local:
        await _warm_up(local, warm_up)
        await local.processes.stop(WORKER)
        await fill(events, local.settings)
        local.start_worker()
        taken, first, cpu = await _until_received(local)
        last = await _until_handled(local, len(warm_up) + len(events))
        cpu = cpu_seconds(local.processes.pid(WORKER)) - cpu
        metrics = await _counted(local, len(events))
        await _check(local, sent=len(events), customers=customers_of([*warm_up, *events]))
        terms = await _terms(local, metrics, events)
    counted = len(events) - taken
    if counted <= 0:
        raise BenchError("the worker took all events at once: take more events")
    return Run(
        events_per_second=counted / (last - first),
        cpu_us_per_event=cpu / counted * 1e6,
        stages_us_per_event=stages_us_per_event(metrics, len(events)),
        change_rate=changes_by_event(metrics) / len(events),
        terms=terms,
    )


async def measure_memory(events: Events, console: Console) -> dict[str, float]:
    """The worker's memory in MB after events of many customers.

    The feed stays close ahead of the worker: the embedded Kafka answers a fetch with all that a
    partition holds, whatever limit it is given, and a backlog would be measured with the state.

    Raises
    ------
    BenchError
        An event is missing, a customer has no segment, or was told of another.
    """
    async with local_servers(console) as local:
        await _start(local)
        await fill(events, local.settings, wait=local.hold_back)
        await _until_handled(local, len(events))
        await _check(local, sent=len(events), customers=customers_of(events))
        used = memory(local.processes.pid(WORKER))
    return {
        "customers": customers_of(events),
        "rss": round(used.rss_mb, 1),
        "peak": round(used.peak_mb, 1),
    }


def stages_us_per_event(metrics: Scrape, events: int) -> dict[str, float]:
    """Time of each stage of a step, in µs per event, from the worker's histogram."""
    name = "shoal_stage_seconds_sum"
    return {
        stage: metrics.samples.get((name, frozenset({("stage", stage)})), 0.0) / events * 1e6
        for stage in STAGES
    }


def changes_by_event(metrics: Scrape) -> float:
    """How many events changed a segment, as the worker counted them."""
    return sum(
        value
        for (name, labels), value in metrics.samples.items()
        if name == CHANGES and ("reason", "event") in labels
    )


async def _terms(local: Local, metrics: Scrape, events: Events) -> Terms:
    """What contenders take over: the model, the size of a batch, the bytes of a profile."""
    settings = local.settings
    keys = Keys(settings.namespace)
    place = partitioner(settings.partitioner, settings.partitions)
    some = {CustomerId(event.customer_id) for event in events[-SAMPLE:]}
    here = [name for name in some if place(name.encode()) == 0]
    redis = connect_redis(settings)
    try:
        version = await local.observer.catalogue.model_version(DEFAULT_SEGMENTATION)
        snapshot = await local.observer.catalogue.model(version, DEFAULT_SEGMENTATION)
        profiles = await RedisStore(redis, keys).profiles(0, here)
    finally:
        await redis.aclose()
    sizes = [len(profile) for profile in profiles if profile]
    if not snapshot or not sizes:
        raise BenchError("there is no model or profile to compare with: take more events")
    steps = metrics.total(f"{BATCH_SIZE}_count")
    return Terms(
        snapshot=snapshot,
        batch=max(round(metrics.total(f"{BATCH_SIZE}_sum") / max(steps, 1)), 1),
        profile_bytes=round(fmean(sizes)),
    )


async def _warm_up(local: Local, events: Events) -> None:
    """Trainer and worker running, the events behind them, everybody in a segment."""
    await fill(events, local.settings)
    await _start(local)
    await _until_handled(local, len(events))
    await _check(local, sent=len(events), customers=customers_of(events))


async def _start(local: Local) -> None:
    local.start_trainer()
    local.start_worker()
    await local.processes.until_ready()


async def _until_received(local: Local) -> tuple[int, float, float]:
    """How many events the worker has taken first, when (monotonic), its processor time by then.

    What it has taken may be half done: it is not counted, though the rest is measured.
    """
    deadline = monotonic() + HANDLE_SECONDS
    while not (taken := await _received(local)):
        local.processes.check()
        if monotonic() > deadline:
            raise BenchError(f"the worker took no event in {HANDLE_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    return taken, monotonic(), cpu_seconds(local.processes.pid(WORKER))


async def _received(local: Local) -> int:
    try:
        return int((await local.scrape()).total(RECEIVED))
    except aiohttp.ClientError:
        return 0  # it does not listen yet


async def _until_handled(local: Local, events: int) -> float:
    """When so many events were behind the lanes, by the monotonic clock."""
    deadline = monotonic() + HANDLE_SECONDS
    while (handled := await local.observer.handled()) < events:
        local.processes.check()
        if monotonic() > deadline:
            raise BenchError(
                f"{handled} of {events} events were handled in {HANDLE_SECONDS:.0f} s: "
                "use a faster machine, or fewer events"
            )
        await asyncio.sleep(POLL_SECONDS)
    return monotonic()


async def _counted(local: Local, events: int) -> Scrape:
    """The worker's metrics, once it has counted so many events or should have by now."""
    # A step is in Redis a moment before its worker knows.
    deadline = monotonic() + COUNT_SECONDS
    while True:
        metrics = await local.scrape()
        if metrics.total(PROCESSED) + metrics.total(REJECTED) >= events or monotonic() > deadline:
            return metrics
        await asyncio.sleep(POLL_SECONDS)


async def _check(local: Local, *, sent: int, customers: int) -> None:
    """Wait for the segments of those who came last; all must be there, and told."""
    report = await _until_assigned(local)
    metrics = await _counted(local, sent)
    complaint = fault(
        sent=sent,
        processed=int(metrics.total(PROCESSED)),
        rejected=int(metrics.total(REJECTED)),
        duplicates=int(metrics.total(DUPLICATE)),
        customers=customers,
        report=report,
    )
    if complaint := complaint or await _fault_of_told(local, customers):
        raise BenchError(f"this run does not count: {complaint}")


async def _fault_of_told(local: Local, customers: int) -> str:
    # Pages are written, and changes told, after the step; a model may still move somebody.
    deadline = monotonic() + AGREE_SECONDS
    while complaint := fault_of_told(customers, *await _told(local)):
        if monotonic() > deadline:
            return complaint
        await asyncio.sleep(POLL_SECONDS)
    return ""


async def _told(local: Local) -> tuple[dict[str, Shown], dict[str, Shown]]:
    """The last change told of each customer, and the page of each of them."""
    told: dict[str, Shown] = {}
    for change in await local.observer.changes():
        data = json.loads(change)["data"]
        told[data["customer_id"]] = data["version"], data["to"] and data["to"]["id"]
    keys = Keys(local.settings.namespace)
    redis = connect_redis(local.settings)
    try:
        async with redis.pipeline(transaction=False) as pipe:
            for name in told:
                pipe.hmget(keys.segment(CustomerId(name)), ["version", "id"])
            found = await pipe.execute()
    finally:
        await redis.aclose()
    pages = {
        name: (int(version or 0), segment and segment.decode())
        for name, (version, segment) in zip(told, found, strict=True)
    }
    return told, pages


async def _until_assigned(local: Local) -> SegmentReport:
    """The segments, once every customer has one or it takes too long."""
    deadline = monotonic() + ASSIGN_SECONDS
    while True:
        report = await local.observer.segments()
        if (report.model and not report.unassigned) or monotonic() > deadline:
            return report
        local.processes.check()
        await asyncio.sleep(0.1)


def fault(
    *,
    sent: int,
    processed: int,
    rejected: int,
    duplicates: int,
    customers: int,
    report: SegmentReport,
) -> str:
    """Why a run does not count; empty when it does."""
    if processed + rejected != sent:
        return f"{sent} events were sent, {processed} processed and {rejected} rejected"
    if rejected:
        return f"{rejected} of {sent} events were rejected: see the topic of rejected events"
    if duplicates:
        return f"{duplicates} of {sent} events were left out as duplicates"
    if report.customers != customers:
        return f"the events are of {customers} customers, Redis knows {report.customers}"
    if report.unassigned:
        return f"{report.unassigned} of {report.customers} customers are in no segment"
    return ""


def fault_of_told(customers: int, told: Mapping[str, Shown], pages: Mapping[str, Shown]) -> str:
    """Why what was told is not what pages show; empty when it is. `told` is each one's last."""
    if len(told) != customers:
        return f"of {customers} customers, {len(told)} were told of"
    wrong = [name for name, change in told.items() if pages.get(name) != change]
    if wrong:
        return f"the last change told of {len(wrong)} customers is not in Redis, as of {wrong[0]}"
    return ""
