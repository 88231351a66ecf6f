"""The segments of a new model, as heirs of the model before."""

from collections.abc import Mapping, Sequence

from models.assignment import nearest_centroid
from models.columns import Floats, Ints
from models.features import Feature
from models.identity import Matching
from models.lloyd import means
from models.naming import alike, find_traits, name_segments, telling
from models.portraits import Crowd
from models.scaling import Scaler
from models.snapshots import Retirement, Segment, Snapshot

RETIREMENTS_KEPT = 100


def describe(
    features: Sequence[Feature],
    points: Floats,
    labels: Ints,
    matching: Matching,
    *,
    before: Snapshot | None,
    version: int,
    crowd: Crowd | None = None,
    reserved: Mapping[int, str] | None = None,
) -> tuple[Segment, ...]:
    """The segments of the new clusters, in their order: id, name, share, traits and persona.

    Parameters
    ----------
    points
        Shape (n, n_features), the sample in the new model's scaled space.
    labels
        Shape (n,), each customer's cluster; each has a member.
    before
        The model before, None for the first.
    version
        Of the new model.
    crowd
        The customers of `points`; without them there are no personas.
    reserved
        Names that operators have given, by segment number.
    """
    members, counts = means(points, labels, len(matching.numbers))
    shares = (counts / len(points)).tolist()
    everybody = points.mean(axis=0)
    traits = find_traits(features, members, everybody)
    same = alike(features, points)
    known = [before.segment(number) if before else None for number in matching.numbers]
    names = name_segments(
        features, members - everybody, shares, known, same=same, reserved=reserved or {}
    )
    told = [telling(features, strongest, same) for strongest in traits]
    personas = (
        crowd.portray(points, labels, members, traits, told) if crowd else [None] * len(names)
    )
    segments = []
    for i, number in enumerate(matching.numbers):
        old = known[i]
        name, lead = names[i]
        born_version = old.born_version if old else version
        segments.append(
            Segment(number, name, shares[i], born_version, lead, traits[i], personas[i])
        )
    return tuple(segments)


def retire(
    matching: Matching,
    centroids: Floats,
    scaler: Scaler,
    *,
    before: Snapshot | None,
    version: int,
) -> tuple[Retirement, ...]:
    """The segments that are no more, oldest first, at most the last hundred.

    The successor of a segment that had no member in the sample is the one that its centroid
    would go to, 0 when the features have changed since.
    """
    if before is None:
        return ()
    heirs = dict(matching.died)
    for number in [number for number, successor in heirs.items() if not successor]:
        if before.feature_names == scaler.names:
            point = scaler.transform(
                before.scaler.inverse(before.centroids[before.numbers == number])
            )
            heirs[number] = matching.numbers[nearest_centroid(point, centroids).item()]
    new = [Retirement(number, successor, version) for number, successor in heirs.items()]
    return (*before.retired, *new)[-RETIREMENTS_KEPT:]
