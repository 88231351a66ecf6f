"""The state in memory, with the same rules as Redis: what lanes are tested against."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from models.identifiers import CustomerId, hash64
from stream.store import (
    LaneFencedError,
    LaneState,
    Outcome,
    Reached,
    SegmentRecord,
    Showing,
    Step,
)


@dataclass
class StoredLane:
    """Everything that shares a partition's tag."""

    epoch: int = 0
    owner: str = ""
    server: int = 0
    seq: int = 0
    next_offset: int | None = None
    clock: str = ""
    pending: bytes = b""
    reached: Mapping[str, Reached] = field(default_factory=dict)
    profiles: dict[CustomerId, bytes] = field(default_factory=dict)
    due: dict[CustomerId, int] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "StoredLane":
        """The same, unmoved by what comes."""
        profiles, due, sizes = self.profiles.copy(), self.due.copy(), self.sizes.copy()
        return replace(self, profiles=profiles, due=due, sizes=sizes)


Segments = dict[tuple[str, CustomerId], SegmentRecord]


class MemoryStore:
    """See `stream.store.Store`.

    Parameters
    ----------
    remembered
        How many of the last writes a `restart` can lose.
    """

    def __init__(self, *, remembered: int = 0) -> None:
        self.lanes: defaultdict[int, StoredLane] = defaultdict(StoredLane)
        self.segments: Segments = {}
        self.server = 0
        self._past: deque[tuple[dict[int, StoredLane], Segments]] = deque(maxlen=remembered)

    async def lose_claims(self, partition: int, epoch: int) -> None:
        """Go back to an epoch, and to nothing else."""
        self.lanes[partition].epoch = epoch

    async def claimed_elsewhere(self, partition: int) -> None:
        """Take the lane for one that another server gave away."""
        self.lanes[partition].server -= 1

    def restart(self, lost_writes: int = 0) -> None:
        """Be another server, which has lost the last writes."""
        self.server += 1
        for _ in range(min(lost_writes, len(self._past))):
            lanes, self.segments = self._past.pop()
            self.lanes = defaultdict(StoredLane, lanes)

    def _remember(self) -> None:
        if self._past.maxlen:
            lanes = {partition: lane.copy() for partition, lane in self.lanes.items()}
            self._past.append((lanes, self.segments.copy()))

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        lane = self.lanes[partition]
        if unless_above is not None and lane.epoch >= unless_above and lane.owner != owner:
            raise LaneFencedError(partition, lane.epoch)
        self._remember()
        lane.owner, lane.server = owner, self.server
        lane.epoch += 1
        return LaneState(
            lane.epoch, lane.seq, lane.next_offset, lane.clock, lane.pending, lane.reached
        )

    async def step(self, step: Step) -> Outcome:
        lane = self.lanes[step.partition]
        if lane.epoch != step.epoch or lane.owner != step.owner:
            return Outcome.ROLLED_BACK if lane.epoch < step.epoch else Outcome.FENCED
        if lane.server != self.server:
            return Outcome.RESTARTED
        if lane.seq == step.seq + 1:
            return Outcome.APPLIED
        if lane.seq != step.seq:
            return Outcome.OUT_OF_ORDER
        self._remember()
        lane.seq += 1
        lane.next_offset, lane.clock = step.next_offset, step.clock
        lane.pending, lane.reached = step.pending, step.reached
        lane.sizes.update(dict(step.sizes))
        for profile in step.profiles:
            if profile.blob:
                lane.profiles[profile.customer] = profile.blob
            elif profile.blob is not None:
                lane.profiles.pop(profile.customer, None)
            if profile.due_ms is None:
                lane.due.pop(profile.customer, None)
            else:
                lane.due[profile.customer] = profile.due_ms
        return Outcome.APPLIED

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        return [self.lanes[partition].profiles.get(customer) for customer in customers]

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        due = self.lanes[partition].due
        return sorted((c for c in due if due[c] <= now_ms), key=lambda c: (due[c], c))[:limit]

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        # The cursor stands between hashes: who comes or goes meanwhile shifts nobody.
        hashes = {hash64(name) >> 1: name for name in self.lanes[partition].due}
        ahead = sorted(at for at in hashes if at >= cursor)
        following = ahead[count] if len(ahead) > count else 0
        return following, [hashes[at] for at in ahead[:count]]

    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        self._remember()
        for record in records:
            known = self.segments.get((record.segmentation, record.customer))
            if known is None or record.version > known.version:
                self.segments[record.segmentation, record.customer] = record

    async def show_segments(self, showings: Sequence[Showing]) -> None:
        self._remember()
        for showing in showings:
            known = self.segments.get((showing.segmentation, showing.customer))
            if known and known.version == showing.version and known.id:
                self.segments[showing.segmentation, showing.customer] = structs.replace(
                    known, label=showing.label
                )

    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]:
        record = self.segments.get((segmentation, customer))
        return record.fields() if record else {}
