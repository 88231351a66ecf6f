"""The lane as a model: Hypothesis state machines that decide what becomes of every call."""

import sys
from collections import Counter
from enum import StrEnum
from typing import ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from models.identifiers import CustomerId
from stream.lanes import Lane
from tests.memory_store import MemoryStore
from tests.stream.lane_calls import ALL, ITSELF, Fate
from tests.stream.lane_truth import wrong_changes, wrong_profiles
from tests.stream.lane_world import LABELS, Kind, Worker, World

CUSTOMERS = tuple(map(CustomerId, ("ann", "bob", "cid", "dan")))
MOST_WORKERS = 3
LONGEST_WAY = 12


class Moment(NamedTuple):
    """When something happens: as soon as some worker waits for such a call."""

    slot: int
    call: str


CALLS = (
    *("claim", "changes", "write_segments", "seek", "profiles", "score", "step", "changes"),
    *("write_segments", "samples", "due", "step", "scan", "rejections", "latest"),
)
few = st.integers(0, ALL)
moves = st.integers(0, LONGEST_WAY)
# One draw instead of two: drawing is half of the work.
moments = st.sampled_from([Moment(slot, call) for slot in range(MOST_WORKERS) for call in CALLS])


class WorkerFate(StrEnum):
    """What may happen to a worker."""

    KILLED = "killed"
    FROZEN = "frozen"
    THAWED = "thawed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    RIVALLED = "rivalled by another"


