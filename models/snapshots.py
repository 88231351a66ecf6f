"""The published model: immutable, versioned, all that a worker needs to assign."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.columns import Floats
from models.errors import ShoalError
from models.formats import FORMAT, FutureFormatError
from models.identifiers import SegmentId, segment_id
from models.lineage import REASONS, Granularity, Group, Lineage, Reason
from models.personas import Persona
from models.scaling import Scaler

_PLAIN = (
    *("format", "segmentation", "version", "epoch", "created_ms", "now_ms", "customers"),
    *("algorithm", "river_version", "next_number", "sample_threshold", "margin"),
    *("reason", "next_group"),
)
# What a model of format 1 did not say.
_SINCE_2: dict[str, Any] = {
    "lineage": Lineage().to_dict(),
    "reason": "news",
    "granularity": None,
    "groups": [],
    "next_group": 1,
}
Numbers = NDArray[np.uint32]
"""Segment numbers; 0 stands for no segment."""


class SnapshotError(ShoalError):
    """Bytes that are not a model this Shoal can use."""

    def __init__(self, reason: str, action: str) -> None:
        super().__init__(f"the stored model cannot be used: {reason}; {action}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Trait:
    """What sets a segment apart: much (`high`) or little of a feature.

    `strength` is the distance of the members' mean from the mean of everybody, in scaled units.
    """

    feature: str
    high: bool
    strength: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One group of customers; its centroid is the row of the same index in the snapshot.

    `share` is its part of the sample, 0 to 1. `lead` is the trait that its name was given for,
    `traits` are the strongest today. `born_version` is the first model that had it. `persona` is
    what its members are like, None in models that did not say so.
    """

    number: int
    name: str
    share: float
    born_version: int
    lead: Trait | None = None
    traits: tuple[Trait, ...] = ()
    persona: Persona | None = None

    @property
    def id(self) -> SegmentId:
        """Public id, never used again for another segment."""
        return SegmentId(f"s{self.number}")


