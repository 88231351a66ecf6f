"""How good a grouping is, by figures that hold for any features and any number of segments."""

import numpy as np
from scipy.spatial.distance import cdist

from models.columns import Floats, Ints
from models.lloyd import means
from models.snapshots import Numbers

SILHOUETTE_CUSTOMERS = 2_000


def unexplained(points: Floats, numbers: Numbers) -> float:
    """Part of the customers' variance that is left within their segments, 0 to 1.

    The inertia about the mean of each segment, divided by that about the mean of everybody: 0 when
    all members of a segment are the same, 1 when the segments say nothing. So groupings in other
    spaces, by other features and weights, can be compared.

    Parameters
    ----------
    points
        Shape (n, n_features), scaled and weighted.
    numbers
        Shape (n,), the segment of each.
    """
    _, labels = np.unique(numbers, return_inverse=True)
    total = float(np.square(points - points.mean(axis=0)).sum()) if len(points) else 0.0
    if total == 0:
        return 0.0
    centres, _ = means(points, labels, int(labels.max()) + 1)
    return float(np.square(points - centres[labels]).sum()) / total


def silhouette(points: Floats, numbers: Numbers) -> float:
    """How much nearer customers are to their own segment than to the next one, -1 to 1.

    The mean of ``(b - a) / max(a, b)``, where a is a customer's mean distance to the others of the
    segment and b the least mean distance to another segment; 0 where either is missing. Of many
    customers, 2 000 drawn at random are looked at.

    Rousseeuw, 1987, "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis".

    Parameters
    ----------
    points
        Shape (n, n_features), scaled and weighted.
    numbers
        Shape (n,), the segment of each.
    """
    if len(points) > SILHOUETTE_CUSTOMERS:
        chosen = np.random.default_rng(0).choice(len(points), SILHOUETTE_CUSTOMERS, replace=False)
        points, numbers = points[chosen], numbers[chosen]
    segments, labels = np.unique(numbers, return_inverse=True)
    if len(segments) <= 1:
        return 0.0
    return float(_widths(points, labels, len(segments)).mean())


def _widths(points: Floats, labels: Ints, k: int) -> Floats:
    """Silhouette of each customer, shape (n,)."""
    is_member = labels[:, np.newaxis] == np.arange(k)
    counts = is_member.sum(axis=0)
    sums = cdist(points, points) @ is_member
    own = sums[is_member] / np.maximum(counts[labels] - 1, 1)
    others = np.where(is_member, np.inf, sums / counts).min(axis=1)
    larger = np.maximum(own, others)
    widths: Floats = np.divide(
        others - own, larger, out=np.zeros_like(larger), where=(larger > 0) & (counts[labels] > 1)
    )
    return widths
