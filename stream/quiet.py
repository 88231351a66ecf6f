"""Steps of customers whom no event speaks of: a model is new, or time has passed."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol

import numpy as np

from models.calendar import HOUR_MS
from models.columns import Rows, pick
from models.editions import Edition, Editions, versions
from models.identifiers import CustomerId
from stream.steps import Scored, StepMaker
from stream.store import Reached, Store

TICK_SECONDS = 0.25
IDLE_SECONDS = 1.0
SHORTEST_TICK_SECONDS = 0.001
# A busy lane sweeps seldom: the more are due at once the less each costs, and some have an event
# first. A replay that passes hours in seconds does not wait: changes would be told for days later.
BUSY_SWEEP_SECONDS = 10.0
BUSY_SWEEP_MS = 6 * HOUR_MS
# Customers looked at in one go. Many hold events up for 20 ms and more, few for a third of that,
# but cost twice as much each.
MANY, FEW = 500, 100
# Neighbouring lanes sweep as far apart as any number of them can.
GOLDEN_RATIO = 0.618


class ServedLane(Protocol):
    """What such a step needs of its lane."""

    @property
    def partition(self) -> int:
        """Which one it is."""

    @property
    def reached(self) -> Mapping[str, Reached]:
        """How far all its customers are, by segmentation."""

    @property
    def is_busy(self) -> bool:
        """Whether so many events wait that none can be soon in Redis."""

    def now_ms(self) -> int:
        """The time to score at."""

    async def load(self, customers: Sequence[CustomerId]) -> Rows:
        """Profiles of customers."""

    async def step(self, scored: Scored, *, reached: Mapping[str, Reached] | None = None) -> None:
        """Make a step that takes no event; `reached` where it moves that on."""


class QuietCustomers:
    """Looks at some customers of a lane at a time, at a bounded rate.

    Parameters
    ----------
    editions
        Gives what is in force of each segmentation.
    customers_per_second
        How many are looked at, at most, in the long run.
    sweep_every_seconds
        Once everyone who was due has been looked at, the next sweep is so much later, or
        `BUSY_SWEEP_SECONDS` in a busy lane: customers cost less together than one by one.
    """

    def __init__(
        self,
        lane: ServedLane,
        *,
        store: Store,
        maker: StepMaker,
        editions: Callable[[], Editions],
        customers_per_second: float,
        sweep_every_seconds: float,
    ) -> None:
        self._lane = lane
        self._store = store
        self._maker = maker
        self._editions = editions
        self._customers_per_second = customers_per_second
        self._sweep_every_seconds = sweep_every_seconds
        self._scanned_for: Sequence[tuple[int, int]] = ()
        self._cursor = 0
        self._next_look = 0.0
        self._swept_at = 0.0
        self._swept_ms = 0

    def restart(self) -> None:
        """Begin with the first customer again: another worker may have gone on meanwhile."""
        self._cursor = 0
        part = self._lane.partition * GOLDEN_RATIO % 1
        self._swept_at = monotonic() - (1 - part) * self._sweep_every_seconds

    def patience(self) -> float:
        """Seconds to wait for events before customers without any are looked at."""
        return min(max(self._next_look - monotonic(), SHORTEST_TICK_SECONDS), TICK_SECONDS)

    async def look(self) -> None:
        """Score some, if it is time to."""
        if monotonic() < self._next_look:
            return
        editions = self._editions()
        if any(map(self._is_behind, editions)):
            await self._follow(editions)
        elif not self._is_time_to_sweep() or not await self._sweep():
            self._next_look = monotonic() + IDLE_SECONDS

    def _reached(self, edition: Edition) -> Reached:
        return self._lane.reached.get(edition.segmentation.name, Reached())

    def _is_behind(self, edition: Edition) -> bool:
        reached = self._reached(edition)
        if reached.model == edition.version:
            return reached.shown != edition.digest
        return reached.model < edition.version

    async def _follow(self, editions: Editions) -> None:
        """Score some customers by newer models, and show their segments as they are called now."""
        in_force = [(edition.version, edition.digest) for edition in editions]
        if self._scanned_for != in_force:
            # Whom the scan has passed was scored, or shown, by what was in force before.
            self._scanned_for, self._cursor = in_force, 0
        cursor, found = await self._store.scan(self._lane.partition, self._cursor, self._at_once)
        customers = list(dict.fromkeys(found))
        rows = await self._lane.load(customers)
        unseen = tuple(e for e in editions if self._reached(e).shown != e.digest)
        # Shown first: once the step says that all are, none must be left.
        if showings := self._maker.showings(customers, rows, unseen):
            await self._store.show_segments(showings)
        old = (rows["model"] < versions(editions)).any(axis=1) & (rows["first_ms"] > 0)
        scored = self._maker.again(
            self._lane.partition,
            [customers[at] for at in np.flatnonzero(old).tolist()],
            pick(rows, old),
            editions=editions,
            now_ms=self._lane.now_ms(),
            reason="model",
        )
        reached = {
            edition.segmentation.name: Reached(edition.version, edition.digest)
            for edition in editions
            if cursor == 0 and self._is_behind(edition)
        }
        await self._lane.step(scored, reached={**self._lane.reached, **reached})
        self._cursor = cursor
        self._spend(len(customers))

    def _is_time_to_sweep(self) -> bool:
        waited = monotonic() - self._swept_at
        if not self._lane.is_busy or self._lane.now_ms() >= self._swept_ms + BUSY_SWEEP_MS:
            return waited >= self._sweep_every_seconds
        return waited >= max(self._sweep_every_seconds, BUSY_SWEEP_SECONDS)

    async def _sweep(self) -> bool:
        """Score some who are due; whether there were any."""
        now_ms = self._lane.now_ms()
        most = self._at_once
        customers = await self._store.due(self._lane.partition, now_ms, most)
        if len(customers) < most:
            self._swept_at, self._swept_ms = monotonic(), now_ms
        if not customers:
            return False
        scored = self._maker.again(
            self._lane.partition,
            customers,
            await self._lane.load(customers),
            editions=self._editions(),
            now_ms=now_ms,
            reason="time",
        )
        await self._lane.step(scored)
        self._spend(len(customers))
        return True

    @property
    def _at_once(self) -> int:
        return MANY if self._lane.is_busy else FEW

    def _spend(self, customers: int) -> None:
        self._next_look = monotonic() + customers / self._customers_per_second
