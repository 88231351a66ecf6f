"""How many segments there are: as many as stand apart from each other."""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter1d

from models.columns import Floats, Ints
from models.lineage import Granularity
from models.lloyd import best_start, means, nearest

LOOKED_AT = 5_000
"""Most points that are looked at."""
GAP = 0.15
"""Score from which segments stand apart: how much fewer customers are between than in them."""
SLACK = 0.05
"""How much the score of another number must exceed `GAP`, and of today's fall below it."""
_FEWEST = 20
"""Members from which a density can be told."""
_RESTARTS, _ITERATIONS, _REFINEMENTS = 4, 30, 15
_RIVALS = 2
_SMOOTHING = 1.6
"""Times Silverman's bandwidth: that is made for one bump, and what is left of it is chance."""
_RIDGE, _LEAST = 0.05, 1e-6
_BINS_A_WIDTH, _MOST_BINS = 4, 1_000


def choose(
    points: Floats, *, k_min: int, k_max: int, rng: np.random.Generator, current: int | None = None
) -> Granularity:
    """The largest number of clusters of which every two have a gap between them.

    For each k, the clusters of k-means are refined by Mahalanobis distance, with the covariance
    within clusters, so that features that tell no clusters apart count for nothing. Then every
    cluster and its nearest are looked at along Fisher's discriminant [1]_, the direction that
    parts them best: the score of a pair is ``1 - valley / lower peak`` of the density there
    (Silverman's kernel estimate [2]_; the ratio is that of [3]_). It is near 0 when k-means has
    cut through one bump, and the score of k is that of its worst pair.

    Where no number reaches `GAP`, customers form no clear groups, and it is `k_min`.

    Parameters
    ----------
    points
        Shape (n, n_features), in scaled space; at most `LOOKED_AT` of them are drawn.
    k_min, k_max
        Range to choose from, 1 or more. Numbers beyond that of distinct points are not tried.
    current
        Today's number: more must exceed `GAP` by `SLACK`, and it stays until its own score is as
        much below.

    References
    ----------
    .. [1] Fisher, R. A., 1936, "The use of multiple measurements in taxonomic problems", Annals
       of Eugenics, 7, 179-188.
    .. [2] Silverman, B. W., 1986, "Density estimation for statistics and data analysis", 3.4.2.
    .. [3] Hennig, C., 2010, "Methods for merging Gaussian mixture components", Advances in Data
       Analysis and Classification, 4, 3-34, the ridgeline ratio.
    """
    if len(points) > LOOKED_AT:
        points = points[np.sort(rng.choice(len(points), LOOKED_AT, replace=False))]
    scores = tuple(_scores(points, k_min, k_max, rng))
    chosen = max((k for k, score in scores if score >= _bar(k, current)), default=k_min)
    return Granularity(chosen, scores, _reason(chosen, dict(scores), current))


def _scores(
    points: Floats, k_min: int, k_max: int, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    for k in range(k_min, k_max + 1):
        start = best_start(points, k, rng, restarts=_RESTARTS, iterations=_ITERATIONS)
        if len(start) < k:
            return
        yield k, round(separation(points, nearest(points, start)), 3)


def _bar(k: int, current: int | None) -> float:
    """Score that is asked of k clusters."""
    if current is None or k < current:
        return GAP
    return GAP - SLACK if k == current else GAP + SLACK


def _reason(k: int, scores: dict[int, float], current: int | None) -> str:
    if scores.get(k, 0.0) < _bar(k, current):
        return f"no number of segments leaves gaps between them: {k} are as few as allowed"
    if k == max(scores):
        return f"{k} segments stand apart from each other, and more were not tried"
    return f"{k} segments stand apart from each other; of {k + 1}, two run into each other"


def separation(points: Floats, labels: Ints) -> float:
    """Depth of the shallowest gap between two clusters, 0 to 1; 1 when there is only one.

    Parameters
    ----------
    points
        Shape (n, n_features).
    labels
        Shape (n,), the cluster that each is in to begin with, 0 to k - 1.
    """
    k = int(labels.max()) + 1
    for _ in range(_REFINEMENTS if k > 1 else 0):
        axes, centres = _discriminants(points, labels, k)
        refined = nearest(points @ axes, centres @ axes)
        if (refined == labels).all() or np.bincount(refined, minlength=k).min() < _FEWEST:
            break
        labels = refined
    if k > 1 and np.bincount(labels, minlength=k).min() < _FEWEST:
        return 0.0
    axes, centres = _discriminants(points, labels, k)
    points, centres = points @ axes, centres @ axes
    members = [points[labels == cluster] for cluster in range(k)]
    return min((_gap(members[i], members[j]) for i, j in _neighbours(centres)), default=1.0)


def _discriminants(points: Floats, labels: Ints, k: int) -> tuple[Floats, Floats]:
    """Axes along which clusters are round, shape (d, d), and the clusters' means, shape (k, d)."""
    centres, _ = means(points, labels, k)
    residuals = points - centres[labels]
    within = residuals.T @ residuals / len(points)
    # Where a cluster is one point repeated, the spread of all of them has to do.
    ridge = _RIDGE * max(within.trace(), _LEAST * points.var(axis=0).sum()) / len(within)
    within = (1 - _RIDGE) * within + ridge * np.eye(len(within))
    return np.linalg.cholesky(np.linalg.inv(within)), centres


def _neighbours(centres: Floats) -> set[tuple[int, int]]:
    """Pairs of each cluster and those nearest to it."""
    difference = centres[:, np.newaxis] - centres
    order = np.argsort(np.vecdot(difference, difference), axis=1, kind="stable")
    pairs = {(i, j) for i, near in enumerate(order.tolist()) for j in near[: _RIVALS + 1]}
    return {(min(i, j), max(i, j)) for i, j in pairs if i != j}


def _gap(one: Floats, other: Floats) -> float:
    """How much lower the density is between two clusters than in both, 0 to 1.

    Their points, shapes (n, d) and (m, d), stand where clusters are round: there the line through
    the means is Fisher's discriminant.
    """
    axis = other.mean(axis=0) - one.mean(axis=0)
    near, far = one @ axis, other @ axis
    together = np.concatenate([near, far])
    deviation = np.sqrt((near.var() * near.size + far.var() * far.size) / together.size)
    width = _SMOOTHING * 1.06 * float(deviation) * min(near.size, far.size) ** -0.2
    low, high = together.min() - 3 * width, together.max() + 3 * width
    if width <= (high - low) / _MOST_BINS:
        return 1.0
    bins = int(np.ceil((high - low) / width * _BINS_A_WIDTH))
    counts, edges = np.histogram(together, bins, (low, high))
    density = gaussian_filter1d(
        counts.astype(np.float64), width / (edges[1] - edges[0]), mode="constant"
    )
    start, end = np.searchsorted(edges, [np.median(near), np.median(far)], side="right") - 1
    if start >= end:
        return 0.0
    valley = int(start + density[start : end + 1].argmin())
    peak = min(density[: valley + 1].max(), density[valley:].max())
    return float(1 - density[valley] / peak)
