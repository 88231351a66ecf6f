"""k-means over a sample at rest: the start, the steps and the moves between them."""

from collections.abc import Iterator

import numpy as np

from models.assignment import distances_to
from models.columns import Floats, Ints

MIN_GAIN = 0.01
"""A move between clusters is kept when inertia falls by this part or more."""
STARTED_ON = 5_000
"""Most points that k-means++ starts are tried on; only the best of them goes on with all."""
_ONE_THREAD = 250_000
"""Multiplications up to which OpenBLAS starts no threads.

The trainer shares its cores with others, and threads that wait for each other made one step take
a hundred times as long there.
"""


def inertia(points: Floats, centroids: Floats) -> float:
    """Sum of squared distances to the nearest centroid."""
    return float(_squares(points, centroids, nearest(points, centroids)).sum())


def plus_plus(
    points: Floats, k: int, rng: np.random.Generator, start: Floats | None = None
) -> Floats:
    """k-means++ centroids, shape (≤ k, n_features), going on from `start` where given.

    Each next centroid is the best of a few points drawn by their squared distance to those
    chosen before. Fewer than `k` come back when there are not as many distinct points.

    Arthur and Vassilvitskii, 2007, "k-means++: the advantages of careful seeding", with the
    greedy candidates of its section 5.
    """
    candidates = 2 + int(np.log(max(k, 1)))
    if start is None or not len(start):
        start = points[rng.integers(len(points), size=1)]
    chosen = list(start[:k])
    closest = np.square(distances_to(points, np.array(chosen)).min(axis=1))
    while len(chosen) < k and (total := closest.sum()) > 0:
        drawn = rng.choice(len(points), size=candidates, p=closest / total)
        squares = np.square(distances_to(points, points[drawn]))
        after = np.minimum(squares, closest[:, np.newaxis])
        best = int(after.sum(axis=0).argmin())
        chosen.append(points[drawn[best]])
        closest = after[:, best]
    return np.array(chosen)


def means(points: Floats, labels: Ints, k: int) -> tuple[Floats, Ints]:
    """Mean, shape (k, n_features), and number, shape (k,), of each cluster's members.

    The mean of a cluster without members is 0.
    """
    sums = np.zeros((k, points.shape[1]))
    each = np.arange(k)[:, np.newaxis]
    for block in _blocks(points, k):
        sums += (labels[block] == each).astype(np.float64) @ points[block]
    counts = np.bincount(labels, minlength=k)
    return sums / np.maximum(counts, 1)[:, np.newaxis], counts


def nearest(points: Floats, centroids: Floats) -> Ints:
    """Index of each point's nearest centroid, shape (n,): `nearest_centroid` by matrix products.

    Several times faster; which of two equally near ones it is depends on rounding.
    """
    labels = np.empty(len(points), dtype=np.int64)
    half = np.vecdot(centroids, centroids) / 2
    for block in _blocks(points, len(centroids)):
        labels[block] = (points[block] @ centroids.T - half).argmax(axis=1)
    return labels


