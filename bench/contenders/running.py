"""One run of a contender: servers of its own, the events in Kafka, the process, the check."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from rich.console import Console

from bench.common import BenchError
from bench.contenders.checks import (
    Page,
    expected_offsets,
    expected_pages,
    fault_of_offsets,
    fault_of_pages,
)
from bench.contenders.environment import python_of_contenders
from bench.contenders.job import PREFIX, Job, Terms
from bench.contenders.profile import Model
from bench.load import fill
from stream.local import Local, local_servers
from stream.names import Topics
from stream.partitions import partitioner
from stream.sources import SourceEvent

RUN_SECONDS = 300.0
POLL_SECONDS = 0.05
SCAN = 10_000


class Contender(StrEnum):
    """Who does the same job beside Shoal."""

    QUIX = "quix"
    NAIVE_FAUST = "naive_faust"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Performance:
    """What a process took."""

    events_per_second: float
    cpu_us_per_event: float


async def run_contender(
    contender: Contender,
    warm_up: Sequence[SourceEvent],
    events: Sequence[SourceEvent],
    terms: Terms,
    console: Console,
) -> Performance:
    """Let a contender take `warm_up`, then `events`, which are in Kafka before it starts.

    `warm_up` is not measured: most customers are new there, and known to Shoal when it is measured.

    Raises
    ------
    BenchError
        It failed, took too long, or its results are wrong.
    """
    quix = contender is Contender.QUIX
    python = await python_of_contenders(console) if quix else sys.executable
    model = Model.of(terms.snapshot)
    with tempfile.TemporaryDirectory(prefix="contender-") as directory:
        async with local_servers(console) as local:
            sent = [*warm_up, *events]
            await fill(sent, local.settings)
            topics = Topics(local.settings.namespace)
            job = Job(
                kafka=local.settings.kafka,
                redis=local.settings.redis_url(),
                events_topic=topics.events,
                changes_topic=topics.changes,
                partitions=local.settings.partitions,
                warm_up=len(warm_up),
                events=len(events),
                model=model.to_dict(),
                batch=terms.batch,
                profile_bytes=terms.profile_bytes,
                directory=directory,
            )
            job.write()
            await _run(contender, python, job, local)
            complaint = await (
                _fault_of_floor(local, job, sent)
                if contender is Contender.FLOOR
                else _fault_of_application(local, job, sent, model)
            )
        if complaint:
            raise BenchError(f"this run of {contender} does not count: {complaint}")
        result = json.loads(job.result.read_text(encoding="utf-8"))
    return Performance(
        events_per_second=result["events"] / result["seconds"],
        cpu_us_per_event=result["cpu_seconds"] / result["events"] * 1e6,
    )


async def _run(contender: Contender, python: str, job: Job, local: Local) -> None:
    command = (python, "-m", f"bench.contenders.{contender}", str(job.file))
    local.processes.start(contender, command, port=0, member=None)
    deadline = monotonic() + RUN_SECONDS
    while contender not in local.processes.ended():
        if monotonic() > deadline:
            words = local.processes.last_words(contender)
            raise BenchError(f"{contender} was not done after {RUN_SECONDS:.0f} s: {words}")
        await asyncio.sleep(POLL_SECONDS)
    if not job.result.is_file():
        raise BenchError(f"{contender} ended early: {local.processes.last_words(contender)}")


async def _fault_of_application(
    local: Local, job: Job, events: Sequence[SourceEvent], model: Model
) -> str:
    told = {}
    for change in await local.observer.changes():
        content = json.loads(change)
        told[content["customer_id"]] = content["segment"]
    found = {}
    async with Redis.from_url(job.redis, decode_responses=True) as redis:
        names = [name async for name in redis.scan_iter(f"{PREFIX}*", count=SCAN)]
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(name, ["events", "segment"])
            for name, (counted, segment) in zip(names, await pipe.execute(), strict=True):
                found[name.removeprefix(PREFIX)] = Page(int(counted or 0), segment)
    return fault_of_pages(expected_pages(events, model, json.loads), found, told)


async def _fault_of_floor(local: Local, job: Job, events: Sequence[SourceEvent]) -> str:
    place = partitioner(local.settings.partitioner, job.partitions)
    ends, last = expected_offsets(events, place)
    async with Redis.from_url(job.redis) as redis:
        customers = list(last)
        blobs: Any = await redis.mget([f"{PREFIX}{customer}" for customer in customers])
        lanes = await redis.mget([f"{PREFIX}lane:{partition}" for partition in ends])
        due = [await redis.zcard(f"{PREFIX}due:{partition}") for partition in ends]
    found = {
        customer: int.from_bytes(blob[:8], "little")
        for customer, blob in zip(customers, blobs, strict=True)
        if blob is not None and len(blob) == job.profile_bytes
    }
    reached = {at: int(lane or 0) for at, lane in zip(ends, lanes, strict=True)}
    return fault_of_offsets((ends, last), (reached, found), sum(due))
