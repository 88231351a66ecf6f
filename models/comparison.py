"""What became of the segments of one model in another."""

from dataclasses import dataclass

import numpy as np

from models.identifiers import SegmentId
from models.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Stay:
    """A segment of both models.

    `moved` is how far its centroid went, in the scaled units of the later model; None where the
    models measure other features.
    """

    id: SegmentId
    name: str
    name_before: str
    share: float
    share_before: float
    moved: float | None


@dataclass(frozen=True, slots=True)
class Birth:
    """A segment of the later model alone."""

    id: SegmentId
    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Death:
    """A segment of the earlier model alone; where its customers are now, None: unknown."""

    id: SegmentId
    name: str
    share: float
    successor: SegmentId | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The segments of two versions: which stayed, came and went."""

    before: int
    after: int
    kept: tuple[Stay, ...]
    born: tuple[Birth, ...]
    died: tuple[Death, ...]


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """How the segments of a model differ from those of a later one of the same segmentation."""
    moves = _moves(before, after)
    kept, died = [], []
    for old in before.segments:
        if new := after.segment(old.number):
            moved = moves.get(old.number)
            kept.append(Stay(new.id, new.name, old.name, new.share, old.share, moved))
        else:
            heir = after.segment(after.successor(old.number))
            died.append(Death(old.id, old.name, old.share, heir.id if heir else None))
    born = [
        Birth(new.id, new.name, new.share)
        for new in after.segments
        if before.segment(new.number) is None
    ]
    return Comparison(before.version, after.version, tuple(kept), tuple(born), tuple(died))


def _moves(before: Snapshot, after: Snapshot) -> dict[int, float]:
    """Distance between the centroids of each segment that both have, by its number."""
    if before.feature_names != after.feature_names:
        return {}
    carried = after.scaler.transform(before.scaler.inverse(before.centroids))
    old = dict(zip(before.numbers.tolist(), carried, strict=True))
    new = zip(after.numbers.tolist(), after.centroids, strict=True)
    return {
        number: round(float(np.linalg.norm(centroid - old[number])), 6)
        for number, centroid in new
        if number in old
    }
