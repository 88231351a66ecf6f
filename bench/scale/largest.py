"""The largest shop that one machine holds: several workers, many partitions, all customers."""

from typing import Any

from rich.console import Console

from bench.scale.crowd import grow
from bench.scale.parts import COPIES_A_BLOCK, PRICED, SMALL, middle
from bench.scale.sites import open_site

WORKERS, PARTITIONS = 4, 32


async def measure(console: Console, runs: int, customers: int) -> dict[str, Any]:
    """What an event costs there, and what Redis holds.

    Raises
    ------
    BenchError
        An event is missing, or a customer has no segment.
    """
    crowd = await grow(console, SMALL)
    copies = customers // SMALL
    async with open_site(console, partitions=PARTITIONS) as site:
        empty = float((await site.redis_info())["used_memory"])
        console.print(f"writing {customers} customers", style="dim")
        await crowd.settle(site, copies)
        full = float((await site.redis_info())["used_memory"])
        await site.start_workers(WORKERS)
        await site.block(crowd.events([0]), customers)
        found = []
        for number in range(runs):
            first = 1 + number * COPIES_A_BLOCK
            own = [copy % copies for copy in range(first, first + COPIES_A_BLOCK)]
            found.append(await site.block(crowd.events(own), customers))
            console.print(f"run {number + 1} of {runs}: {found[-1].worker_us:.1f} µs/event")
    shown = ("events_per_second", "distinct", "changes", "loaded", "steps", *PRICED, "kafka_us")
    return {
        "customers": customers,
        "workers": WORKERS,
        "partitions": PARTITIONS,
        "redis_gb": round((full - empty) / 1e9, 3),
    } | {name: middle(found, name) for name in shown}
