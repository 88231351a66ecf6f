"""How many events a second one worker takes, beside others that do the same job, and how soon.

Every figure is of real processes on this machine: the embedded Kafka and Redis (each step synced
to the disk), the trainer and one worker share its cores with the bench. Contenders take turns with
Shoal: Quix Streams, the obvious per-event Faust application, and the floor, which fetches, decodes
and writes, and does nothing else. All have the same events to warm up with; of those that follow,
the obvious Faust application takes the first twentieth. No figure is given for work that was not
done: every event must be counted, every customer be in a segment, and at full rate what was told
last of each be what is in Redis.

    python -m bench.throughput [--json] [--runs N] [--events N] [--contenders quix,floor]
                               [--only WHAT]
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.common import machine, tell
from bench.contenders.rounds import play, summary_of
from bench.contenders.running import Contender
from bench.latency import at_rate
from bench.load import newcomers, simulated, visitors
from bench.measurements import measure_memory
from bench.stage import shop, stage

WARM_UP_EVENTS = 20_000
IDLE_RATE = 2_000
LOADED_SHARE = 0.7
LATENCY_SECONDS = 15
MEMORY_CUSTOMERS = 200_000
# Plain Faust would take minutes for all of them: rates are compared.
SHARES = {Contender.QUIX: 1.0, Contender.NAIVE_FAUST: 0.05, Contender.FLOOR: 1.0}

err = Console(stderr=True, highlight=False)


class Measurement(StrEnum):
    """What can be measured on its own."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    MEMORY = "memory"


async def measure(
    events: int,
    customers: int,
    runs: int,
    contenders: frozenset[Contender],
    only: Measurement | None,
) -> dict[str, Any]:
    """Everything that was asked for, as it goes into JSON.

    Raises
    ------
    ShoalError
        A run does not count, or a process did not do its work.
    """
    result: dict[str, Any] = {"events": events, "customers": customers, "runs": runs}
    if only in {None, Measurement.THROUGHPUT}:
        result |= await _throughput(events, customers, runs, contenders)
    if only in {None, Measurement.LATENCY}:
        rates: dict[str, float] = {"idle": IDLE_RATE}
        if highest := _highest_rate(result):
            rates["loaded"] = LOADED_SHARE * highest
        result["latency_ms"] = await _latencies(rates)
    if only in {None, Measurement.MEMORY}:
        result["worker_rss_mb"] = await measure_memory(list(visitors(MEMORY_CUSTOMERS)), err)
    return result | {"machine": machine()}


async def _throughput(
    events: int, customers: int, runs: int, contenders: frozenset[Contender]
) -> dict[str, Any]:
    """Rates at the simulator's natural change rate, and `changing`, where many events change."""
    counts = {name: max(round(events * SHARES[name]), 1) for name in SHARES if name in contenders}
    natural = simulated(WARM_UP_EVENTS + events, customers)
    rounds = await play(natural[:WARM_UP_EVENTS], natural[WARM_UP_EVENTS:], counts, runs, err)
    err.print("the same where many events change a segment")
    changing = newcomers(WARM_UP_EVENTS + events)
    changed = await play(changing[:WARM_UP_EVENTS], changing[WARM_UP_EVENTS:], counts, runs, err)
    return summary_of(rounds) | {"changing": summary_of(changed)}


def _highest_rate(result: dict[str, Any]) -> float | None:
    spread = result.get("spread")
    return spread["events_per_second"]["shoal"][1] if spread else None


async def _latencies(rates: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Arrival in Kafka to Redis at these rates, of events that happen meanwhile."""
    async with stage(err, shop(), seconds=0, rate=IDLE_RATE) as on:
        found = {name: await at_rate(on, rate, LATENCY_SECONDS) for name, rate in rates.items()}
        await on.check(since=0)
    return found


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    where = result["machine"]
    table = Table(
        "what",
        "figure",
        "how",
        title=f"one worker, {where['cores']} cores for everything, Python {where['python']}",
    )
    if "events_per_second" in result:
        _add_rates(table, result, "")
        for stage, micros in result["stages_us_per_event"].items():
            table.add_row(f"  {stage}", f"{micros} µs/event", "partitions overlap")
        _add_rates(table, result["changing"], "changing: ")
    for name, latency in result.get("latency_ms", {}).items():
        how = f"arrival in Kafka to Redis, at {latency['events_per_second']} events/s"
        table.add_row(f"latency {name} p50", f"{latency['p50']} ms", how)
        table.add_row(f"latency {name} p99", f"{latency['p99']} ms", how)
    if used := result.get("worker_rss_mb"):
        how = f"{used['customers']} customers"
        table.add_row("memory of the worker", f"{used['rss']} MB", how)
        table.add_row("memory at most", f"{used['peak']} MB", how)
    return table


def _add_rates(table: Table, result: dict[str, Any], prefix: str) -> None:
    share = f"{result['change_rate']:.1%} of events change a segment"
    for name, rate in result["events_per_second"].items():
        low, high = result["spread"]["events_per_second"][name]
        cost = f"{low}-{high}, {result['cpu_us_per_event'][name]} µs of CPU an event"
        table.add_row(f"{prefix}{name}", f"{rate} events/s", cost)
    for name, ratio in result["ratio"].items():
        low, high = result["spread"]["ratio"][name]
        how = f"{low}-{high}; {result['cpu_ratio'][name]} by CPU; {share}"
        table.add_row(f"{prefix}shoal / {name}", f"{ratio}", how)


def _contenders(text: str) -> frozenset[Contender]:
    try:
        return frozenset(Contender(name.strip()) for name in text.split(",") if name.strip())
    except ValueError as error:
        known = ", ".join(Contender)
        raise typer.BadParameter(f"{error}: name some of {known}, separated by commas") from None


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events of a throughput run")] = 150_000,
    customers: Annotated[int, typer.Option(min=1, help="Customers of the simulated shop")] = 20_000,
    runs: Annotated[int, typer.Option(min=1, help="Throughput rounds; the median counts")] = 5,
    contenders: Annotated[
        str, typer.Option(help="Who runs beside Shoal, separated by commas; may be empty")
    ] = ",".join(Contender),
    only: Annotated[Measurement | None, typer.Option(help="Measure nothing else")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure throughput, latency and memory of one worker on this machine."""
    tell(
        measure(events, customers, runs, _contenders(contenders), only),
        as_json=as_json,
        table_of=table_of,
    )


if __name__ == "__main__":
    typer.run(main)