def _blocks(points: Floats, k: int) -> Iterator[slice]:
    size = max(1, _ONE_THREAD // max(1, k * points.shape[1]))
    return (slice(at, at + size) for at in range(0, len(points), size))


def _squares(points: Floats, centroids: Floats, labels: Ints) -> Floats:
    difference = points - centroids[labels]
    squares: Floats = np.vecdot(difference, difference)
    return squares


def lloyd(points: Floats, centroids: Floats, iterations: int) -> Floats:
    """Centroids after at most `iterations` warm-started steps (Lloyd, 1957, published 1982).

    A centroid without members goes to the point farthest from its own.
    """
    before: Ints | None = None
    for _ in range(iterations):
        labels = nearest(points, centroids)
        if before is not None and (labels == before).all():
            break
        moved, counts = means(points, labels, len(centroids))
        if not counts.all():
            _revive_dead(points, centroids, moved, counts)
        centroids, before = moved, labels
    return centroids


def _revive_dead(points: Floats, centroids: Floats, moved: Floats, counts: Ints) -> None:
    apart = distances_to(points, centroids).min(axis=1)
    farthest = np.argsort(apart, kind="stable")[::-1]
    for dead, point in zip(np.flatnonzero(counts == 0), farthest, strict=False):
        moved[dead] = points[point] if apart[point] > 0 else centroids[dead]


def revive(points: Floats, centroids: Floats) -> Floats:
    """Centroids of which none is without members, where there are points enough."""
    centroids = centroids.copy()
    for _ in range(len(centroids)):
        distances = distances_to(points, centroids)
        counts = np.bincount(distances.argmin(axis=1), minlength=len(centroids))
        apart = distances.min(axis=1)
        if counts.all() or apart.max(initial=0.0) == 0:
            break
        centroids[counts.argmin()] = points[apart.argmax()]
    return centroids


def cost_of_losing(points: Floats, centroids: Floats) -> Floats:
    """By how much inertia rises without each centroid, shape (k,)."""
    distances = distances_to(points, centroids)
    squares = np.square(np.partition(distances, 1, axis=1)[:, :2])
    gains = squares[:, 1] - squares[:, 0]
    losses = np.bincount(distances.argmin(axis=1), weights=gains, minlength=len(centroids))
    return losses.astype(np.float64)


def split_merge(
    points: Floats, centroids: Floats, iterations: int, min_gain: float = MIN_GAIN
) -> Floats:
    """Centroids after the moves that Lloyd's steps cannot make.

    The centroid that is cheapest to lose goes into the cluster with the largest inertia, beside
    its centroid; after a few steps the move is kept when inertia fell by `min_gain`. Goes on
    until a move is refused.
    """
    k = len(centroids)
    if k <= 1:
        return centroids
    best = inertia(points, centroids)
    for _ in range(k):
        labels = nearest(points, centroids)
        within = np.bincount(labels, weights=_squares(points, centroids, labels), minlength=k)
        worst = int(within.argmax())
        losses = cost_of_losing(points, centroids)
        losses[worst] = np.inf
        tried = centroids.copy()
        tried[[int(losses.argmin()), worst]] = halves(points[labels == worst], centroids[worst])
        tried = lloyd(points, tried, iterations)
        reached = inertia(points, tried)
        if reached > best * (1 - min_gain) or best == 0:
            break
        centroids, best = tried, reached
    return centroids


def halves(members: Floats, centroid: Floats) -> Floats:
    """Two centroids in place of one, shape (2, n_features).

    They stand half a standard deviation to both sides, along the axis of largest spread.
    """
    spread = members.std(axis=0)
    step = np.where(np.arange(spread.size) == spread.argmax(), spread / 2, 0.0)
    return np.stack([centroid + step, centroid - step])


def resize(points: Floats, centroids: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Exactly `k` centroids where the points allow it.

    Too many: those that are cheapest to lose go, one at a time. Too few: more are seeded.
    """
    while len(centroids) > k:
        centroids = np.delete(centroids, cost_of_losing(points, centroids).argmin(), axis=0)
    return plus_plus(points, k, rng, centroids) if len(centroids) < k else centroids


def best_start(
    points: Floats, k: int, rng: np.random.Generator, *, restarts: int, iterations: int
) -> Floats:
    """The centroids of least inertia among several k-means++ starts and their Lloyd steps.

    They are tried on at most `STARTED_ON` of the points; the best goes on with all of them.
    """
    few = points
    if len(points) > STARTED_ON:
        few = points[rng.choice(len(points), STARTED_ON, replace=False)]
    tries = [lloyd(few, plus_plus(few, k, rng), iterations) for _ in range(restarts)]
    best = min(tries, key=lambda centroids: inertia(few, centroids))
    return best if few is points else lloyd(points, best, iterations)
