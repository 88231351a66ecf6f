"""Whether the lane keeps its promise in any history, and whether a broken one would be noticed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from models.clock import EventClock
from stream.cache import ProfileCache
from stream.changes import Change, unpack
from stream.lanes import Lane
from stream.steps import Scored
from stream.store import LaneState, Outcome, Reached, SegmentRecord, Step
from tests.memory_store import MemoryStore
from tests.stream.lane_calls import Fate
from tests.stream.lane_machine import play
from tests.stream.lane_rules import LaneMachine, RelaxedLaneMachine, WorkerFate

ENOUGH = 400
BROKEN = r"profile: |page: |sizes|models: |versions: |contents: |chain: "


@pytest.mark.parametrize("machine", [LaneMachine, RelaxedLaneMachine])
def test_whatever_fails_events_count_once_and_changes_are_told(machine: type[LaneMachine]) -> None:
    play(machine, 150)
    met = {name.partition(":")[0] for name in machine.histories}
    expected = {*(f"call {fate}" for fate in Fate), *(f"worker {fate}" for fate in WorkerFate)}
    expected |= {"arrives by itself", "redis restarted", "fetched records lost", "days pass"}
    assert expected <= met


def test_a_history_that_is_played_again_is_the_same() -> None:
    class Again(LaneMachine):
        pass

    play(Again, 20, seeded=1)
    once = Again.occurrences.copy()
    play(Again, 20, seeded=1)
    assert Again.occurrences == once + once


class NoEpoch(MemoryStore):
    async def step(self, step: Step) -> Outcome:
        lane = self.lanes[step.partition]
        return await super().step(replace(step, epoch=lane.epoch, owner=lane.owner))


class NoOwner(MemoryStore):
    async def step(self, step: Step) -> Outcome:
        return await super().step(replace(step, owner=self.lanes[step.partition].owner))


class AnyServer(MemoryStore):
    async def step(self, step: Step) -> Outcome:
        self.lanes[step.partition].server = self.server
        return await super().step(step)


class NoSeq(MemoryStore):
    async def step(self, step: Step) -> Outcome:
        return await super().step(replace(step, seq=self.lanes[step.partition].seq))


class NothingPending(MemoryStore):
    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        state = await super().claim(partition, owner=owner, unless_above=unless_above)
        return replace(state, pending=b"")


class AnyVersion(MemoryStore):
    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        self.segments |= {(record.segmentation, record.customer): record for record in records}


class OffsetsAlone(MemoryStore):
    """Writes a step's profiles with the next one only."""

    _held: Step | None = None

    async def step(self, step: Step) -> Outcome:
        held, self._held = self._held, step
        profiles = held.profiles if held else []
        return await super().step(replace(step, profiles=profiles))


class KeptCache(ProfileCache):
    def clear(self) -> None:
        if not hasattr(self, "_slots"):
            super().clear()


class KeepsItsCache(Lane):
    """Believes after a claim what it knew before."""

    async def run(self) -> None:
        self.cache = KeptCache(self._maker.schema, self.cache.capacity)
        await super().run()


class TellsTooEarly(Lane):
    """Tells changes before they are durable."""

    async def step(
        self,
        scored: Scored,
        *,
        next_offset: int | None = None,
        clock: EventClock | None = None,
        reached: Mapping[str, Reached] | None = None,
    ) -> None:
        await self._tell(scored.changes, unpack(scored.pending))
        await super().step(scored, next_offset=next_offset, clock=clock, reached=reached)


class TellsInTheBackground(Lane):
    """Takes the next step before the changes of the last one are told."""

    async def _tell(self, changes: Sequence[Change], pending: Sequence[bytes]) -> None:
        self._telling = asyncio.create_task(super()._tell(changes, pending))


@pytest.mark.parametrize("store", [NoEpoch, NoSeq, NothingPending, AnyVersion, OffsetsAlone])
def test_a_broken_store_is_found(store: type[MemoryStore]) -> None:
    class Broken(LaneMachine):
        store_type: ClassVar[type[MemoryStore]] = store

    with pytest.raises(AssertionError, match=BROKEN):
        play(Broken, ENOUGH, shrinks=False)


@pytest.mark.parametrize("store", [NoOwner, AnyServer])
def test_a_broken_store_is_found_once_it_loses_writes(store: type[MemoryStore]) -> None:
    class Broken(RelaxedLaneMachine):
        store_type: ClassVar[type[MemoryStore]] = store

    with pytest.raises(AssertionError, match=BROKEN):
        play(Broken, ENOUGH, shrinks=False)


@pytest.mark.parametrize("lane", [KeepsItsCache, TellsTooEarly, TellsInTheBackground])
def test_a_broken_lane_is_found(lane: type[Lane]) -> None:
    class Broken(LaneMachine):
        lane_type: ClassVar[type[Lane]] = lane

    with pytest.raises(AssertionError, match=BROKEN):
        play(Broken, ENOUGH, shrinks=False)
