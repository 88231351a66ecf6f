"""Going back to an earlier model, by a new version that says what the earlier one said."""

from dataclasses import replace

from models.assignment import nearest_centroid
from models.lineage import Lineage
from models.snapshots import Retirement, Snapshot
from models.succession import RETIREMENTS_KEPT


def bring_back(
    old: Snapshot, current: Snapshot, *, version: int, epoch: int, created_ms: int
) -> Snapshot:
    """The content of `old`, as the model that follows `current`.

    A segment that only `old` has lives again, under its id and name: an id never becomes another
    segment's. A segment that only `current` has ends, and its successor is the one that its
    centroid would go to: no sample is at hand here. The sample does not grow again, and numbers
    that were given stay given.
    """
    born = tuple(n for n in old.numbers.tolist() if current.segment(n) is None)
    died = tuple(_heirs(old, current).items())
    ended = [Retirement(number, heir, version) for number, heir in died]
    before = [entry for entry in current.retired if old.segment(entry.number) is None]
    return replace(
        old,
        version=version,
        epoch=epoch,
        created_ms=created_ms,
        sample_threshold=min(old.sample_threshold, current.sample_threshold),
        next_number=max(old.next_number, current.next_number),
        next_group=max(old.next_group, current.next_group),
        retired=(*before, *ended)[-RETIREMENTS_KEPT:],
        reason="rollback",
        lineage=Lineage(previous=current.version, restored=old.version, born=born, died=died),
    )


def _heirs(old: Snapshot, current: Snapshot) -> dict[int, int]:
    """The segments that end, each with its successor; 0 where the models measure other things."""
    numbers = current.numbers.tolist()
    heirs = [0] * len(numbers)
    if old.feature_names == current.feature_names:
        points = old.scaler.transform(current.scaler.inverse(current.centroids))
        heirs = old.numbers[nearest_centroid(points, old.centroids)].tolist()
    pairs = zip(numbers, heirs, strict=True)
    return {number: heir for number, heir in pairs if old.segment(number) is None}
