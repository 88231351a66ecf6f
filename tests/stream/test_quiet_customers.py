"""Customers without an event: looked at when they are due, and told of once."""

from dataclasses import replace

import numpy as np
import pytest

from models.foresight import LEAST_MS, RUNGS_MS, TOLERANCE_MS
from models.identifiers import CustomerId
from models.layout import DAY_MS
from models.scaling import Column, Scaler
from models.snapshots import Snapshot
from stream.steps import SLACK
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, START_MS, Kit, event, maker, record, two_segments, until

ANN = CustomerId("ann")
QUIET_DAYS, MARGIN = 40.0, 0.1
# From here on |days - 0| (1 - m) > |days - 40| (1 + m).
DUE_MS = START_MS + round(QUIET_DAYS * (1 + MARGIN) / 2 * DAY_MS)
END_MS = START_MS + 100 * DAY_MS


def recent_and_quiet() -> Snapshot:
    """A model that puts whoever ordered today in s1, and 40 days ago in s2."""
    columns = tuple(
        Column(name, log=False, low=-1e6, high=1e6, centre=0, divisor=1, weight=1)
        for name in SCHEMA.names
    )
    return replace(
        two_segments(),
        scaler=Scaler(columns),
        centroids=np.array([[1.0, 0.0], [1.0, QUIET_DAYS]]),
        margin=MARGIN,
    )


@pytest.fixture
def kit(store: MemoryStore) -> Kit:
    return Kit(store, model=recent_and_quiet())


async def look_twice(kit: Kit, store: MemoryStore, first_ms: int, change_ms: int) -> None:
    """Look at Ann at that time, and when she is due again: the last hours are searched then."""
    due = store.lanes[0].due
    kit.wall_ms = first_ms
    await until(lambda: due[ANN] > kit.wall_ms)
    assert 0 <= change_ms - due[ANN] <= SLACK * (change_ms - kit.wall_ms)
    kit.wall_ms = due[ANN]
    await until(lambda: change_ms < due[ANN] <= change_ms + TOLERANCE_MS)


async def test_a_quiet_customer_changes_when_due_once_and_is_not_looked_at_between(
    kit: Kit, store: MemoryStore
) -> None:
    due = store.lanes[0].due
    async with kit.running(maker(is_live=True)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: due == {ANN: START_MS + RUNGS_MS[0]})
        before = store.lanes[0].profiles[ANN]
        await until(lambda: ANN in kit.kafka.sampled)
        kit.kafka.sampled.clear()
        await look_twice(kit, store, due[ANN], DUE_MS)
        assert store.lanes[0].profiles[ANN] == before
        kit.wall_ms = due[ANN]
        await until(lambda: due[ANN] == END_MS)
        kit.wall_ms = END_MS
        await until(lambda: not due)
    assert [change["data"]["reason"] for change in kit.kafka.events()] == [
        "event",
        "time",
        "expired",
    ]
    assert [(change["data"]["to"] or {}).get("id") for change in kit.kafka.events()] == [
        "s1",
        "s2",
        None,
    ]
    # Only what changed is news to the trainer.
    assert list(kit.kafka.sampled.items()) == [(ANN, None)]


async def test_an_event_puts_the_moment_off(kit: Kit, store: MemoryStore) -> None:
    due = store.lanes[0].due
    async with kit.running(maker(is_live=True)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: lane.next_offset == 1)
        kit.wall_ms = DUE_MS - 10_000
        await until(lambda: DUE_MS < due[ANN] <= DUE_MS + TOLERANCE_MS)
        await lane.inbox.put(kit.kafka.batch(record(1, event("ann", 1, type="page_viewed"))))
        await until(lambda: due[ANN] == kit.wall_ms + LEAST_MS)
        order = event("ann", 2, time_ms=kit.wall_ms)
        await lane.inbox.put(kit.kafka.batch(record(2, order)))
        await until(lambda: due[ANN] == kit.wall_ms + RUNGS_MS[0])
    assert [change["data"]["reason"] for change in kit.kafka.events()] == ["event"]


async def test_a_new_model_foresees_other_moments(kit: Kit, store: MemoryStore) -> None:
    due = store.lanes[0].due
    async with kit.running(maker(is_live=True)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: lane.next_offset == 1)
        await look_twice(kit, store, kit.wall_ms + 5 * DAY_MS, DUE_MS)
        kit.model = replace(recent_and_quiet(), version=2, margin=0.5)
        await until(lambda: due[ANN] == kit.wall_ms + RUNGS_MS[0])
        later_ms = START_MS + round(QUIET_DAYS * 1.5 / 2 * DAY_MS)
        await look_twice(kit, store, due[ANN], later_ms)
    assert [change["data"]["reason"] for change in kit.kafka.events()] == ["event"]
