"""k-means over a sample at rest: the start, the steps and the moves between them."""

import numpy as np

from models.assignment import distances_to, nearest_centroid
from models.columns import Floats, Ints

MIN_GAIN = 0.01
"""A move between clusters is kept when inertia falls by this part or more."""
_SETTLED = 1e-9


def inertia(points: Floats, centroids: Floats) -> float:
    """Sum of squared distances to the nearest centroid."""
    return float(np.square(distances_to(points, centroids).min(axis=1)).sum())


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
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=c, minlength=k) for c in points.T], axis=1)
    return sums / np.maximum(counts, 1)[:, np.newaxis], counts


def lloyd(points: Floats, centroids: Floats, iterations: int) -> Floats:
    """Centroids after at most `iterations` warm-started steps (Lloyd, 1957, published 1982).

    A centroid without members goes to the point farthest from its own.
    """
    for _ in range(iterations):
        moved = _step(points, centroids)
        settled = np.abs(moved - centroids).max(initial=0.0) < _SETTLED
        centroids = moved
        if settled:
            break
    return centroids


def _step(points: Floats, centroids: Floats) -> Floats:
    distances = distances_to(points, centroids)
    moved, counts = means(points, distances.argmin(axis=1), len(centroids))
    farthest = np.argsort(distances.min(axis=1), kind="stable")[::-1]
    for dead, point in zip(np.flatnonzero(counts == 0), farthest, strict=False):
        moved[dead] = points[point] if distances[point].min() > 0 else centroids[dead]
    return moved


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
    squares = np.square(np.partition(distances_to(points, centroids), 1, axis=1)[:, :2])
    labels = nearest_centroid(points, centroids)
    losses = np.bincount(labels, weights=squares[:, 1] - squares[:, 0], minlength=len(centroids))
    return losses.astype(np.float64)


def split_merge(points: Floats, centroids: Floats, iterations: int) -> Floats:
    """Centroids after the moves that Lloyd's steps cannot make.

    The centroid that is cheapest to lose goes into the cluster with the largest inertia, beside
    its centroid; after a few steps the move is kept when inertia fell by `MIN_GAIN`. Goes on
    until a move is refused.
    """
    k = len(centroids)
    if k < 2:  # noqa: PLR2004 - a lone centroid has nowhere to go
        return centroids
    best = inertia(points, centroids)
    for _ in range(k):
        distances = distances_to(points, centroids)
        labels = distances.argmin(axis=1)
        within = np.bincount(labels, weights=np.square(distances.min(axis=1)), minlength=k)
        worst = int(within.argmax())
        losses = cost_of_losing(points, centroids)
        losses[worst] = np.inf
        members = points[labels == worst]
        # Half a standard deviation to both sides, along the axis of largest spread.
        spread = members.std(axis=0)
        step = np.where(np.arange(spread.size) == spread.argmax(), spread / 2, 0.0)
        tried = centroids.copy()
        tried[int(losses.argmin())] = centroids[worst] + step
        tried[worst] = centroids[worst] - step
        tried = lloyd(points, tried, iterations)
        reached = inertia(points, tried)
        if reached > best * (1 - MIN_GAIN) or best == 0:
            break
        centroids, best = tried, reached
    return centroids


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
    """The centroids of least inertia among several k-means++ starts and their Lloyd steps."""
    tries = [lloyd(points, plus_plus(points, k, rng), iterations) for _ in range(restarts)]
    return min(tries, key=lambda centroids: inertia(points, centroids))