@dataclass(frozen=True, slots=True)
class Retirement:
    """A segment that is no more; most of its members went to `successor` (0: had none)."""

    number: int
    successor: int
    version: int

    @property
    def successor_id(self) -> SegmentId | None:
        """Public id of the successor."""
        return segment_id(self.successor)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One version of a segmentation's model.

    `centroids`, shape (n_segments, n_features), stand in scaled space and are read-only; row i
    is `segments[i]`. Vectors were computed at `now_ms`; `created_ms` is the wall clock.
    `sample_threshold` tells workers whose profiles to send to the trainer; `margin` is how much
    nearer another centroid has to be before a customer leaves. `epoch` fences a stale trainer.
    `reason` and `lineage` tell why it was published and what became of the segments before it;
    `granularity` why there are so many, where that was chosen; `groups` are coarser views.
    """

    segmentation: str
    version: int
    epoch: int
    created_ms: int
    now_ms: int
    customers: int
    algorithm: str
    river_version: str
    scaler: Scaler
    centroids: Floats
    segments: tuple[Segment, ...]
    next_number: int
    sample_threshold: float
    margin: float
    retired: tuple[Retirement, ...] = ()
    reason: Reason = "first"
    lineage: Lineage = field(default_factory=Lineage)
    granularity: Granularity | None = None
    groups: tuple[Group, ...] = ()
    next_group: int = 1
    format: int = FORMAT
    numbers: Numbers = field(init=False, repr=False)
    """Number of each centroid's segment, shape (n_segments,)."""

    def __post_init__(self) -> None:
        centroids = np.array(self.centroids, dtype=np.float64, order="C")
        centroids.setflags(write=False)
        object.__setattr__(self, "centroids", centroids)
        numbers = [segment.number for segment in self.segments]
        if fault := _fault(self, numbers):
            raise SnapshotError(fault, "delete it and let the trainer publish a new one")
        object.__setattr__(self, "numbers", np.array(numbers, dtype=np.uint32))
        self.numbers.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.segmentation, self.version, self.epoch))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""
        return self.scaler.names

    def segment(self, number: int) -> Segment | None:
        """The living segment of a number; None for 0 and for retired ones."""
        return next((s for s in self.segments if s.number == number), None)

    def successor(self, number: int) -> int:
        """Where the members of a retired segment went, followed to a living one; else 0."""
        successors = {retired.number: retired.successor for retired in self.retired}
        while number and self.segment(number) is None:
            # Popped, so that a chain ends even when somebody wrote a circle.
            number = successors.pop(number, 0)
        return number

    def to_json(self) -> bytes:
        """Stored form: one JSON object; floats survive exactly."""
        content: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        content |= {
            "feature_names": self.feature_names,
            "scaler": self.scaler.to_dict(),
            "centroids": self.centroids.tolist(),
            "segments": [asdict(segment) | {"id": segment.id} for segment in self.segments],
            "retired": [asdict(retirement) for retirement in self.retired],
            "lineage": self.lineage.to_dict(),
            "granularity": self.granularity.to_dict() if self.granularity else None,
            "groups": [group.to_dict() for group in self.groups],
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, blob: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        FutureFormatError
            It was stored by a newer Shoal.
        SnapshotError
            The bytes are no model.
        """
        action = "delete it and let the trainer publish a new one"
        try:
            content = json.loads(blob)
            found = content["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SnapshotError(f"it is not a snapshot ({error!r})", action) from error
        if isinstance(found, int) and found > FORMAT:
            raise FutureFormatError("the stored model", found)
        if not isinstance(found, int) or found < 1:
            raise SnapshotError(f"its format is {found!r}", action)
        if found == 1:
            content = _SINCE_2 | content
        try:
            granularity = content["granularity"]
            return cls(
                segmentation=str(content["segmentation"]),
                version=int(content["version"]),
                epoch=int(content["epoch"]),
                created_ms=int(content["created_ms"]),
                now_ms=int(content["now_ms"]),
                customers=int(content["customers"]),
                algorithm=str(content["algorithm"]),
                river_version=str(content["river_version"]),
                scaler=Scaler.from_dict(content["scaler"]),
                centroids=np.array(content["centroids"], dtype=np.float64),
                segments=tuple(_segment(entry) for entry in content["segments"]),
                next_number=int(content["next_number"]),
                sample_threshold=float(content["sample_threshold"]),
                margin=float(content["margin"]),
                retired=tuple(
                    Retirement(int(r["number"]), int(r["successor"]), int(r["version"]))
                    for r in content["retired"]
                ),
                reason=content["reason"],
                lineage=Lineage.from_dict(content["lineage"]),
                granularity=None if granularity is None else Granularity.from_dict(granularity),
                groups=tuple(Group.from_dict(entry) for entry in content["groups"]),
                next_group=int(content["next_group"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SnapshotError(f"a part is missing or wrong ({error!r})", action) from error


def _segment(entry: dict[str, Any]) -> Segment:
    lead, persona = entry["lead"], entry.get("persona")
    return Segment(
        number=int(entry["number"]),
        name=str(entry["name"]),
        share=float(entry["share"]),
        born_version=int(entry["born_version"]),
        lead=None if lead is None else _trait(lead),
        traits=tuple(_trait(trait) for trait in entry["traits"]),
        persona=None if persona is None else Persona.from_dict(persona),
    )


def _trait(entry: dict[str, Any]) -> Trait:
    return Trait(str(entry["feature"]), bool(entry["high"]), float(entry["strength"]))


def _fault(snapshot: Snapshot, numbers: list[int]) -> str | None:
    expected = (len(numbers), len(snapshot.scaler.columns))
    if snapshot.centroids.shape != expected or 0 in expected:
        return f"centroids have shape {snapshot.centroids.shape}, expected {expected}"
    if not np.isfinite(snapshot.centroids).all():
        return "a centroid is not finite"
    if len(set(numbers)) < len(numbers) or not all(
        0 < number < snapshot.next_number <= np.iinfo(np.uint32).max for number in numbers
    ):
        return f"segment numbers {numbers} are not distinct and below {snapshot.next_number}"
    if not 0.0 <= snapshot.sample_threshold <= 1.0 or not 0.0 <= snapshot.margin < 1.0:
        return f"threshold {snapshot.sample_threshold} or margin {snapshot.margin} is out of range"
    if snapshot.reason not in REASONS:
        return f"its reason {snapshot.reason!r} is none of {', '.join(REASONS)}"
    return None
