"""Workers on one lane, in one thread and virtual time, and everything around them in memory."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from unittest.mock import patch

import numpy as np
from aiokafka import ConsumerRecord

from models.editions import Edition, Editions
from models.identifiers import CustomerId
from models.profiles import DAY_MS
from models.scaling import Scaler
from models.snapshots import Segment, Snapshot
from stream import lanes, outbox, quiet
from stream.lanes import Lane, LaneLimits
from stream.rounds import Rounds
from stream.steps import Scored, Taking
from stream.store import Reached
from tests.memory_store import MemoryStore
from tests.stream.lane_calls import ITSELF, REDIS, Call, FarKafka, FarStore, Line
from tests.stream.lane_kit import (
    SCHEMA,
    SEGMENTATION,
    START_MS,
    MemoryKafka,
    at_once,
    event,
    maker,
    record,
)
from tests.stream.virtual_loop import VirtualLoop, VirtualTime

LIMITS = LaneLimits(
    batch_events=3, cache_profiles=3, sweep_customers_per_second=1e9, fenced_pause_seconds=15
)
SLICE = 2
MOST_MOVES = 3_000
ORDINARY, LATE = 0, 5 * 3_600_000
LABELS = ((1, 2, 3), (2, 3, 1), (1, 4, 3), (5, 2, 4))


class Kind(StrEnum):
    """What comes into the log."""

    ORDER = "order"
    LATE = "late"
    AGAIN = "again"
    BAD = "bad"
    HOLE = "hole"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that must be counted."""

    offset: int
    event_id: str
    time_ms: int


class Worker:
    """One process that serves the lane until it is stopped, or dies."""

    def __init__(self, world: "World") -> None:
        self.is_frozen = False
        self.model: Snapshot | None = None
        self._edition = Edition(SEGMENTATION)
        self.line = Line(world.adrift)
        self.kafka = FarKafka(self.line, world.kafka, world.log)
        self._world = world
        self._loop = VirtualLoop(world.time)
        self._maker = maker(is_live=world.is_live)
        self._putting: asyncio.Task[None] | None = None
        self.lane = world.lane_type(
            0,
            store=FarStore(self.line, world.store),
            maker=self._maker,
            publisher=self.kafka,
            position=self.kafka,
            editions=lambda: self.editions,
            informed=at_once,
            score=self._score,
            limits=LIMITS,
            rounds=Rounds(),
            wall_ms=lambda: world.wall_ms,
        )
        self._task = self._loop.create_task(self.lane.run())
        self.run()

    async def _score(self, taking: Taking) -> Scored:
        def score() -> Scored:
            (scored,) = self._maker.events([taking], self.editions)
            return scored

        return await self.line.ask("score", ITSELF, score)

    @property
    def editions(self) -> Editions:
        """What is in force, by what this worker knows."""
        if self._edition.model is not self.model:
            self._edition = Edition(SEGMENTATION, self.model)
        return (self._edition,)

    @property
    def is_done(self) -> bool:
        """Whether the lane has come to its end."""
        return self._task.done()

    @property
    def now_ms(self) -> int:
        """What the lane takes for now when no event comes."""
        return self.lane.now_ms()

    def run(self) -> None:
        """Go on until everything waits; raises what ended the lane."""
        if self.is_frozen:
            return
        self._loop.run_ready()
        if self.is_done:
            self.line.cut()
            if not self._task.cancelled():
                self._task.result()

    def move(self, size: int = LIMITS.batch_events, *, newest: bool = False) -> None:
        """Let happen what comes next while nothing is wrong: a reply, records, or a timer."""
        self._world.moves += 1
        if waiting := self.line.waiting:
            waiting[-1 if newest else 0].answer()
        elif not (self.lane.is_serving and self._receive(size)):
            self._world.time.seconds = max(self._world.time.seconds, self._loop.next_timer or 0.0)
        self.run()

    def _receive(self, size: int) -> bool:
        if self._putting is not None and not self._putting.done():
            return False
        if not self.kafka.fetched:
            self.kafka.fetch(size)
        if not self.kafka.fetched:
            return False
        self._putting = self._loop.create_task(self.lane.inbox.put(self.kafka.fetched.popleft()))
        return True

    def is_settled(self, end: int, version: int) -> bool:
        """Whether the lane rests because there is nothing left to do."""
        if self.line.waiting or not self.lane.is_serving or self.lane.next_offset != end:
            return False
        stored = self._world.store.lanes[0]
        reached = stored.reached.get("default", Reached()).model
        return reached >= version and all(at > self.now_ms for at in stored.due.values())

    def stop(self) -> None:
        """Let the step in flight end."""
        self.lane.stop()
        self.run()

    def cancel(self) -> None:
        """End the lane in the middle; the process lives, and so do its calls."""
        self._task.cancel()
        self.run()

    def die(self) -> None:
        """End the process: nothing runs any more, and what was sent is on its way."""
        self.is_frozen = False
        self.line.cut()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_ready()
        assert not asyncio.all_tasks(self._loop)
        self._loop.close()


