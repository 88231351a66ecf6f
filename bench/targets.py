"""What is aimed at, and whether what was measured meets it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rich.table import Table

from bench.plots import Result


class Part(StrEnum):
    """What can be measured on its own: a module of this package each."""

    THROUGHPUT = "throughput"
    SCALE = "scale"
    BACKLOG = "backlog"
    HOT = "hot"
    BATCH_SIZE = "batch_size"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a part's JSON, and what it must be at most, or at least.

    With `changing`, the part has it also of a run in which nearly a third of all events change a
    segment, under that name.
    """

    part: Part
    what: str
    figure: Callable[[Result], float]
    limit: float
    unit: str = ""
    at_least: bool = False
    changing: bool = False

    @property
    def wanted(self) -> str:
        """The target in words."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"

    def is_met(self, measured: float) -> bool:
        """Whether a figure is good enough."""
        return measured >= self.limit if self.at_least else measured <= self.limit


def _growth(result: Result) -> float:
    cost = result["cpu_us_per_event"]
    return float(cost["1000000"] / cost["10000"])


def _shared(result: Result) -> float:
    latency = result["others_latency_ms"]
    return float(latency["with"]["p99"] / latency["without"]["p99"])


def _ratio(contender: str, what: str, limit: float) -> Target:
    return Target(
        Part.THROUGHPUT,
        f"Shoal / {what}",
        lambda result: float(result["ratio"][contender]),
        limit,
        at_least=True,
        changing=True,
    )


_T, _S, _B = Part.THROUGHPUT, Part.SCALE, Part.BACKLOG
TARGETS = (
    _ratio("quix", "Quix Streams", 4),
    _ratio("naive_faust", "the obvious Faust, River and Redis app", 50),
    _ratio("floor", "the I/O floor", 0.7),
    Target(
        _T,
        "event to Redis, 2 000 events/s, p50",
        lambda r: r["latency_ms"]["idle"]["p50"],
        5,
        " ms",
    ),
    Target(
        _T,
        "event to Redis, 2 000 events/s, p99",
        lambda r: r["latency_ms"]["idle"]["p99"],
        50,
        " ms",
    ),
    Target(
        _T,
        "event to Redis, 70 % of the highest rate, p99",
        lambda r: r["latency_ms"]["loaded"]["p99"],
        150,
        " ms",
    ),
    Target(_S, "CPU per event, 10 000 to 1 000 000 customers", _growth, 1.25, " times"),
    Target(_S, "Redis per customer", lambda r: r["redis_bytes_per_customer"], 750, " bytes"),
    Target(_S, "worker memory, 1 000 000 customers", lambda r: r["worker_rss_mb"], 500, " MB"),
    Target(_S, "two workers / one, CPU per event", lambda r: r["two_workers_ratio"], 1.1, " times"),
    Target(_S, "start to first assignment", lambda r: r["start_seconds"], 5, " s"),
    Target(
        _S,
        "trainer's share of a core at full rate",
        lambda r: 100 * r["trainer_cpu_share"],
        10,
        " %",
    ),
    Target(
        _B,
        "rate of catching up / full rate",
        lambda r: r["events_per_second"]["ratio"],
        0.8,
        at_least=True,
    ),
    Target(_B, "longest stall", lambda r: r["longest_stall_seconds"], 5, " s"),
    Target(
        _B, "changes superseded or outdated when told", lambda r: sum(_unwanted(r)), 0, " changes"
    ),
    Target(
        Part.HOT,
        "rate of the others, with / without a hot customer",
        lambda r: r["others_events_per_second"]["ratio"],
        0.9,
        at_least=True,
    ),
    Target(Part.HOT, "p99 of the others, with / without", _shared, 1.5, " times"),
)


def _unwanted(result: Result) -> tuple[int, int]:
    changes = result["changes"]
    return changes["superseded_in_their_step"], changes["by_outdated_model"]


def table_of(results: Mapping[Part, Result]) -> Table:
    """Every target of the parts that were measured."""
    table = Table("figure", "measured", "target", "met", "30 % of events change a segment")
    for target in TARGETS:
        if result := results.get(target.part):
            measured = target.figure(result)
            met = "yes" if target.is_met(measured) else "no"
            changing = f"{target.figure(result['changing']):.3g}" if target.changing else ""
            figure = f"{measured:.3g}{target.unit}"
            table.add_row(target.what, figure, target.wanted, met, changing)
    return table
