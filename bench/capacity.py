"""How many workers, partitions and Redis shards a shop needs, and what gives way first.

A model: processor time, bytes and memory are sums of what an event, a customer of a step and a
change cost, as `bench.scale` has measured it. Nothing is run here.

    python -m bench.capacity --costs scale.json [--largest largest.json] [--json]
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.table import Table

from bench.common import BenchError
from models.errors import ShoalError

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Price:
    """What each event costs, and in addition each different customer of a step and each change."""

    event: float
    customer: float
    change: float

    def of(self, demand: "Demand") -> float:
        """For one event of such a demand, its share of customers and changes included.

        >>> Price(10, 20, 100).of(Demand(1000, 1, distinct=0.5, changes=0.25))
        45.0
        """
        return self.event + self.customer * demand.distinct + self.change * demand.changes


@dataclass(frozen=True, slots=True)
class Demand:
    """A shop: its events a second, its customers, and how its events are spread.

    `distinct` is the number of different customers in a step, per event; `changes` the part of
    the events that change a segment.
    """

    events_per_second: float
    customers: float
    distinct: float = 0.5
    changes: float = 0.03


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What was measured. `_us` is processor time, `profile_bytes` is what the trainer is sent."""

    worker_us: Price
    redis_us: Price
    redis_in_bytes: Price
    redis_out_bytes: Price
    event_bytes: float
    change_bytes: float
    profile_bytes: float
    redis_bytes_per_customer: float
    trainer_us_per_profile: float

    @classmethod
    def read(cls, figures: dict[str, Any]) -> Self:
        """From what `bench.scale --json` prints.

        Raises
        ------
        BenchError
            A part was not measured.
        """
        try:
            costs = figures["unit_costs"]
            read: dict[str, Any] = {name: Price(**costs[name]) for name in _PRICES}
            return cls(**read | {name: float(costs[name]) for name in _PLAIN})
        except (KeyError, TypeError) as error:
            raise BenchError(
                f"the file does not have all unit costs ({error}): "
                "write it with `python -m bench.scale --json`"
            ) from None


