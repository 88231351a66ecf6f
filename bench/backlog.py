"""How a worker catches up after an outage: how fast, how steadily, and what it tells meanwhile.

The worker is stopped and events go on, an hour of them by day and night; then it is started again
while they still go on. Beside it stand shorter outages that end in silence, before and after: what
the same machine does at full rate. Every event must be counted, decayed sums must be those that
the events' own times make, and nobody may be told what was outdated when it was told.

    python -m bench.backlog [--json] [--seconds N] [--rate N] [--plots FOLDER]
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.aftermath import Telling, largest_error, telling
from bench.common import machine, tell
from bench.feed import wall_ms
from bench.plots import BUILD, draw_backlog
from bench.stage import shop, stage
from bench.watch import Look, by_second, cost, longest_stall, rate
from stream.sources import SourceEvent

PLAIN_SECONDS = 100
STALL_SECONDS = 5.0

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """An outage's end. Looks begin with the first step after it, and end when nothing waits."""

    events: int
    looks: Sequence[Look]
    told: Telling
    largest_error: float


async def catch_up(
    events: Sequence[SourceEvent], *, seconds: int, per_second: float, goes_on: bool
) -> CatchingUp:
    """An outage of so long; afterwards events go on, or end.

    Raises
    ------
    ShoalError
        The work was not done, or a process ended.
    """
    async with stage(err, events, seconds=seconds, rate=per_second) as on:
        await on.down()
        before = on.feed.sent
        err.print(f"{seconds * per_second:.0f} events wait for a worker", style="dim")
        if goes_on:
            await on.feed.catch_up()
        else:
            await on.feed.to(before + int(seconds * per_second))
        since_ms = wall_ms()
        async with on.feed.going_on() if goes_on else contextlib.nullcontext():
            # A second's worth always waits while events go on.
            looks = await on.up(lag=per_second / 2 if goes_on else 0)
        await on.check(since=before)
        err.print(f"{on.feed.sent - before} events, {rate(looks):.0f} a second")
        return CatchingUp(
            events=on.feed.sent - before,
            looks=looks,
            told=await telling(on.local, since_ms),
            largest_error=await largest_error(on.local, on.feed),
        )


async def measure(seconds: int, per_second: float) -> dict[str, Any]:
    """Everything, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    events = shop()
    plain = [await _plain(events, per_second)]
    long = await catch_up(events, seconds=seconds, per_second=per_second, goes_on=True)
    plain.append(await _plain(events, per_second))
    return summary_of(long, plain, per_second) | {"machine": machine()}


async def _plain(events: Sequence[SourceEvent], per_second: float) -> CatchingUp:
    return await catch_up(events, seconds=PLAIN_SECONDS, per_second=per_second, goes_on=False)


def summary_of(long: CatchingUp, plain: Sequence[CatchingUp], per_second: float) -> dict[str, Any]:
    """Figures of a long outage, beside those of short ones on the same machine."""
    told = long.told
    looks = long.looks
    seconds = by_second(looks)
    at_full_rate = median(rate(run.looks) for run in plain)
    rises = [max(after.lag - before.lag, 0) for before, after in pairwise(seconds)]
    return {
        "events": long.events,
        "live_events_per_second": round(per_second),
        "drain_seconds": round(looks[-1].at - looks[0].at, 1),
        "events_per_second": {
            "catching_up": round(rate(looks)),
            "full_rate": round(at_full_rate),
            "ratio": round(rate(looks) / at_full_rate, 2),
        },
        "cpu_us_per_event": {
            "catching_up": round(cost(looks), 1),
            "full_rate": round(median(cost(run.looks) for run in plain), 1),
        },
        "longest_stall_seconds": round(longest_stall(looks), 2),
        "seconds_in_which_lag_rose": sum(rise > 0 for rise in rises),
        "falls_steadily": longest_stall(looks) < STALL_SECONDS,
        "changes_per_event": {
            "catching_up": round(told.by_events / long.events, 4),
            "full_rate": round(median(run.told.by_events / run.events for run in plain), 4),
        },
        "changes": {
            "told": told.changes,
            "told_again_by_claims": told.again,
            "superseded_in_their_step": told.twice,
            "by_outdated_model": told.outdated,
            "models_published_meanwhile": told.models,
            "new_model_first_told_after_ms": told.followed_ms,
        },
        "largest_relative_error": float(f"{long.largest_error:.1e}"),
        "lag": [[round(seen.at - looks[0].at, 1), *seen.lags] for seen in seconds],
    }


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    rates, changes = result["events_per_second"], result["changes"]
    table = Table("what", "figure", "how", title=f"{result['events']} events after an outage")
    table.add_row(
        "catching up",
        f"{rates['catching_up']} events/s",
        f"{rates['ratio']} of the full rate of {rates['full_rate']}; "
        f"{result['live_events_per_second']} new ones a second meanwhile",
    )
    costs = result["cpu_us_per_event"]
    how = f"at full rate {costs['full_rate']} µs"
    table.add_row("the worker's CPU", f"{costs['catching_up']} µs/event", how)
    table.add_row("caught up after", f"{result['drain_seconds']} s", "from the first step")
    table.add_row("longest stall", f"{result['longest_stall_seconds']} s", "no step in any lane")
    rose = str(result["seconds_in_which_lag_rose"])
    table.add_row("seconds in which lag rose", rose, "")
    share = result["changes_per_event"]
    table.add_row(
        "changes per event", f"{share['catching_up']:.2%}", f"at full rate {share['full_rate']:.2%}"
    )
    table.add_row(
        "changes superseded in their step",
        str(changes["superseded_in_their_step"]),
        f"of {changes['told']}, by {changes['models_published_meanwhile']} more models",
    )
    table.add_row("changes by an outdated model", str(changes["by_outdated_model"]), "")
    error = f"{result['largest_relative_error']:.0e}"
    table.add_row("decayed sums are off by", error, "of what the events' times make them")
    return table


def main(
    *,
    seconds: Annotated[int, typer.Option(min=60, help="How long the outage lasts")] = 3_600,
    per_second: Annotated[
        int, typer.Option("--rate", min=100, help="Events a second meanwhile")
    ] = 2_000,
    plots: Annotated[Path, typer.Option(help="Folder for the plot")] = BUILD,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, no plot")] = False,
) -> None:
    """Measure how a worker catches up on this machine."""
    tell(
        measure(seconds, per_second),
        as_json=as_json,
        table_of=table_of,
        draw=lambda result: draw_backlog(result, plots),
    )


if __name__ == "__main__":
    typer.run(main)
