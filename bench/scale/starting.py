"""How soon a worker that is started assigns."""

import asyncio
from statistics import median
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench.common import BenchError, cpu_seconds
from bench.load import fill
from bench.scale.crowd import Crowd
from bench.scale.sites import Site
from stream.connections import kafka_options
from stream.names import Topics

POLL_SECONDS, LONGEST_SECONDS = 0.02, 60.0


async def seconds_to_start(site: Site, crowd: Crowd, runs: int) -> dict[str, Any]:
    """From the start of the process to its first step in Redis, where events wait.

    The broker's join delay is taken off: what a bare consumer waits that comes back to a group of
    its own, as the worker comes back to its group, under the name that it had.

    `start_cpu_seconds` is what the process itself used until then: on a busy machine the rest is
    waiting for a core.

    Raises
    ------
    BenchError
        The worker did not assign in time.
    """
    totals, joins, spent = [], [], []
    (name,) = site.workers
    for _ in range(runs):
        await site.local.processes.stop(name)
        site.workers.remove(name)
        await fill(crowd.events([0]), site.local.settings)
        site.sent += len(crowd.members)
        before = await site.local.observer.handled()
        started = monotonic()
        (moved, used), _ = await asyncio.gather(_until_moved(site, before), site.start_workers(1))
        totals.append(moved - started)
        spent.append(used)
        await site.until_handled()
        joins.append(await _join_seconds(site))
    return {
        "start_seconds": round(median(t - j for t, j in zip(totals, joins, strict=True)), 2),
        "start_with_join_seconds": round(median(totals), 2),
        "join_seconds": round(median(joins), 2),
        "start_cpu_seconds": round(median(spent), 2),
    }


async def _until_moved(site: Site, before: int) -> tuple[float, float]:
    """When a lane had moved on, and what its worker had used of a processor by then."""
    deadline = monotonic() + LONGEST_SECONDS
    while await site.local.observer.handled() == before:
        if monotonic() > deadline:
            raise BenchError(
                f"a worker assigned nobody within {LONGEST_SECONDS:.0f} s of its start"
            )
        await asyncio.sleep(POLL_SECONDS)
    (name,) = site.workers
    return monotonic(), cpu_seconds(site.local.processes.pid(name))


async def _join_seconds(site: Site) -> float:
    settings = site.local.settings
    seconds = 0.0
    for _ in range(2):
        consumer = AIOKafkaConsumer(
            Topics(settings.namespace).events,
            **kafka_options(settings),
            group_id="join",
            group_instance_id="join",
            enable_auto_commit=False,
        )
        started = monotonic()
        await consumer.start()
        try:
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=1000 * POLL_SECONDS)
            seconds = monotonic() - started
        finally:
            await consumer.stop()
    return seconds
