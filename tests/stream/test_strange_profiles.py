"""Profiles that a process cannot read: it waits for their layout, or ends, and writes nothing."""

import asyncio

import pytest

from models.features import Feature, Kind
from models.formats import FORMAT, FutureFormatError
from models.identifiers import CustomerId
from models.profiles import ProfileSchema, UnknownProfileError
from stream import lanes
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, Kit, event, maker, record, until
from tests.stream.training_kit import OLDER, TrainingKit, name

ANN = CustomerId("ann")
FUTURE = bytes([FORMAT + 1]) + b"whatever"


def stranger() -> ProfileSchema:
    return ProfileSchema((*SCHEMA.features, Feature("all", Kind.COUNT, half_life_days=3)))


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Kit:
    monkeypatch.setattr(lanes, "LAYOUT_SECONDS", 0.05)
    return Kit(MemoryStore())


async def ended(kit: Kit, blob: bytes) -> BaseException | None:
    """Why a lane ends that is to count an event of a customer with this profile."""
    assert isinstance(kit.store, MemoryStore)
    stored = kit.store.lanes[0]
    stored.profiles[ANN] = blob
    lane = kit.lane()
    task = asyncio.create_task(lane.run())
    while not task.done():
        await until(lambda: lane.is_serving or task.done())
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await asyncio.wait([task], timeout=0.02)
    assert (stored.seq, stored.next_offset, stored.profiles) == (0, None, {ANN: blob})
    assert kit.kafka.told == []
    return task.exception()


async def test_a_lane_ends_at_a_profile_of_a_newer_version(kit: Kit) -> None:
    assert isinstance(await ended(kit, FUTURE), FutureFormatError)


async def test_a_lane_ends_at_a_schema_that_nobody_announces(kit: Kit) -> None:
    blob = stranger().encode(stranger().empty(1))[0]
    assert isinstance(await ended(kit, blob), UnknownProfileError)


async def test_a_lane_waits_for_a_schema_that_is_announced(kit: Kit) -> None:
    assert isinstance(kit.store, MemoryStore)
    kit.store.lanes[0].profiles[ANN] = stranger().encode(stranger().empty(1))[0]
    own = maker()
    async with kit.running(own) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: not lane.is_serving)
        own.schema.learn_layout(stranger().id, stranger().layout)
        await until(lambda: lane.is_serving)
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
    assert kit.orders() == {"ann": 1}


@pytest.mark.parametrize("blob", [FUTURE, OLDER.encode(OLDER.empty(1))[0]])
async def test_a_trainer_ends_at_what_it_cannot_read_and_publishes_nothing(blob: bytes) -> None:
    kit = TrainingKit()
    await kit.assign()
    await kit.send(range(20))
    await kit.tell([(name(1), blob)])
    (crash,) = kit.crashes
    assert isinstance(crash, FutureFormatError | UnknownProfileError)
    assert not kit.training.is_ready
    await kit.training.work()
    assert kit.shelf.blobs == {}
