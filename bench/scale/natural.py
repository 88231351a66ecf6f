"""The simulated shop at full rate: what the trainer takes, and what Redis holds of a customer."""

from statistics import median
from typing import Any

from rich.console import Console

from bench.common import cpu_seconds
from bench.load import customers_of, fill, simulated
from bench.scale.holdings import bytes_by_kind
from bench.scale.sites import open_site
from stream.local import TRAINER

WARM_UP, BLOCK = 20_000, 60_000
# Of a customer, when bytes are counted; and until a first model is a small part of the trainer's.
STORED_EVENTS, TRAINED_EVENTS = 12, 30
LEARNED = "shoal_trainer_updates_total"


async def measure(console: Console, customers: int) -> dict[str, Any]:
    """A worker and the trainer on a backlog of this shop, until everybody is scored.

    Raises
    ------
    BenchError
        An event is missing, or a customer has no segment.
    """
    stored = await _served(console, customers, STORED_EVENTS)
    trained = await _served(console, customers, TRAINED_EVENTS)
    return stored | {
        "trainer_cpu_share": trained["trainer_cpu_share"],
        "trainer": {
            "seconds": trained["natural"]["seconds"],
            "events_per_second": trained["natural"]["events_per_second"],
            "first_seconds": stored["natural"]["seconds"],
            "first_share": stored["trainer_cpu_share"],
        },
    }


async def _served(console: Console, customers: int, events_each: int) -> dict[str, Any]:
    events = simulated(WARM_UP + customers * events_each, customers)
    async with open_site(console) as site:
        processes = site.local.processes
        empty = float((await site.redis_info())["used_memory"])
        site.local.start_trainer()
        await site.start_workers(1)
        await fill(events[:WARM_UP], site.local.settings)
        await site.local.drain(WARM_UP)
        site.sent = WARM_UP
        pid = processes.pid(TRAINER)
        learned = (await processes.scrape(TRAINER)).total(LEARNED)
        seconds = trained = changes = 0.0
        for first in range(WARM_UP, len(events), BLOCK):
            block = events[first : first + BLOCK]
            before = cpu_seconds(pid)
            cost = await site.block(block, customers_of(events[: first + len(block)]))
            trained += cpu_seconds(pid) - before
            seconds += len(block) / cost.events_per_second
            changes += cost.changes * len(block)
        await site.local.drain(len(events))
        learned = (await processes.scrape(TRAINER)).total(LEARNED) - learned
        await processes.stop(*site.workers, TRAINER)
        told = await site.local.observer.changes()
        known = customers_of(events)
        kinds = await bytes_by_kind(site.local.settings, known)
        full = float((await site.redis_info())["used_memory"])
    counted = len(events) - WARM_UP
    return {
        "trainer_cpu_share": round(trained / seconds, 4),
        "redis_bytes_per_customer": round((full - empty) / known, 1),
        "natural": {
            "customers": known,
            "seconds": round(seconds, 1),
            "events_per_second": round(counted / seconds),
            "changes": round(changes / counted, 4),
            "change_bytes": round(median(len(value) for value in told), 1),
            "trainer_us_per_profile": round(trained / max(learned, 1) * 1e6, 1),
            "redis_bytes_by_kind": kinds,
        },
    }
