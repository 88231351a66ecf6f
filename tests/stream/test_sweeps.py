"""When lanes look at quiet customers, and at how many in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from models.columns import Rows
from models.identifiers import CustomerId
from stream import quiet
from stream.quiet import FEW, MANY, QuietCustomers
from stream.steps import Scored
from stream.store import Reached
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, START_MS, maker

EVERY_SECONDS = 10.0


@dataclass
class FakeLane:
    """A lane that has nobody."""

    partition: int = 0
    is_busy: bool = False

    @property
    def reached(self) -> Mapping[str, Reached]:
        return {}

    def now_ms(self) -> int:
        return START_MS

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


def sweeper(lane: FakeLane, store: MemoryStore) -> QuietCustomers:
    made = QuietCustomers(
        lane,
        store=store,
        maker=maker(),
        editions=lambda: (),
        customers_per_second=1e9,
        sweep_every_seconds=EVERY_SECONDS,
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