class LaneMachine(RuleBasedStateMachine):
    """Histories in which Redis keeps what it has acknowledged: every promise holds.

    Before something happens, a worker goes on for some moves.
    """

    store_type: ClassVar[type[MemoryStore]] = MemoryStore
    lane_type: ClassVar[type[Lane]] = Lane
    lost_writes: ClassVar[int] = 0
    histories: ClassVar[Counter[str]] = Counter()
    occurrences: ClassVar[Counter[str]] = Counter()

    def __init_subclass__(cls) -> None:
        cls.histories, cls.occurrences = Counter(), Counter()

    @initialize(is_live=st.booleans(), has_model=st.booleans())
    def begin(self, *, is_live: bool, has_model: bool) -> None:
        store = self.store_type(remembered=self.lost_writes)
        self.seen: Counter[str] = Counter()
        self.world = World(store, is_live=is_live, lane_type=self.lane_type)
        if has_model:
            self.world.publish(0)
        for customer in CUSTOMERS[:2] * 3:
            self.world.append(customer, Kind.ORDER)
        self.world.start()

    @rule(slot=few, n=moves, size=few, fetches=few, newest=st.booleans(), what=few)
    def go_on(self, *, slot: int, n: int, size: int, fetches: int, newest: bool, what: int) -> None:
        worker = self._pick(slot)
        if what % 2:
            worker.model = self.world.model
        for _ in range(fetches):
            worker.kafka.fetch(size + 1)
        if what > 1 and worker.kafka.fetched:
            worker.kafka.fetched.popleft()
            self.seen["fetched records lost"] += 1
        for _ in range(n):
            self._move(worker, size=size + 1, newest=newest)

    @rule(customer=st.sampled_from(CUSTOMERS), count=few, kind=st.sampled_from(Kind))
    def records_come(self, *, customer: CustomerId, count: int, kind: Kind) -> None:
        for _ in range(count + 1):
            self.world.append(customer, kind)
        self.seen[f"record: {kind}"] += count + 1

    @rule(days=st.sampled_from((0.5, 2, 40, 101)))
    def days_pass(self, *, days: float) -> None:
        self.world.pass_days(days)
        self.seen["days pass"] += 1

    @rule(moment=moments, labels=few)
    def a_model_comes(self, *, moment: Moment, labels: int) -> None:
        worker = self._until(moment)
        self.world.publish(labels)
        worker.model = self.world.model
        self.seen["model published"] += 1

    @rule(moment=moments, fate=st.sampled_from(Fate), arrived=few, kind=few)
    def a_call_fails(self, *, moment: Moment, fate: Fate, arrived: int, kind: int) -> None:
        worker = self._until(moment)
        calls = [call for call in worker.line.waiting if call.server != ITSELF]
        if calls:
            call = next((call for call in calls if call.name == moment.call), calls[0])
            self.seen[f"call {fate}: {call.name}"] += 1
            call.meet(fate, arrived=arrived, kind=kind)
            worker.run()

    @rule(moment=moments, fate=st.sampled_from(WorkerFate), arrived=few)
    def a_worker_fails(self, *, moment: Moment, fate: WorkerFate, arrived: int) -> None:
        worker = self._until(moment)
        world = self.world
        if fate is WorkerFate.RIVALLED and len(world.workers) == MOST_WORKERS:
            return
        self.seen[f"worker {fate}"] += 1
        match fate:
            case WorkerFate.KILLED:
                for call in worker.line.waiting:
                    call.arrive(arrived)
                world.kill(worker)
            case WorkerFate.FROZEN:
                worker.is_frozen = True
            case WorkerFate.THAWED:
                for frozen in world.workers:
                    frozen.is_frozen = False
            case WorkerFate.CANCELLED:
                worker.cancel()
            case WorkerFate.STOPPED:
                worker.stop()
            case WorkerFate.RIVALLED:
                world.start()

    @rule(which=st.integers(0, 10), pieces=st.integers(1, ALL))
    def what_was_sent_arrives(self, *, which: int, pieces: int) -> None:
        world = self.world
        under_way = [call for worker in world.workers for call in worker.line.waiting]
        sent = [call for call in (*world.adrift, *under_way) if call.server != ITSELF]
        calls = [call for call in sent if call.pieces]
        if calls:
            call = calls[which % len(calls)]
            call.arrive(pieces)
            self.seen[f"arrives by itself: {call.name}"] += 1

    @rule(moment=moments, lost=st.integers(0, 8))
    def redis_restarts(self, *, moment: Moment, lost: int) -> None:
        self._until(moment)
        lost = min(lost, self.lost_writes)
        self.world.restart_redis(lost)
        self.seen["redis rolled back" if lost else "redis restarted"] += 1

    def _pick(self, slot: int) -> Worker:
        """One of the workers that run; there always is one."""
        world = self.world
        world.bury()
        awake = [worker for worker in world.workers if not worker.is_frozen]
        if not awake and len(world.workers) < MOST_WORKERS:
            awake = [world.start()]
        if not awake:
            awake = world.workers
            awake[0].is_frozen = False
        return awake[slot % len(awake)]

    def _until(self, moment: Moment) -> Worker:
        """A worker that has gone on until it waits for such a call, or for a while."""
        worker = self._pick(moment.slot)
        for _ in range(LONGEST_WAY):
            if any(call.name == moment.call for call in worker.line.waiting):
                break
            self._move(worker, size=moment.slot + 1)
        return worker

    def _move(self, worker: Worker, *, size: int = ALL, newest: bool = False) -> None:
        if worker.is_done:
            return
        if worker.is_settled(self.world.end, worker.model.version if worker.model else 0):
            self._life_goes_on(worker)
        worker.move(size, newest=newest)

    def _life_goes_on(self, worker: Worker) -> None:
        """Somebody buys, now and then a model comes: a lane without changes shows nothing."""
        turn = self.world.end
        self.world.append(CUSTOMERS[turn % len(CUSTOMERS)], Kind.ORDER)
        if turn % 2:
            self.world.publish(turn // 2 % len(LABELS))
            worker.model = self.world.model

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._check()
        finally:
            self.world.close()

    def _check(self) -> None:
        world = self.world
        world.settle()
        faults, conflicts = [*wrong_profiles(world)], [*wrong_changes(world)]
        if not self.lost_writes:
            faults += conflicts
        assert not faults, "\n".join(f"{what}: {detail}" for what, detail in faults)
        self.seen.update(f"after a rollback: wrong {what}" for what, _ in conflicts)
        self.seen["changes told"] += len(world.kafka.told)
        self.seen["events accepted"] += sum(map(len, world.accepted.values()))
        self.seen["steps"] += world.store.lanes[0].seq
        self.seen["moves"] += world.moves
        type(self).occurrences.update(self.seen)
        type(self).histories.update(["histories", *self.seen])


class RelaxedLaneMachine(LaneMachine):
    """Histories in which Redis loses its last writes: counts and pages are right all the same."""

    lost_writes = 8

    @rule(n=moves, m=moves)
    def redis_forgets_a_claim(self, *, n: int, m: int) -> None:
        world = self.world
        world.bury()
        if len(world.workers) == MOST_WORKERS:
            return
        claimant = world.start()
        claimant.move()
        world.restart_redis(1)
        rival = world.start()
        for _ in range(n):
            self._move(rival, size=1)
        for _ in range(m):
            self._move(claimant)
        self.seen["redis forgot a claim"] += 1

    @rule(slot=few, n=st.integers(2, 5))
    def redis_forgets_pages(self, *, slot: int, n: int) -> None:
        worker = self._until(Moment(slot, "write_segments"))
        pages = sum(len(c.pieces) for c in worker.line.waiting if c.name == "write_segments")
        for _ in range(n):
            self._move(worker)
        self.world.restart_redis(pages)
        self.seen["redis forgot pages"] += bool(pages)
