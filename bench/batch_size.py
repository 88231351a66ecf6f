"""How many events a second one worker takes, by how many it may put into one step.

A backlog is worked off by one worker after the other, each with its own SHOAL_BATCH_EVENTS; the
sizes take turns, and the median of the turns counts. Processor time is the worker's own.

    python -m bench.batch_size [--json] [--events N] [--runs N] [--plots FOLDER]
"""

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.common import Spread, machine, tell
from bench.plots import BUILD, draw_batch_size
from bench.stage import Stage, shop, stage
from bench.watch import Look, cost, rate

SIZES = (20, 50, 200, 500, 1_000, 2_000, 5_000)
PER_SECOND = 2_000.0

err = Console(stderr=True, highlight=False)


async def measure(events: int, runs: int) -> dict[str, Any]:
    """Everything, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    rates: defaultdict[int, list[float]] = defaultdict(list)
    costs: defaultdict[int, list[float]] = defaultdict(list)
    seconds = events * runs * len(SIZES) / PER_SECOND
    async with stage(err, shop(), seconds=seconds, rate=PER_SECOND) as on:
        await on.down()
        for run in range(runs):
            for size in SIZES:
                looks = await _worked_off(on, events, size)
                rates[size].append(rate(looks))
                costs[size].append(cost(looks))
                err.print(f"run {run + 1}: {size} in a step, {rates[size][-1]:.0f} events/s")
    return {
        "events": events,
        "runs": runs,
        "events_per_second": {str(size): _spread(found) for size, found in rates.items()},
        "cpu_us_per_event": {str(size): round(median(found), 1) for size, found in costs.items()},
        "machine": machine(),
    }


async def _worked_off(on: Stage, events: int, size: int) -> list[Look]:
    before = on.feed.sent
    await on.feed.to(before + events)
    async with on.other(batch_events=size) as sized:
        looks = await sized.up()
        await sized.check(since=before)
    return looks


def _spread(rates: list[float]) -> dict[str, int]:
    spread = Spread.of(rates)
    return {
        "median": round(spread.median),
        "lowest": round(spread.lowest),
        "highest": round(spread.highest),
    }


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    title = f"{result['runs']} runs of {result['events']} events"
    table = Table("most events in a step", "events/s", "range", "µs an event", title=title)
    for size, found in result["events_per_second"].items():
        micros = str(result["cpu_us_per_event"][size])
        table.add_row(size, str(found["median"]), f"{found['lowest']}-{found['highest']}", micros)
    return table


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events of a run")] = 60_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each size; the median counts")] = 3,
    plots: Annotated[Path, typer.Option(help="Folder for the plot")] = BUILD,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, no plot")] = False,
) -> None:
    """Measure throughput against the size of batches on this machine."""
    tell(
        measure(events, runs),
        as_json=as_json,
        table_of=table_of,
        draw=lambda result: draw_batch_size(result, plots),
    )


if __name__ == "__main__":
    typer.run(main)