_Cell = Callable[["Plan"], str]
_PRICES = ("worker_us", "redis_us", "redis_in_bytes", "redis_out_bytes")
_PLAIN = (
    *("event_bytes", "change_bytes", "profile_bytes"),
    *("redis_bytes_per_customer", "trainer_us_per_profile"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one of each can take, and how many there are before anything is changed.

    `busy` is the part of a core that is planned with. A Redis server executes on one core and is
    given half of its memory, for the copy that a rewrite of its log makes. `sample` is about how
    many customers are learned from.
    """

    partitions: int = 8
    busy: float = 0.7
    redis_gb: float = 64.0
    redis_filled: float = 0.5
    network_bytes_per_second: float = 1.25e9
    network_filled: float = 0.5
    sample: int = 20_000
    partitions_per_worker: int = 4
    most_partitions: int = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand needs. `load` says of each part how much of the default deployment it takes.

    That has as many workers as the default has partitions, one Redis and one trainer: above 1
    a part gives way, the one with the highest figure first.
    """

    worker_cores: float
    workers: int
    partitions: int
    redis_cores: float
    redis_gb: float
    redis_shards: int
    redis_mb_per_second: float
    kafka_in_mb_per_second: float
    kafka_out_mb_per_second: float
    trainer_cores: float
    load: dict[str, float]
    first: str
    first_at_events_per_second: float


def plan(costs: UnitCosts, demand: Demand, limits: Limits | None = None) -> Plan:
    """What this demand needs, by these costs."""
    at = limits or Limits()
    rate = demand.events_per_second
    worker_cores = rate * costs.worker_us.of(demand) / 1e6
    redis_cores = rate * costs.redis_us.of(demand) / 1e6
    redis_in = rate * costs.redis_in_bytes.of(demand)
    redis_out = rate * costs.redis_out_bytes.of(demand)
    redis_gb = demand.customers * costs.redis_bytes_per_customer / 1e9
    profiles = rate * demand.distinct * min(1, at.sample / demand.customers)
    trainer_cores = profiles * costs.trainer_us_per_profile / 1e6
    kafka_in = rate * (costs.event_bytes + demand.changes * costs.change_bytes)
    kafka_in += profiles * costs.profile_bytes
    network = at.network_bytes_per_second * at.network_filled
    # Of a network that works both ways the busier way counts.
    loads = {
        "workers": worker_cores / at.busy / at.partitions,
        "redis cpu": redis_cores / at.busy,
        "redis memory": redis_gb / (at.redis_gb * at.redis_filled),
        "redis network": max(redis_in, redis_out) / network,
        "trainer": trainer_cores / at.busy,
    }
    first = max(loads, key=lambda name: loads[name])
    # Memory does not grow with the rate.
    by_rate = max(load for name, load in loads.items() if name != "redis memory")
    workers = math.ceil(worker_cores / at.busy)
    shards = max(math.ceil(load) for name, load in loads.items() if name.startswith("redis"))
    partitions = max(at.partitions, _power_of_two(at.partitions_per_worker * max(workers, shards)))
    return Plan(
        worker_cores=worker_cores,
        workers=workers,
        partitions=min(partitions, at.most_partitions),
        redis_cores=redis_cores,
        redis_gb=redis_gb,
        redis_shards=shards,
        redis_mb_per_second=(redis_in + redis_out) / 1e6,
        kafka_in_mb_per_second=kafka_in / 1e6,
        kafka_out_mb_per_second=rate * costs.event_bytes / 1e6,
        trainer_cores=trainer_cores,
        load=loads,
        first=first,
        first_at_events_per_second=rate / by_rate,
    )


def _power_of_two(n: int) -> int:
    return int(2 ** math.ceil(math.log2(max(n, 1))))


DEMANDS = {
    "10 thousand events/s": Demand(10_000, 1_000_000),
    "100 thousand events/s": Demand(100_000, 10_000_000),
    "1 million events/s": Demand(1_000_000, 100_000_000),
    "100 million customers": Demand(20_000, 100_000_000),
}


def against(costs: UnitCosts, largest: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What was measured of the largest run, and what the model says of the same demand."""
    demand = Demand(
        largest["events_per_second"],
        largest["customers"],
        distinct=largest["distinct"],
        changes=largest["changes"],
    )
    predicted = {
        "worker_us": costs.worker_us.of(demand),
        "redis_us": costs.redis_us.of(demand),
        "redis_in_bytes": costs.redis_in_bytes.of(demand),
        "redis_out_bytes": costs.redis_out_bytes.of(demand),
        "redis_gb": demand.customers * costs.redis_bytes_per_customer / 1e9,
    }
    return {
        name: {
            "predicted": round(value, 3),
            "measured": round(largest[name], 3),
            "ratio": round(largest[name] / value, 3),
        }
        for name, value in predicted.items()
    }


def table_of(plans: dict[str, Plan]) -> Table:
    """The plans for people."""
    table = Table("demand", *plans, title="what a shop needs")
    rows: dict[str, _Cell] = {
        "workers (cores)": lambda p: f"{p.workers} ({p.worker_cores:.1f})",
        "partitions": lambda p: str(p.partitions),
        "Redis shards": lambda p: str(p.redis_shards),
        "Redis cores, GB": lambda p: f"{p.redis_cores:.2f}, {p.redis_gb:.1f}",
        "Redis MB/s": lambda p: f"{p.redis_mb_per_second:.0f}",
        "Kafka in, out MB/s": lambda p: (
            f"{p.kafka_in_mb_per_second:.0f}, {p.kafka_out_mb_per_second:.0f}"
        ),
        "trainer cores": lambda p: f"{p.trainer_cores:.3f}",
        "first to give way": lambda p: p.first,
        "load of that by default": lambda p: f"{p.load[p.first]:.2f}",
        "default holds, events/s": lambda p: f"{p.first_at_events_per_second:.0f}",
    }
    for name, cell in rows.items():
        table.add_row(name, *(cell(plan) for plan in plans.values()))
    return table


def comparison_of(compared: dict[str, dict[str, float]]) -> Table:
    """Measured against predicted, for people."""
    table = Table("figure", "predicted", "measured", "ratio", title="the largest run")
    for name, row in compared.items():
        table.add_row(name, *(f"{row[key]:g}" for key in ("predicted", "measured", "ratio")))
    return table


def main(
    *,
    costs: Annotated[Path, typer.Option(exists=True, help="What bench.scale --json printed")],
    largest: Annotated[
        Path | None, typer.Option(exists=True, help="The same of --only largest, to compare with")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Derive from measured costs what larger shops need."""
    try:
        unit = UnitCosts.read(json.loads(costs.read_text()))
        compared = against(unit, json.loads(largest.read_text())["largest"]) if largest else None
    except ShoalError as error:
        err.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    plans = {name: plan(unit, demand) for name, demand in DEMANDS.items()}
    if as_json:
        shown: dict[str, Any] = {
            name: {"demand": asdict(DEMANDS[name]), "plan": asdict(planned)}
            for name, planned in plans.items()
        }
        typer.echo(json.dumps({"plans": shown} | ({"largest": compared} if compared else {})))
        return
    console = Console(highlight=False)
    console.print(table_of(plans))
    if compared:
        console.print(comparison_of(compared))


if __name__ == "__main__":
    typer.run(main)
