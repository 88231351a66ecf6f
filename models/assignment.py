"""The rule that decides which segment a customer is in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.columns import Floats, blocks
from models.snapshots import Numbers, Snapshot


@dataclass(frozen=True, slots=True)
class Assignment:
    """Segments of n customers, all of shape (n,).

    `segment` and `runner_up` are segment numbers; the runner-up is the nearest segment that the
    customer is not in, 0 when there is only one.

    `confidence`, 0 to 1, is `1 - d₁/d₂` for a customer in the nearest segment: 1 on its centroid
    (and when there is only one segment), 0 halfway to the next, and 0 for a customer who stays
    although another segment is nearer.

    `margin`, 0 to 1, is `(d_own - d₁)/(d_own + d₁)`: how much nearer the nearest centroid is than
    that of the segment the customer comes from; 0 when that is the nearest, and for a customer
    who comes from no segment that the model knows.
    """

    segment: Numbers
    confidence: Floats
    runner_up: Numbers
    margin: Floats


def assign(snapshot: Snapshot, vectors: Floats, current: Numbers) -> Assignment:
    """Assign each customer to the nearest centroid, unless it is hardly nearer than their own.

    A customer leaves a segment only when `margin` exceeds the snapshot's; one without a segment,
    or in one that the model no longer has, moves at once. Of equally near centroids the first
    is taken.

    Parameters
    ----------
    vectors
        Shape (n, n_features), in feature units, in the order of `snapshot.feature_names`.
    current
        Shape (n,), the number of each customer's segment, 0 for none.
    """
    points = snapshot.scaler.transform(vectors)
    distances = distances_to(points, snapshot.centroids)
    each = np.arange(len(distances))

    nearest = distances.argmin(axis=1)
    is_own = current[:, np.newaxis] == snapshot.numbers
    own = np.where(is_own.any(axis=1), is_own.argmax(axis=1), nearest)
    d_nearest, d_own = distances[each, nearest], distances[each, own]
    margin = _ratio(d_own - d_nearest, d_own + d_nearest)
    chosen = np.where(margin > snapshot.margin, nearest, own)

    if len(snapshot.numbers) == 1:
        runner_up = np.zeros(len(points), dtype=np.uint32)
        return Assignment(snapshot.numbers[chosen], np.ones(len(points)), runner_up, margin)
    d_chosen = distances[each, chosen]
    distances[each, chosen] = np.inf
    rival = distances.argmin(axis=1)
    d_rival = distances[each, rival]
    confidence = np.maximum(_ratio(d_rival - d_chosen, d_rival), 0.0)
    return Assignment(snapshot.numbers[chosen], confidence, snapshot.numbers[rival], margin)


def distances_to(points: Floats, centroids: Floats) -> Floats:
    """Euclidean distances, shape (n_points, n_centroids).

    Differences are squared one by one: exact where the expanded form cancels.
    """
    squares = np.empty((len(points), len(centroids)))
    for part in blocks(len(points)):
        difference = points[part, np.newaxis] - centroids
        np.vecdot(difference, difference, out=squares[part])
    return np.sqrt(squares, out=squares)


def nearest_centroid(points: Floats, centroids: Floats) -> NDArray[np.intp]:
    """Index of the nearest centroid of each point, shape (n_points,)."""
    nearest: NDArray[np.intp] = distances_to(points, centroids).argmin(axis=1)
    return nearest


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
