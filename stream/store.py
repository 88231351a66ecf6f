"""What a lane keeps in Redis: its state machine, its profiles, the segments of its customers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from models.errors import ShoalError
from models.identifiers import CustomerId, SegmentId, segment_id
from models.labels import Label

UNASSIGNED = "unassigned"


class Outcome(StrEnum):
    """What Redis made of a step.

    A server that was started since the lane was claimed may have lost writes that its worker has
    read: it takes no step before the lane is claimed again.
    """

    APPLIED = "applied"
    FENCED = "epoch"
    OUT_OF_ORDER = "seq"
    ROLLED_BACK = "rolled_back"
    RESTARTED = "restarted"


class LaneFencedError(ShoalError):
    """Another worker has claimed the lane since."""

    def __init__(self, partition: int, epoch: int) -> None:
        super().__init__(f"lane {partition} was claimed by another worker (epoch {epoch})")
        self.partition = partition
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a lane has followed what is in force of a segmentation.

    Every customer was scored by version `model` or a later one, and is shown as the edition of
    that digest says.
    """

    model: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class LaneState:
    """A partition's state machine as a worker finds it when it claims the lane.

    `next_offset` is None before the first step. `reached` says of each segmentation, by name, how
    far all customers have followed it.
    """

    epoch: int
    seq: int
    next_offset: int | None
    clock: str
    pending: bytes
    reached: Mapping[str, Reached]


class StoredProfile(Struct, frozen=True, gc=False):
    """A profile to write, and when to look at its customer again.

    An empty `blob` deletes it, None leaves it as it is; `due_ms` None takes it off the due set.
    """

    customer: CustomerId
    blob: bytes | None
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One atomic move of a lane. `sizes` says by how much each segment's count changes.

    `epoch` and `owner` are those of the worker's claim. A server that has lost a claim may give
    the same epoch to somebody else.
    """

    partition: int
    epoch: int
    owner: str
    seq: int
    next_offset: int
    clock: str
    pending: bytes
    reached: Mapping[str, Reached]
    profiles: Sequence[StoredProfile]
    sizes: Mapping[str, int]
    ttl_ms: int


class SegmentRecord(Struct, frozen=True, gc=False):
    """What a page reads of a customer; `id` None: the customer is in no segment any more."""

    segmentation: str
    customer: CustomerId
    version: int
    id: SegmentId | None
    label: Label
    confidence: float
    since: str
    previous: str
    model: int
    updated: str

    def fields(self) -> dict[str, str]:
        """Fields of the page's hash; only the version where there is no segment."""
        if self.id is None:
            return {"version": str(self.version)}
        return {
            "version": str(self.version),
            "id": self.id,
            "confidence": f"{self.confidence:.4f}",
            "since": self.since,
            "previous": self.previous,
            "model": str(self.model),
            "updated": self.updated,
            **shown_fields(self.label),
        }


@dataclass(frozen=True, slots=True)
class Showing:
    """How the segment of a customer's current version is shown from now on."""

    segmentation: str
    customer: CustomerId
    version: int
    label: Label


def shown_fields(label: Label) -> dict[str, str]:
    """What a page's hash says of a label: its name, and of what is attached what there is."""
    attached = {
        "landing_page": label.landing_page,
        "offer": label.offer,
        "message": label.message,
        "tags": json.dumps(label.tags, ensure_ascii=False) if label.tags else "",
    }
    return {"name": label.name} | {name: text for name, text in attached.items() if text}


def size_field(segmentation: str, number: int) -> str:
    """Field that counts a segment's customers; 0 counts those without a segment.

    >>> size_field("value", 3), size_field("value", 0)
    ('value:s3', 'value:unassigned')
    """
    return f"{segmentation}:{segment_id(number) or UNASSIGNED}"


class Store(Protocol):
    """What lanes, the sweep and the trainer need of the state."""

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        """Raise the lane's epoch and take it over for `owner`.

        With `unless_above`, only while nobody else did: an epoch from there on that is not the
        owner's own (from a claim whose reply was lost) raises LaneFencedError.
        """

    async def step(self, step: Step) -> Outcome:
        """Apply a step, once, if the lane still has its epoch and seq."""

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        """Stored profiles, None where there is none."""

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        """Customers to look at again by now, the longest overdue first."""

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        """Some customers of a lane and the cursor to go on with, 0 at the end.

        Every customer who stays throughout is seen at least once.
        """

    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        """Write each customer's segment unless a higher version is there."""

    async def show_segments(self, showings: Sequence[Showing]) -> None:
        """Change how segments are shown, where a page still has the version that is spoken of."""


def read_reached(text: str) -> dict[str, Reached]:
    """How far a lane is with each segmentation, as its hash says it."""
    parts = [entry.split(":") for entry in text.split()]
    return {part[0]: Reached(int(part[1]), int(part[2], 16)) for part in parts}


def reached_text(reached: Mapping[str, Reached]) -> str:
    """The other way round."""
    return " ".join(f"{name}:{r.model}:{r.shown:x}" for name, r in reached.items())
