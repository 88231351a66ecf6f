"""When lanes look at quiet customers, and at how many in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from models.calendar import HOUR_MS
from models.columns import Rows
from models.identifiers import CustomerId
from stream import quiet
from stream.quiet import BUSY_SWEEP_SECONDS, FEW, IDLE_SECONDS, MANY, QuietCustomers
from stream.steps import Scored
from stream.store import Reached
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, START_MS, maker

EVERY_SECONDS = 10.0
OFTEN_SECONDS = 2.0


@dataclass
class FakeLane:
    """A lane that has nobody."""

    partition: int = 0
    is_busy: bool = False
    time_ms: int = START_MS

    @property
    def reached(self) -> Mapping[str, Reached]:
        return {}

    def now_ms(self) -> int:
        return self.time_ms

    async def load(self, customers: Sequence[CustomerId]) -> Rows:
        return SCHEMA.empty(len(customers))

    async def step(self, scored: Scored, *, reached: Mapping[str, Reached] | None = None) -> None:
        raise AssertionError(f"nobody is due: {scored.customers}, {reached}")


class CountingStore(MemoryStore):
    """Remembers for how many was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        self.asked.append(limit)
        return await super().due(partition, now_ms, limit)


class Clock:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(quiet, "monotonic", clock)
    return clock


def sweeper(
    lane: FakeLane, store: MemoryStore, every_seconds: float = EVERY_SECONDS
) -> QuietCustomers:
    made = QuietCustomers(
        lane,
        store=store,
        maker=maker(),
        editions=lambda: (),
        customers_per_second=1e9,
        sweep_every_seconds=every_seconds,
    )
    made.restart()
    return made


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("is_busy", "most"), [(False, FEW), (True, MANY)])
async def test_few_are_looked_at_in_one_go_while_events_can_be_soon_in_redis(
    *, is_busy: bool, most: int
) -> None:
    store = CountingStore()
    await sweeper(FakeLane(is_busy=is_busy), store).look()
    assert store.asked == [most]


async def test_lanes_that_begin_together_sweep_apart(clock: Clock) -> None:
    began = clock.seconds
    stores = [CountingStore() for _ in range(8)]
    sweepers = [sweeper(FakeLane(number), store) for number, store in enumerate(stores)]
    first: dict[int, float] = {}
    while len(first) < len(sweepers):
        for number, (each, store) in enumerate(zip(sweepers, stores, strict=True)):
            await each.look()
            if store.asked:
                first.setdefault(number, clock.seconds - began)
        clock.seconds += 0.01
    moments = sorted(first.values())
    assert moments[0] == 0
    assert moments[-1] < EVERY_SECONDS
    apart = [later - earlier for earlier, later in pairwise(moments)]
    assert min(apart) > EVERY_SECONDS / 20


class Replay:
    """A lane that sweeps often, looked at once a second."""

    def __init__(self, clock: Clock) -> None:
        self.lane, self._store, self._clock = FakeLane(), CountingStore(), clock
        self._sweeper = sweeper(self.lane, self._store, OFTEN_SECONDS)

    async def sweeps_in(self, seconds: float, *, ms_per_second: int = 0) -> int:
        """How many there are, when its time goes on like this."""
        before, end = len(self._store.asked), self._clock.seconds + seconds
        while self._clock.seconds < end:
            await self._sweeper.look()
            self._clock.seconds += IDLE_SECONDS
            self.lane.time_ms += round(IDLE_SECONDS * ms_per_second)
        return len(self._store.asked) - before


@pytest.fixture
def replay(clock: Clock) -> Replay:
    return Replay(clock)


async def test_a_lane_at_leisure_sweeps_as_often_as_it_was_told(replay: Replay) -> None:
    assert await replay.sweeps_in(60) == 60 / OFTEN_SECONDS


async def test_a_busy_lane_sweeps_at_once_and_then_seldom(replay: Replay) -> None:
    replay.lane.is_busy = True
    assert await replay.sweeps_in(IDLE_SECONDS) == 1
    assert await replay.sweeps_in(60) == 60 / BUSY_SWEEP_SECONDS


async def test_a_lane_that_is_busy_no_more_sweeps_soon(replay: Replay) -> None:
    replay.lane.is_busy = True
    await replay.sweeps_in(IDLE_SECONDS)
    assert await replay.sweeps_in(BUSY_SWEEP_SECONDS / 2) == 0
    replay.lane.is_busy = False
    assert await replay.sweeps_in(IDLE_SECONDS) == 1


async def test_a_busy_lane_whose_time_runs_fast_is_not_held_back(replay: Replay) -> None:
    replay.lane.is_busy = True
    assert await replay.sweeps_in(60, ms_per_second=4 * HOUR_MS) == 60 / OFTEN_SECONDS
