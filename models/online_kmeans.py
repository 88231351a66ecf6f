"""Shoal's own online k-means: follows event by event, converges on a sample."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from river import base

from models.assignment import nearest_centroid
from models.columns import Floats
from models.lloyd import MIN_GAIN, lloyd, plus_plus, split_merge

_STEPS_AFTER_A_MOVE = 5


class OnlineKMeans(base.Clusterer):
    """k-means that moves one centroid per vector and settles on a sample when it is given one.

    A vector moves the nearest centroid c by ``(x - c) · max(1 / n, step_floor)``, where n counts
    the vectors that the cluster was given. That is MacQueen's running mean, a decaying step for
    each cluster [1]_ [2]_; the floor keeps it from standing still, so that it follows drift with a
    memory of about ``1 / step_floor`` vectors a cluster.

    `seed_from` starts it by k-means++ on a sample. Without one, the first `warm_up` vectors are
    kept and become the sample; until then the first distinct ones stand in as centroids. `refine`
    takes Lloyd steps and split-merge moves over a sample, from where the centroids are.

    Coordinates that are missing or not finite are ignored: they neither count in a distance nor
    move a centroid.

    Parameters
    ----------
    n_clusters
        Number of clusters; fewer while fewer distinct vectors were seen.
    features
        Names of the coordinates, in order; others are ignored. When None, features become
        coordinates as they appear, at 0 in the centroids that did not know them, and a sample
        cannot be given: its columns would have no names.
    step_floor
        Smallest part of the way to a vector that a centroid is moved, 0 to 1.
    warm_up
        How many vectors are kept for the start, when `seed_from` is not called.
    seed
        Of the random draws of k-means++.
    move_gain
        By what part inertia has to fall for `refine` to keep a split-merge move; 1 for none.

    References
    ----------
    .. [1] MacQueen, J., 1967, "Some methods for classification and analysis of multivariate
       observations", Proc. 5th Berkeley Symposium, 1, 281-297.
    .. [2] Sculley, D., 2010, "Web-scale k-means clustering", WWW '10, 1177-1178, algorithm 1.

    Examples
    --------
    >>> model = OnlineKMeans(n_clusters=2, warm_up=4)
    >>> for value in (1.0, 1.2, 8.0, 8.2, 1.1):
    ...     model.learn_one({"orders": value})
    >>> sorted(model.centroids.ravel().round(2).tolist())
    [1.1, 8.1]
    >>> model.predict_one({"orders": 7.0}) == model.predict_one({"orders": 9.0})
    True
    """

    def __init__(
        self,
        n_clusters: int = 6,
        features: tuple[str, ...] | None = None,
        step_floor: float = 0.005,
        warm_up: int = 100,
        seed: int | None = 0,
        *,
        move_gain: float = MIN_GAIN,
    ) -> None:
        self.n_clusters = n_clusters
        self.features = features
        self.step_floor = step_floor
        self.warm_up = warm_up
        self.seed = seed
        self.move_gain = move_gain
        self._rng = np.random.default_rng(seed)
        self._kept: list[Floats] | None = []
        self._centroids = np.empty((0, len(features or ())))
        self._counts = np.empty(0)
        self._know(features or ())

    @property
    def centroids(self) -> Floats:
        """A copy of the centroids, shape (≤ n_clusters, n_features)."""
        return self._centroids.copy()

    def start(self, centroids: Floats, counts: Floats | None = None) -> None:
        """Go on from these centroids, shape (k, n_features).

        `counts`, shape (k,), is how many vectors stand behind each; by default as many as the
        step floor remembers.
        """
        known = np.full(len(centroids), 1.0 / max(self.step_floor, 1e-9))
        self._centroids = np.array(centroids, dtype=np.float64)
        self._counts = np.array(known if counts is None else counts, dtype=np.float64)
        self._kept = None

    def seed_from(self, points: Floats) -> None:
        """Start by k-means++ on a sample, shape (n, n_features)."""
        points = complete(points)
        centroids = lloyd(points, plus_plus(points, self.n_clusters, self._rng), 10)
        self.start(centroids, self._members(points, centroids))

    def refine(self, points: Floats, iterations: int = 20) -> None:
        """Settle on a sample, shape (n, n_features), from where the centroids are."""
        if not len(self._centroids):
            self.seed_from(points)
        points = complete(points)
        centroids = lloyd(points, self._centroids, iterations)
        if self.move_gain < 1:
            centroids = split_merge(points, centroids, _STEPS_AFTER_A_MOVE, self.move_gain)
            centroids = lloyd(points, centroids, iterations)
        self.start(centroids, self._members(points, centroids))

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Move the nearest centroid a step towards `x`."""
        vector = self._vector(x, learn=True)
        if self._kept is not None:
            self._keep(vector, self._kept)
            return
        centroids = self._centroids
        difference = vector - centroids
        squares = np.vecdot(difference, difference)
        nearest = squares.argmin()
        if not squares[nearest] < np.inf:
            difference[:, ~np.isfinite(vector)] = 0.0
            nearest = np.vecdot(difference, difference).argmin()
            if not difference.any():
                return
        self._counts[nearest] = count = self._counts[nearest] + 1.0
        centroids[nearest] += difference[nearest] * max(1.0 / count, self.step_floor)

    def follow(self, points: Floats) -> None:
        """Learn a mini-batch, shape (n, n_features), by the centroids that were there before it.

        One array operation a cluster, where `learn_one` takes six a vector. The steps of a cluster
        are those of `learn_one`, in the order of the points; only which centroid is nearest is
        found once [2]_.
        """
        if self._kept is not None or not np.isfinite(points).all():
            for x in named(points, self._names):
                self.learn_one(x)
            return
        nearest = nearest_centroid(points, self._centroids)
        for cluster in np.unique(nearest).tolist():
            members = points[nearest == cluster]
            counts = self._counts[cluster] + np.arange(1.0, len(members) + 1)
            steps = np.maximum(1.0 / counts, self.step_floor)
            # What is left of a step once all that come after it are taken.
            left = np.cumprod(np.append(1.0, 1.0 - steps[:0:-1]))[::-1]
            self._centroids[cluster] += (steps * left) @ (members - self._centroids[cluster])
            self._counts[cluster] = counts[-1]

    def predict_one(self, x: dict[Any, Any]) -> int:
        """Index of the nearest centroid; 0 when nothing was learned, or nothing of `x` is known."""
        if not len(self._centroids):
            return 0
        difference = self._vector(x, learn=False) - self._centroids
        difference[~np.isfinite(difference)] = 0.0
        return int(np.vecdot(difference, difference).argmin())

    def _vector(self, x: dict[Any, Any], *, learn: bool) -> Floats:
        """Coordinates of `x`, NaN where it has none."""
        try:
            if self.features or len(x) == len(self._names):
                return np.array(self._read(x), dtype=np.float64)
        except KeyError:
            pass
        if learn and not self.features and (new := [name for name in x if name not in self._index]):
            self._centroids = np.pad(self._centroids, ((0, 0), (0, len(new))))
            self._know((*self._names, *new))
        return np.array([x.get(name, np.nan) for name in self._names], dtype=np.float64)

    def _know(self, names: tuple[Any, ...]) -> None:
        self._names = names
        self._index = frozenset(names)
        # An itemgetter of one name gives no tuple; padded, it gives one of equal length.
        self._read: Any = itemgetter(*names) if len(names) > 1 else _Single(names)

    def _keep(self, vector: Floats, kept: list[Floats]) -> None:
        if not np.isfinite(vector).any():
            return
        kept.append(vector)
        is_enough = len(kept) >= self.warm_up
        if not is_enough and len(self._centroids) == self.n_clusters:
            return
        width = len(self._names)
        padded = [np.pad(v, (0, width - v.size), constant_values=np.nan) for v in kept]
        points = complete(np.array(padded))
        if is_enough:
            self.seed_from(points)
            return
        _, first = np.unique(points, axis=0, return_index=True)
        self._centroids = points[np.sort(first)[: self.n_clusters]]
        self._counts = np.ones(len(self._centroids))

    def _members(self, points: Floats, centroids: Floats) -> Floats:
        labels = nearest_centroid(points, centroids)
        return np.bincount(labels, minlength=len(centroids)).astype(np.float64)


class _Single:
    """Reads no name or one name, as a tuple, where `itemgetter` would not."""

    def __init__(self, names: tuple[Any, ...]) -> None:
        self.names = names

    def __call__(self, x: dict[Any, Any]) -> tuple[Any, ...]:
        return tuple(x[name] for name in self.names)


def named(points: Floats, names: Sequence[Any]) -> Iterator[dict[Any, float]]:
    """Rows of shape (n, n_features) as River takes them."""
    return (dict(zip(names, row, strict=True)) for row in points.tolist())


def complete(points: Floats) -> Floats:
    """Points with the mean of a coordinate in place of what is missing or not finite."""
    finite = np.isfinite(points)
    if finite.all():
        return points
    known = np.where(finite, points, 0.0)
    mean = known.sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    return np.where(finite, points, mean)
