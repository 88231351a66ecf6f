"""What is measured of a small shop, the same with two workers, and a large one."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal, Self

import numpy as np
from rich.console import Console
from scipy.optimize import nnls

from bench.capacity import Price
from bench.common import BenchError, memory
from bench.measurements import PROCESSED
from bench.scale.crowd import Crowd, grow
from bench.scale.sites import Cost, Site, open_site
from bench.scale.starting import seconds_to_start

SMALL = 10_000
COPIES_A_BLOCK, IN_A_ROW, KINDS_RUNS = 4, 4, 3
# Of the blocks of first events, those in which few change segment.
CALM = 0.1
EQUAL = 0.95
PRICED = ("worker_us", "redis_us", "redis_in_bytes", "redis_out_bytes")
Name = Literal["small", "pair", "large"]


@dataclass
class Shop:
    """A site and the copies of everybody there.

    Attributes
    ----------
    changing
        The last copies, of whom every third customer changes segment at the first event.
    cold
        What the first event of everybody cost, when no worker had the profile in memory.
    """

    site: Site
    crowd: Crowd
    copies: int
    changing: range
    cold: list[Cost] = field(default_factory=list)
    turn: int = 0

    @classmethod
    async def settled(cls, site: Site, crowd: Crowd, copies: int, workers: int) -> Self:
        """With customers, model and workers."""
        kept = min(copies // 4, COPIES_A_BLOCK * KINDS_RUNS)
        shop = cls(site, crowd, copies, range(copies - kept, copies))
        await crowd.settle(site, copies, misplaced=shop.changing)
        await site.start_workers(workers)
        return shop

    @property
    def customers(self) -> int:
        """How many there are."""
        return self.copies * len(self.crowd.members)

    @property
    def remembered(self) -> float:
        """Part of all customers that a worker can have in memory."""
        return min(self.site.local.settings.cache_profiles / self.customers, 1)

    async def see_everybody(self) -> None:
        """Events of each customer, unless that was done before.

        First of those who change, then of some who have several in a row, then of all others.
        """
        if self.cold:
            return
        calm = range(self.changing.start)
        rows = calm[: min(KINDS_RUNS, self.copies - 1)]
        for copies in _blocks(self.changing):
            self.cold.append(await self.work(copies))
        for copy in rows:
            self.cold.append(await self.work([copy], in_a_row=IN_A_ROW))
        for copies in _blocks(calm[len(rows) :]):
            self.cold.append(await self.work(copies))

    async def block(self) -> Cost:
        """Events as if each came from anybody: so many of those in memory as there are there."""
        known = round(COPIES_A_BLOCK * self.remembered)
        last = self.changing.start - 1
        turns = range(self.turn, self.turn + COPIES_A_BLOCK)
        # Of those who were seen last some are asked again and again, of the others those who were
        # not seen for the longest time.
        own = [max(last - turn % COPIES_A_BLOCK, 0) for turn in turns[:known]]
        own += [turn % max(last - COPIES_A_BLOCK, 1) for turn in turns[known:]]
        self.turn += COPIES_A_BLOCK - known
        return await self.work(own)

    async def work(self, copies: Sequence[int], *, in_a_row: int = 1) -> Cost:
        """Events of these copies."""
        events = self.crowd.events(copies, in_a_row=in_a_row)
        return await self.site.block(events, self.customers)


class Shops:
    """Shops that several measurements share, opened when one is first asked for.

    Parameters
    ----------
    customers
        Of the large shop.
    """

    def __init__(self, console: Console, customers: int) -> None:
        self.console = console
        self.stack = contextlib.AsyncExitStack()
        self._copies = max(customers // SMALL, 2)
        self._crowd: Crowd | None = None
        self._open: dict[Name, Shop] = {}

    async def crowd(self) -> Crowd:
        """The customers that are copied."""
        if self._crowd is None:
            self.console.print("growing customers", style="dim")
            self._crowd = await grow(self.console, SMALL)
        return self._crowd

    async def shop(self, name: Name) -> Shop:
        """One of them, with its customers and workers."""
        if name not in self._open:
            crowd = await self.crowd()
            copies = self._copies if name == "large" else 1
            site = await self.stack.enter_async_context(open_site(self.console))
            self.console.print(f"writing {copies * SMALL} customers", style="dim")
            workers = 2 if name == "pair" else 1
            self._open[name] = await Shop.settled(site, crowd, copies, workers)
        return self._open[name]

    async def in_turns(self, names: Sequence[Name], runs: int) -> dict[Name, list[Cost]]:
        """The same block of events in each, again and again."""
        shops = {name: await self.shop(name) for name in names}
        for shop in shops.values():
            await shop.see_everybody()
        found: dict[Name, list[Cost]] = {name: [] for name in names}
        for number in range(runs):
            for name, shop in shops.items():
                cost = await shop.block()
                found[name].append(cost)
                self.console.print(
                    f"run {number + 1} of {runs}, {name}: {cost.worker_us:.1f} µs/event"
                )
        return found


async def cpu(shops: Shops, runs: int) -> dict[str, Any]:
    """The worker's processor time per event in the small and the large shop, and what it is of.

    Raises
    ------
    BenchError
        A block did not count, or the shops' steps cannot be compared.
    """
    found = await shops.in_turns(("small", "large"), runs)
    large = await shops.shop("large")
    apart = {name: middle(costs, "distinct") for name, costs in found.items()}
    if apart["small"] < EQUAL * apart["large"]:
        raise BenchError(f"steps do not have as many customers in both shops: {apart}")
    calm = [cost for cost in large.cold if cost.changes < CALM and cost.distinct == 1]
    shown = ("distinct", "changes", "loaded", "steps", "events_per_second")
    return {
        "cpu_us_per_event": {
            str(SMALL): middle(found["small"], "worker_us"),
            str(large.customers): middle(found["large"], "worker_us"),
        },
        "cpu_ratio": ratio(found["large"], found["small"]),
        "cold_us_per_event": middle(calm, "worker_us"),
        "blocks": {
            name: {what: middle(costs, what) for what in (*shown, *PRICED, "kafka_us")}
            for name, costs in (*found.items(), ("cold", calm))
        },
        "prices": prices(large.cold),
        "event_bytes": middle(calm, "event_bytes"),
    }


async def workers(shops: Shops, runs: int) -> dict[str, Any]:
    """Processor time per event of two workers together, over that of one."""
    found = await shops.in_turns(("small", "pair"), runs)
    return {
        "two_workers_ratio": ratio(found["pair"], found["small"]),
        "two_workers_us_per_event": {
            "one": middle(found["small"], "worker_us"),
            "two": middle(found["pair"], "worker_us"),
        },
    }


async def rss(shops: Shops, _: int) -> dict[str, Any]:
    """The worker's memory once it has seen every customer of the large shop.

    Raises
    ------
    BenchError
        It was started again since somebody was seen.
    """
    large = await shops.shop("large")
    await large.see_everybody()
    (name,) = large.site.workers
    processed = (await large.site.local.processes.scrape(name)).total(PROCESSED)
    if processed < large.customers:
        raise BenchError(
            f"{name} has processed {processed:.0f} events, and must see {large.customers} "
            "customers: measure memory before the start, or with --only memory"
        )
    used = memory(large.site.local.processes.pid(name))
    return {
        "worker_rss_mb": round(used.rss_mb, 1),
        "worker_peak_mb": round(used.peak_mb, 1),
        "customers_seen": large.customers,
    }


async def start(shops: Shops, runs: int) -> dict[str, Any]:
    """How soon a worker that starts in the large shop assigns."""
    large = await shops.shop("large")
    return await seconds_to_start(large.site, large.crowd, runs)


def _blocks(copies: range) -> Iterator[range]:
    for first in range(0, len(copies), COPIES_A_BLOCK):
        yield copies[first : first + COPIES_A_BLOCK]


def prices(costs: Sequence[Cost]) -> dict[str, dict[str, float]]:
    """What an event, a customer and a change cost, none of them less than nothing.

    A least-squares fit over blocks that differ in how many customers and changes they have.
    """
    found = {}
    shares = np.array([(1.0, cost.distinct, cost.changes) for cost in costs])
    for name in PRICED:
        fitted, _ = nnls(shares, np.array([getattr(cost, name) for cost in costs]))
        found[name] = asdict(Price(*(round(float(part), 2) for part in fitted)))
    return found


def middle(costs: Sequence[Cost], name: str) -> float:
    """Median of a figure over blocks."""
    return round(float(median(getattr(cost, name) for cost in costs)), 4)


def ratio(costs: Sequence[Cost], base: Sequence[Cost]) -> float:
    """Median over pairs of blocks of the worker's time in one over the other."""
    pairs = zip(costs, base, strict=True)
    return round(median(cost.worker_us / other.worker_us for cost, other in pairs), 3)
