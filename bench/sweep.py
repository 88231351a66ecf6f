"""What it costs to know when quiet customers change segment, and how late they are told of.

First the core alone, then a real worker beside a million profiles in a real Redis. In real life
few of them are due in a second; here many more are, so that there is something to measure.

    python -m bench.sweep [--json] [--customers N] [--looks N] [--seconds N]
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import process_time, time
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench.common import BenchError, cpu_seconds, machine, tell
from bench.shop import Filling, Shop
from config.segmentation import load_segmentation
from models.foresight import safe_until
from models.layout import DAY_MS
from stream.connections import connect_redis
from stream.local import WORKER, Local, local_servers

AT_ONCE = 5_000
SLICE = 500
START_SECONDS, IDLE_SECONDS, LATEST_SECONDS = 15, 20, 60
LIMIT_SHARE = 0.1

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Steady:
    """A worker beside quiet customers. Shares are of one core, `idle` is without anybody due."""

    idle_share: float
    worker_share: float
    redis_share: float
    looks: int
    lateness_seconds: tuple[float, ...]


def core_cost(shop: Shop, now_ms: int) -> dict[str, float]:
    """Processor time of each question, in µs a customer, by how many are asked of at once."""
    rows = shop.customers(SLICE, now_ms, seed=1)
    cost = {}
    for n in (10, SLICE):
        some = rows[:n]
        questions: dict[str, Callable[[], object]] = {
            "bound": partial(safe_until, shop.editions, some, now_ms, shop.ends_ms(some)),
            "moment": partial(shop.changes_ms, some, now_ms),
        }
        for name, ask in questions.items():
            cost[f"{name}_us_at_{n}"] = round(_best(ask) / n * 1e6, 1)
    return cost


def _best(work: Callable[[], object], runs: int = 5) -> float:
    spent = []
    for _ in range(runs):
        started = process_time()
        work()
        spent.append(process_time() - started)
    return min(spent)


def changes_per_day(shop: Shop, now_ms: int, customers: int) -> float:
    """How many of so many customers change segment in a day by time alone."""
    rows = shop.customers(AT_ONCE, now_ms, seed=2)
    days = 30
    soon = shop.changes_ms(rows, now_ms) < now_ms + days * DAY_MS
    return customers * float(soon.mean()) / days


async def measure(customers: int, looks: int, seconds: int) -> dict[str, Any]:
    """Everything, as it goes into JSON.

    Raises
    ------
    ShoalError
        A change is missing, was told twice or too early, or a process did not do its work.
    """
    async with local_servers(err, clock="live") as local:
        config = load_segmentation(local.settings.segmentation)
        shop = Shop.of(config, _now_ms())
        cost = core_cost(shop, _now_ms())
        naturally = changes_per_day(shop, _now_ms(), customers)
        steady = await _steady(local, shop, customers, looks, seconds)
    late = steady.lateness_seconds
    return {
        "customers": customers,
        "core": cost,
        "changes_per_day": {
            "naturally": round(naturally),
            "measured": round(len(late) / seconds * 86_400),
        },
        "looks_per_second": round(steady.looks / seconds, 1),
        "share_of_a_core": {
            "idle": round(steady.idle_share, 4),
            "worker": round(steady.worker_share, 4),
            "redis": round(steady.redis_share, 4),
            "limit": LIMIT_SHARE,
        },
        "late_seconds": {
            "p50": round(float(np.median(late)), 1),
            "max": round(max(late), 1),
            "limit": LATEST_SECONDS,
        },
        "machine": machine(),
    }


async def _steady(local: Local, shop: Shop, customers: int, looks: int, seconds: int) -> Steady:
    moving = looks * seconds // 2
    async with Filling(local.settings, shop) as filling:
        await _publish(local, shop)
        err.print(f"writing {customers} profiles")
        for first in range(0, customers - 2 * moving, AT_ONCE):
            n = min(AT_ONCE, customers - 2 * moving - first)
            rows = shop.customers(n, _now_ms(), seed=first + 3)
            # Nobody is due before this is over.
            due_ms = _now_ms() + np.linspace(DAY_MS // 2, 30 * DAY_MS, n).astype(np.int64)
            await filling.write(f"c{first}-", rows, due_ms)
        begin_ms = _now_ms() + 1000 * (START_SECONDS + IDLE_SECONDS) + 20 * moving
        end_ms = begin_ms + seconds * 1000
        movers = shop.moving(moving, _now_ms(), begin_ms, end_ms, seed=1)
        changes_ms = shop.changes_ms(movers, _now_ms())
        await filling.write("mover", movers, changes_ms)
        # Of these a cheap bound has ended, and nothing changes.
        idlers = shop.customers(moving, _now_ms(), seed=2)
        idlers = idlers[shop.changes_ms(idlers, _now_ms()) > end_ms + DAY_MS]
        await filling.write(
            "idler", idlers, np.linspace(begin_ms, end_ms, idlers.size).astype(np.int64)
        )
    local.start_worker()
    await local.processes.until_ready()
    await _until(local, begin_ms - 1000 * IDLE_SECONDS)
    if _now_ms() > begin_ms - 500 * IDLE_SECONDS:
        raise BenchError("the worker was ready too late: use a faster machine, or fewer customers")
    idle = await _share(local, begin_ms)
    busy = await _share(local, end_ms)
    await _until(local, end_ms + 1000 * LATEST_SECONDS)
    due = {f"mover{number}": at for number, at in enumerate(changes_ms.tolist())}
    late = lateness([json.loads(change) for change in await local.observer.changes()], due)
    return Steady(idle[0], busy[0], busy[1], movers.size + idlers.size, late)


def lateness(changes: Sequence[dict[str, Any]], due_ms: dict[str, int]) -> tuple[float, ...]:
    """Seconds from when each customer changes until it was told.

    Raises
    ------
    BenchError
        Somebody was told of not at all, more than once, too early, or not because of time.
    """
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for change in changes:
        told[change["subject"]].append(change)
    wrong = [name for name in due_ms.keys() | told.keys() if len(told[name]) != (name in due_ms)]
    wrong += [c["subject"] for c in changes if c["data"]["reason"] != "time"]
    if wrong:
        raise BenchError(
            f"{len(wrong)} of {len(due_ms)} customers were not told of once, because of time: "
            f"{', '.join(sorted(wrong)[:3])}"
        )
    late = [
        datetime.fromisoformat(told[name][0]["time"]).timestamp() - due / 1000
        for name, due in due_ms.items()
    ]
    if min(late) < -1:
        raise BenchError(f"a customer was told of {-min(late):.1f} s before the change was due")
    return tuple(late)


async def _share(local: Local, until_ms: int) -> tuple[float, float]:
    """Processor time of the worker and of Redis until then, as shares of one core."""
    started, before = _now_ms(), await _spent(local)
    await _until(local, until_ms)
    elapsed, after = (_now_ms() - started) / 1000, await _spent(local)
    return (after[0] - before[0]) / elapsed, (after[1] - before[1]) / elapsed


async def _spent(local: Local) -> tuple[float, float]:
    redis = connect_redis(local.settings)
    try:
        told: Any = await redis.info("cpu")
    finally:
        await redis.aclose()
    server = float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
    return cpu_seconds(local.processes.pid(WORKER)), server


async def _until(local: Local, time_ms: int) -> None:
    while _now_ms() < time_ms:
        local.processes.check()
        await asyncio.sleep(min(1.0, max(time_ms - _now_ms(), 1) / 1000))


def _now_ms() -> int:
    return round(time() * 1000)


async def _publish(local: Local, shop: Shop) -> None:
    for edition in shop.editions:
        if edition.model:
            name = edition.segmentation.name
            await local.observer.catalogue.publish_model(
                edition.model.to_json(),
                version=edition.version,
                epoch=await local.observer.catalogue.claim_training(name),
                segments={},
                segmentation=name,
            )


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    where, core, share = result["machine"], result["core"], result["share_of_a_core"]
    looks, changes, late = (
        result["looks_per_second"],
        result["changes_per_day"],
        result["late_seconds"],
    )
    table = Table(
        "what",
        "figure",
        "how",
        title=f"{result['customers']} quiet customers, {where['cores']} cores for everything",
    )
    for name, what in (("bound", "after an event"), ("moment", "at a look")):
        table.add_row(
            f"cost {what}", f"{core[f'{name}_us_at_{SLICE}']} µs", f"{SLICE} customers at once"
        )
    table.add_row(
        "load",
        f"{looks} looks/s",
        f"{changes['measured']} changes a day; naturally {changes['naturally']}",
    )
    for name in ("idle", "worker", "redis"):
        how = "the worker while nobody is due" if name == "idle" else f"limit {share['limit']:.0%}"
        table.add_row(f"share of a core, {name}", f"{share[name]:.1%}", how)
    for name in ("p50", "max"):
        table.add_row(f"late, {name}", f"{late[name]} s", f"limit {late['limit']} s")
    return table


def main(
    *,
    customers: Annotated[int, typer.Option(min=10_000, help="Profiles in Redis")] = 1_000_000,
    looks: Annotated[int, typer.Option(min=2, help="Looks a second, half of them in vain")] = 20,
    seconds: Annotated[int, typer.Option(min=10, help="For so long")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure the sweep beside many quiet customers on this machine."""
    tell(measure(customers, looks, seconds), as_json=as_json, table_of=table_of)


if __name__ == "__main__":
    typer.run(main)
