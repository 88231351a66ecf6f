"""What one customer with 30 % of all events does to the others.

The same events are taken with and without such a customer, in turns: first as a backlog, then at
an even rate. The others are the customers of all partitions but the hot one's.

    python -m bench.hot [--json] [--events N] [--rate N] [--seconds N] [--runs N]
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench.common import machine, tell
from bench.stage import Stage, shop, stage
from bench.timeline import Template
from bench.watch import Look, cost, look, rate, until_lag
from models.columns import Floats

HOT = "hot"
SHARE = 0.3
LOOK_SECONDS = 0.005

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Run:
    """Rates in events/s, CPU in µs an event, latencies in seconds, the most that waited."""

    all_rate: float
    all_cost: float
    others_rate: float
    latencies: Floats
    lag_hot: int
    lag_others: int


def with_hot(circle: Sequence[Template], share: float = SHARE) -> tuple[Template, ...]:
    """The same events, an even share of them one customer's."""
    return tuple(
        _whose(template, HOT) if int((at + 1) * share) > int(at * share) else template
        for at, template in enumerate(circle)
    )


def _whose(template: Template, customer: str) -> Template:
    of, by = (f'"customer_id":"{name}"'.encode() for name in (template.customer_id, customer))
    return replace(template, customer_id=customer, head=template.head.replace(of, by))


def others_rate(looks: Sequence[Look], hot: int) -> float:
    """Events a second in the partitions without the hot customer, until none waits there."""

    def others(seen: Look) -> int:
        return sum(seen.lags) - seen.lags[hot]

    end = next(seen for seen in looks if others(seen) == 0)
    return (others(looks[0]) - others(end)) / max(end.at - looks[0].at, 1e-9)


def latencies(looks: Sequence[Look], partitions: Sequence[int]) -> Floats:
    """Seconds from when a record was seen in the log until it was behind the lane, for each."""
    at = np.array([seen.at for seen in looks])
    found = []
    for partition in partitions:
        written = np.array([seen.written[partition] for seen in looks])
        handled = np.array([seen.handled[partition] for seen in looks])
        offsets = np.arange(written[0], handled[-1])
        since = at[np.searchsorted(written, offsets, side="right")]
        found.append(at[np.searchsorted(handled, offsets, side="right")] - since)
    return np.concatenate(found)


async def measure(events: int, per_second: float, seconds: int, runs: int) -> dict[str, Any]:
    """Everything, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    found: dict[bool, list[Run]] = {False: [], True: []}
    async with stage(err, shop(), seconds=0, rate=per_second) as on:
        usual = on.feed.timeline.circle
        circles = {False: usual, True: with_hot(usual)}
        on.feed.play(replace(on.feed.timeline, circle=circles[True]))
        hot, _ = on.feed.customers[HOT]
        for _ in range(runs):
            for is_hot, runs_so_far in found.items():
                on.feed.play(replace(on.feed.timeline, circle=circles[is_hot]))
                runs_so_far.append(await _run(on, hot, events, per_second, seconds))
                err.print(
                    f"{'with' if is_hot else 'without'}: others {runs_so_far[-1].others_rate:.0f} "
                    f"events/s, p99 {_ms(runs_so_far[-1].latencies, 0.99)} ms"
                )
    return summary_of(found[False], found[True]) | {"machine": machine()}


async def _run(on: Stage, hot: int, events: int, per_second: float, seconds: int) -> Run:
    await on.down()
    before = on.feed.sent
    on.feed.pace(per_second, ago_seconds=events / per_second)
    await on.feed.to(before + events)
    backlog = await on.up(every_seconds=0.02)
    await on.check(since=before)
    on.feed.pace(per_second)
    paced = [await look(on.local, on.feed)]
    async with on.feed.going_on():
        while paced[-1].at - paced[0].at < seconds:
            await asyncio.sleep(LOOK_SECONDS)
            paced.append(await look(on.local, on.feed))
    paced += await until_lag(on.local, on.feed, 0, every_seconds=LOOK_SECONDS)
    others = [number for number in on.local.observer.partitions if number != hot]
    return Run(
        all_rate=rate(backlog),
        all_cost=cost(backlog),
        others_rate=others_rate(backlog, hot),
        latencies=latencies(paced, others),
        lag_hot=max(seen.lags[hot] for seen in paced),
        lag_others=max(seen.lags[number] for seen in paced for number in others),
    )


def summary_of(without: Sequence[Run], hot: Sequence[Run]) -> dict[str, Any]:
    """Medians over the runs, and ratios pair by pair."""
    pairs = list(zip(hot, without, strict=True))
    return {
        "runs": len(pairs),
        "others_events_per_second": {
            "with": round(median(run.others_rate for run in hot)),
            "without": round(median(run.others_rate for run in without)),
            "ratio": round(median(one.others_rate / two.others_rate for one, two in pairs), 2),
        },
        "all_events_per_second": {
            "with": round(median(run.all_rate for run in hot)),
            "without": round(median(run.all_rate for run in without)),
            "ratio": round(median(one.all_rate / two.all_rate for one, two in pairs), 2),
        },
        "cpu_us_per_event": {
            "with": round(median(run.all_cost for run in hot), 1),
            "without": round(median(run.all_cost for run in without), 1),
        },
        "others_latency_ms": {"with": _latency(hot), "without": _latency(without)},
        "most_waiting": {
            "hot_partition": max(run.lag_hot for run in hot),
            "other_partition": max(run.lag_others for run in hot),
            "without": max(run.lag_others for run in without),
        },
    }


def _latency(runs: Sequence[Run]) -> dict[str, float]:
    return {
        name: round(median(_ms(run.latencies, share) for run in runs), 1)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def _ms(seconds: Floats, share: float) -> float:
    return round(float(np.quantile(seconds, share)) * 1000, 1)


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    table = Table(
        "of the other partitions",
        "with",
        "without",
        title=f"one customer with {SHARE:.0%} of all events, {result['runs']} runs of each",
    )
    rates, everyone = result["others_events_per_second"], result["all_events_per_second"]
    table.add_row("events/s of a backlog", str(rates["with"]), str(rates["without"]))
    table.add_row("  all partitions", str(everyone["with"]), str(everyone["without"]))
    costs = result["cpu_us_per_event"]
    table.add_row("  the worker's CPU", f"{costs['with']} µs/event", f"{costs['without']} µs/event")
    latency = result["others_latency_ms"]
    for name in ("p50", "p99"):
        figures = (f"{latency[which][name]} ms" for which in ("with", "without"))
        table.add_row(f"latency {name}", *figures)
    most = result["most_waiting"]
    table.add_row("most that waited", str(most["other_partition"]), str(most["without"]))
    table.add_row("  in the hot partition", str(most["hot_partition"]), "")
    return table


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events of a backlog")] = 60_000,
    per_second: Annotated[int, typer.Option("--rate", min=10, help="Of the even rate")] = 2_000,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds at the even rate")] = 10,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; medians count")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure what a hot customer does to the others on this machine."""
    tell(measure(events, per_second, seconds, runs), as_json=as_json, table_of=table_of)


if __name__ == "__main__":
    typer.run(main)
