"""The state in memory, with the same rules as Redis: what lanes are tested against."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.identifiers import CustomerId
from stream.store import (
    LaneFencedError,
    LaneState,
    Outcome,
    SegmentRecord,
    Step,
)


@dataclass
class StoredLane:
    """Everything that shares a partition's tag."""

    epoch: int = 0
    owner: str = ""
    seq: int = 0
    next_offset: int | None = None
    clock: str = ""
    pending: bytes = b""
    rescored: int = 0
    profiles: dict[CustomerId, bytes] = field(default_factory=dict)
    due: dict[CustomerId, int] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)


class MemoryStore:
    """See `stream.store.Store`."""

    def __init__(self) -> None:
        self.lanes: defaultdict[int, StoredLane] = defaultdict(StoredLane)
        self.segments: dict[tuple[str, CustomerId], SegmentRecord] = {}

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        lane = self.lanes[partition]
        if unless_above is not None and lane.epoch > unless_above and lane.owner != owner:
            raise LaneFencedError(partition, lane.epoch)
        lane.owner = owner
        lane.epoch += 1
        return LaneState(
            lane.epoch, lane.seq, lane.next_offset, lane.clock, lane.pending, lane.rescored
        )

    async def step(self, step: Step) -> Outcome:
        lane = self.lanes[step.partition]
        if lane.epoch != step.epoch:
            return Outcome.ROLLED_BACK if lane.epoch < step.epoch else Outcome.FENCED
        if lane.seq == step.seq + 1:
            return Outcome.APPLIED
        if lane.seq != step.seq:
            return Outcome.OUT_OF_ORDER
        lane.seq += 1
        lane.next_offset, lane.clock = step.next_offset, step.clock
        lane.pending, lane.rescored = step.pending, step.rescored
        lane.sizes.update(dict(step.sizes))
        for profile in step.profiles:
            if profile.blob:
                lane.profiles[profile.customer] = profile.blob
            else:
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
        names = sorted(self.lanes[partition].due)
        end = cursor + count
        return (end if end < len(names) else 0), names[cursor:end]

    async def write_segments(self, records: Sequence[SegmentRecord], segmentation: str) -> None:
        for record in records:
            known = self.segments.get((segmentation, record.customer))
            if known is None or record.version > known.version:
                self.segments[segmentation, record.customer] = record

    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]:
        record = self.segments.get((segmentation, customer))
        if record is None:
            return {}
        if record.id is None:
            return {"version": str(record.version)}
        names = ("version", "id", "name", "confidence", "since", "previous", "model", "updated")
        return dict(zip(names, map(str, record.values()), strict=True))
