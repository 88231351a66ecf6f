"""Whether an event costs the same in a large shop, and what all of it costs.

Every figure is of real processes on this machine: the embedded Kafka, a Valkey that syncs each
step to the disk, workers and the trainer. A block of events waits in Kafka before the workers go
on, and counts only when every event was counted once and every customer is in a segment.

    python -m bench.scale [--json] [--customers N] [--runs N] [--only PART]
"""

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.common import machine, tell
from bench.scale import largest, natural, parts
from bench.scale.results import summary_of, table_of

SHOP = 30_000

err = Console(stderr=True, highlight=False)


class Part(StrEnum):
    """What can be measured on its own. `largest` is measured only when it is asked for."""

    CPU = "cpu"
    WORKERS = "workers"
    MEMORY = "memory"
    START = "start"
    SHOP = "shop"
    LARGEST = "largest"


async def measure(customers: int, runs: int, only: Part | None) -> dict[str, Any]:
    """Everything that was asked for, as it goes into JSON.

    Raises
    ------
    ShoalError
        A block does not count, or a process did not do its work.
    """
    wanted = {only} if only else set(Part) - {Part.LARGEST}
    shared = {
        Part.CPU: parts.cpu,
        Part.WORKERS: parts.workers,
        # START ends the worker that has seen everybody.
        Part.MEMORY: parts.rss,
        Part.START: parts.start,
    }
    found: dict[str, Any] = {}
    shops = parts.Shops(err, customers)
    async with shops.stack:
        for part, ask in shared.items():
            if part in wanted:
                found |= await ask(shops, runs)
    if Part.SHOP in wanted:
        found |= await natural.measure(err, SHOP)
    if Part.LARGEST in wanted:
        found["largest"] = await largest.measure(err, runs, 2 * customers)
    return summary_of(found) | {"customers": customers, "runs": runs, "machine": machine()}


def main(
    *,
    customers: Annotated[
        int,
        typer.Option(
            min=100_000, help="Customers of the large shop; the largest has twice as many"
        ),
    ] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Alternating runs; medians count")] = 5,
    only: Annotated[Part | None, typer.Option(help="Measure nothing else")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure what events, customers and changes cost on this machine."""
    tell(measure(customers, runs, only), as_json=as_json, table_of=table_of)


if __name__ == "__main__":
    typer.run(main)
