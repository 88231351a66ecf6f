"""How many events a second one worker takes, how soon they are in Redis, and in how much memory.

Every figure is of real processes on this machine: the embedded Kafka and Redis (each step synced
to the disk), the trainer and one worker share its cores with the bench. No figure is given for
work that was not done: every event must be counted and every customer be in a segment.

    python -m bench.throughput [--json] [--events N] [--customers N] [--runs N] [--only WHAT]
"""

import asyncio
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.common import Spread, machine
from bench.load import simulated, visitors
from bench.measurements import STAGES, Run, measure_latency, measure_memory, measure_throughput
from models.errors import ShoalError

WARM_UP_EVENTS = 20_000
RATE = 1_000
LATENCY_SECONDS = 20
MEMORY_CUSTOMERS = 200_000

err = Console(stderr=True, highlight=False)


class Measurement(StrEnum):
    """What can be measured on its own."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    MEMORY = "memory"


async def measure(
    events: int, customers: int, runs: int, only: Measurement | None
) -> dict[str, Any]:
    """Everything that was asked for, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    result: dict[str, Any] = {"events": events, "customers": customers, "runs": runs}
    if only in {None, Measurement.THROUGHPUT}:
        source = simulated(WARM_UP_EVENTS + events, customers)
        measured = []
        for number in range(runs):
            run = await measure_throughput(source[:WARM_UP_EVENTS], source[WARM_UP_EVENTS:], err)
            err.print(f"run {number + 1} of {runs}: {run.events_per_second:.0f} events/s")
            measured.append(run)
        result |= summary_of(measured)
    if only in {None, Measurement.LATENCY}:
        source = simulated(WARM_UP_EVENTS + RATE * LATENCY_SECONDS, customers)
        warm_up, paced = source[:WARM_UP_EVENTS], source[WARM_UP_EVENTS:]
        seen = await measure_latency(warm_up, paced, err, rate=RATE)
        result["latency_ms"] = {
            "at": RATE,
            "p50": round(seen.quantile(0.5) * 1000, 1),
            "p99": round(seen.quantile(0.99) * 1000, 1),
        }
    if only in {None, Measurement.MEMORY}:
        result["worker_rss_mb"] = await measure_memory(list(visitors(MEMORY_CUSTOMERS)), err)
    return result | {"machine": machine()}


def summary_of(runs: Sequence[Run]) -> dict[str, Any]:
    """Medians of several runs, with the range of the rate."""
    rate = Spread.of([run.events_per_second for run in runs])
    return {
        "events_per_second": {
            "shoal": round(rate.median),
            "lowest": round(rate.lowest),
            "highest": round(rate.highest),
        },
        "stages_us_per_event": {
            stage: round(Spread.of([run.stages_us_per_event[stage] for run in runs]).median, 1)
            for stage in STAGES
        },
        "cpu_us_per_event": round(Spread.of([run.cpu_us_per_event for run in runs]).median, 1),
    }


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    where = result["machine"]
    table = Table(
        "what",
        "figure",
        "how",
        title=f"one worker, {where['cores']} cores for everything, Python {where['python']}",
    )
    if rate := result.get("events_per_second"):
        table.add_row(
            "throughput",
            f"{rate['shoal']} events/s",
            f"{rate['lowest']}-{rate['highest']} in {result['runs']} runs of {result['events']}",
        )
        table.add_row("CPU of the worker", f"{result['cpu_us_per_event']} µs/event", "")
        for stage, micros in result["stages_us_per_event"].items():
            table.add_row(f"  {stage}", f"{micros} µs/event", "partitions overlap")
    if latency := result.get("latency_ms"):
        how = f"arrival in Kafka to Redis, at {latency['at']} events/s"
        table.add_row("latency p50", f"{latency['p50']} ms", how)
        table.add_row("latency p99", f"{latency['p99']} ms", how)
    if used := result.get("worker_rss_mb"):
        how = f"{used['customers']} customers"
        table.add_row("memory of the worker", f"{used['rss']} MB", how)
        table.add_row("memory at most", f"{used['peak']} MB", how)
    return table


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events of a throughput run")] = 100_000,
    customers: Annotated[int, typer.Option(min=1, help="Customers of the simulated shop")] = 20_000,
    runs: Annotated[int, typer.Option(min=1, help="Throughput runs; the median counts")] = 3,
    only: Annotated[Measurement | None, typer.Option(help="Measure nothing else")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure throughput, latency and memory of one worker on this machine."""
    try:
        result = asyncio.run(measure(events, customers, runs, only))
    except ShoalError as error:
        err.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(result))
    else:
        Console(highlight=False).print(table_of(result))


if __name__ == "__main__":
    typer.run(main)
