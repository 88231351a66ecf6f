"""How long an event takes from Kafka to Redis, by how busy the worker is.

First a backlog says what the worker can do; then events come at shares of that rate. The
figures are the worker's own histogram, from a record's Kafka timestamp to the durable step.

    python -m bench.latency [--json] [--seconds N] [--plots FOLDER]
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.common import machine, tell
from bench.forgetting import forgetting
from bench.plots import BUILD, draw_latency
from bench.stage import Stage, shop, stage
from bench.watch import rate, until_lag

SHARES = (0.05, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
BACKLOG_EVENTS = 100_000
PER_SECOND = 2_000.0
SETTLE_SECONDS = 2.0
LATENCY = "shoal_event_to_redis_seconds"

err = Console(stderr=True, highlight=False)


async def measure(seconds: int) -> dict[str, Any]:
    """Everything, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    past = BACKLOG_EVENTS / PER_SECOND
    async with stage(err, shop(), seconds=past, rate=PER_SECOND) as on:
        await on.down()
        before = on.feed.sent
        await on.feed.to(before + BACKLOG_EVENTS)
        highest = rate(await on.up())
        await on.check(since=before)
        err.print(f"at most {highest:.0f} events/s")
        loads = [{"share": share} | await at_rate(on, share * highest, seconds) for share in SHARES]
        await on.check(since=before)
    return {"highest": round(highest), "loads": loads, "machine": machine()}


async def at_rate(on: Stage, events_per_second: float, seconds: int) -> dict[str, float]:
    """From arrival in Kafka to the durable step, in ms, while so many events come."""
    on.feed.pace(events_per_second)
    async with on.feed.going_on(), forgetting(on.local):
        await asyncio.sleep(SETTLE_SECONDS)
        before = await on.local.scrape()
        await asyncio.sleep(seconds)
        after = await on.local.scrape()
    await until_lag(on.local, on.feed, 0, every_seconds=0.1)
    seen = after.histogram(LATENCY) - before.histogram(LATENCY)
    found = {
        "events_per_second": round(after.rate(before, "shoal_events_processed_total")),
        "p50": round(seen.quantile(0.5) * 1000, 1),
        "p99": round(seen.quantile(0.99) * 1000, 1),
    }
    err.print(f"at {found['events_per_second']} events/s: {found['p50']} and {found['p99']} ms")
    return found


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    title = f"latency in ms; at most {result['highest']} events/s"
    table = Table("load", "events/s", "p50", "p99", title=title)
    for load in result["loads"]:
        figures = (str(load[name]) for name in ("events_per_second", "p50", "p99"))
        table.add_row(f"{load['share']:.0%}", *figures)
    return table


def main(
    *,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds at each rate")] = 10,
    plots: Annotated[Path, typer.Option(help="Folder for the plot")] = BUILD,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, no plot")] = False,
) -> None:
    """Measure latency against load on this machine."""
    tell(
        measure(seconds),
        as_json=as_json,
        table_of=table_of,
        draw=lambda result: draw_latency(result, plots),
    )


if __name__ == "__main__":
    typer.run(main)