class World:
    """The servers and the workers. `workers` are those that have not ended."""

    def __init__(self, store: MemoryStore, *, is_live: bool, lane_type: type[Lane] = Lane) -> None:
        self.time = VirtualTime()
        self.store = store
        self.is_live = is_live
        self.lane_type = lane_type
        self.kafka = MemoryKafka()
        self.log: list[ConsumerRecord] = []
        self.accepted: dict[CustomerId, list[Accepted]] = {}
        self.bad: set[int] = set()
        self.model: Snapshot | None = None
        self.workers: list[Worker] = []
        self.adrift: list[Call] = []
        self.moves = 0
        self._next_offset = 0
        self._days = 0.0

    @property
    def wall_ms(self) -> int:
        """The wall clock of all processes."""
        return START_MS + int(self.time.seconds * 1000 + self._days * DAY_MS)

    @property
    def end(self) -> int:
        """The offset behind the last record."""
        return self.log[-1].offset + 1 if self.log else 0

    def pass_days(self, days: float) -> None:
        """Let time pass in which nothing happens."""
        self._days += days

    def append(self, customer: CustomerId, kind: Kind) -> None:
        """Let a record come into the log."""
        offset, self._next_offset = self._next_offset, self._next_offset + 1
        if kind is Kind.HOLE:
            return
        value = b"{half"
        if kind is Kind.BAD:
            self.bad.add(offset)
        else:
            known = self.accepted.setdefault(customer, [])
            time_ms = self.wall_ms - (LATE if kind is Kind.LATE else ORDINARY)
            event_id = f"{customer}-{offset}"
            if kind is Kind.AGAIN and known:
                event_id, time_ms = known[-1].event_id, known[-1].time_ms
            known.append(Accepted(offset, event_id, time_ms))
            value = event(customer, offset, time_ms=time_ms, event_id=event_id)
        self.log.append(replace(record(offset, value), timestamp=self.wall_ms))

    def publish(self, labels: int) -> None:
        """Publish the next model; other labels move everybody."""
        self.model = model(self.model.version + 1 if self.model else 1, LABELS[labels])

    def start(self) -> Worker:
        """Start a worker."""
        worker = Worker(self)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """End a worker's process."""
        worker.die()
        self.workers.remove(worker)

    def bury(self) -> None:
        """Forget the workers whose lanes have come to their end."""
        for worker in [worker for worker in self.workers if worker.is_done]:
            self.kill(worker)

    def restart_redis(self, lost_writes: int) -> None:
        """Break all connections; what had not arrived is gone, and so are the last writes."""
        self.adrift[:] = [call for call in self.adrift if call.server != REDIS]
        for worker in self.workers:
            for call in [call for call in worker.line.waiting if call.server == REDIS]:
                call.pieces.clear()
                call.fail()
        self.store.restart(lost_writes)
        for worker in self.workers:
            worker.run()

    def close(self) -> None:
        """End all workers."""
        for worker in [*self.workers]:
            self.kill(worker)

    def settle(self) -> None:
        """No more faults: all workers end, and what they had sent arrives at another one's back."""
        self.close()
        survivor = self.start()
        survivor.model = self.model
        version = self.model.version if self.model else 0
        early, self.adrift[:] = self.adrift[::2], self.adrift[1::2]
        for _ in range(MOST_MOVES):
            if survivor.lane.is_serving:
                while early:
                    early.pop().arrive()
            if survivor.is_settled(self.end, version):
                if not self.adrift:
                    return
                self.adrift.pop().arrive()
            survivor.move()
        raise AssertionError(f"not settled after {MOST_MOVES} moves")


@cache
def model(version: int, labels: tuple[int, int, int]) -> Snapshot:
    """A model that tells customers with few orders, with many, and quiet ones apart."""
    vectors = np.array([[1.0, 0.0], [5.0, 0.0], [3.0, 60.0]])
    scaler = Scaler.fit(SCHEMA.features, vectors)
    return Snapshot(
        segmentation="default",
        version=version,
        epoch=1,
        created_ms=START_MS,
        now_ms=START_MS,
        customers=3,
        algorithm="online_kmeans",
        river_version="0",
        scaler=scaler,
        centroids=scaler.transform(vectors),
        segments=tuple(Segment(number, f"Name {number}", 0.3, 1) for number in labels),
        next_number=6,
        sample_threshold=1.0,
        margin=0.1,
    )


@contextmanager
def virtual_time() -> Iterator[None]:
    """Lanes read the time of the loop they run in, scan in small slices and log nothing."""

    def loop_time() -> float:
        return asyncio.get_running_loop().time()

    with ExitStack() as patches:
        patches.enter_context(patch.object(quiet, "monotonic", loop_time))
        patches.enter_context(patch.object(outbox, "monotonic", loop_time))
        for name in ("MANY", "FEW"):
            patches.enter_context(patch.object(quiet, name, SLICE))
        patches.enter_context(patch.object(lanes.log, "disabled", new=True))
        yield
