"""River's own k-means and STREAMKMeans, repaired where version 0.26.1 cannot be relied on.

What is repaired: centres started from a Gaussian that the data never sees (dead centres, everybody
in one cluster), `predict_one` that adds features to the model, one NaN that poisons a centre for
good; and of STREAMKMeans, a chunk's centres started likewise and learned as if they were data,
`predict_one` that fails before the first chunk, vectors kept by reference. What stays is their
way of learning: `halflife` is a constant step, not a half-life.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np
from river import cluster

from models.columns import Floats
from models.lloyd import lloyd, plus_plus, revive
from models.online_kmeans import complete, named

_REPLAYED = 5_000
"""Most vectors that a refinement learns again: River takes about 20 µs for each."""


class RiverKMeans(cluster.KMeans):
    """River's incremental k-means, started from data.

    The first `n_clusters` distinct vectors become the centres, unless `seed_from` or `start` did
    before. Coordinates that are missing or not finite are ignored.

    Parameters
    ----------
    n_clusters
        Number of clusters; fewer while fewer distinct vectors were seen.
    features
        Names of the coordinates, in order; others are ignored. When None, all are taken, and
        a sample cannot be given: the columns would have no names.
    halflife
        Part of the way to a vector that a centre is moved, 0 to 1. River's 0.5 makes a centre the
        memory of its last two or three vectors; 0.02 remembers about fifty.
    seed
        Of k-means++ and of the order in which a sample is replayed.

    Examples
    --------
    >>> model = RiverKMeans(n_clusters=2)
    >>> for value in (1.0, 8.0, 1.2, 8.2):
    ...     model.learn_one({"orders": value})
    >>> model.predict_one({"orders": 7.0}), model.predict_one({"orders": float("nan")})
    (1, 0)
    """

    def __init__(
        self,
        n_clusters: int = 6,
        features: tuple[str, ...] | None = None,
        halflife: float = 0.02,
        seed: int | None = 0,
    ) -> None:
        super().__init__(n_clusters=n_clusters, halflife=halflife, seed=seed)
        self.features = features
        self.centers: dict[int, defaultdict[Any, float]] = {}
        self._draws = np.random.default_rng(seed)

    @property
    def centroids(self) -> Floats:
        """A copy of the centres, shape (≤ n_clusters, n_features)."""
        names = self.features or tuple(dict.fromkeys(n for c in self.centers.values() for n in c))
        rows = [[center.get(name, 0.0) for name in names] for center in self.centers.values()]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))

    def start(self, centroids: Floats) -> None:
        """Go on from these centroids, shape (k, n_features)."""
        rows = [dict(zip(self.features or (), row, strict=True)) for row in centroids.tolist()]
        self.centers = {i: defaultdict(float, row) for i, row in enumerate(rows)}

    def seed_from(self, points: Floats) -> None:
        """Start by k-means++ on a sample, shape (n, n_features)."""
        points = complete(points)
        self.start(lloyd(points, plus_plus(points, self.n_clusters, self._draws), 10))

    def refine(self, points: Floats, iterations: int = 1) -> None:
        """Learn a sample again, in `iterations` passes at most and random order.

        A sample of more than 5 000 vectors is learned in part. Centres without members then go to
        the points farthest from theirs.
        """
        points = complete(points)
        if not self.centers:
            self.seed_from(points)
        _replay(self, points, iterations, self._draws)
        self.start(revive(points, self.centroids))

    def follow(self, points: Floats) -> None:
        """Learn vectors one by one, shape (n, n_features)."""
        _learn(self, points)

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Move the nearest centre a step towards `x`."""
        x = finite(x, self.features)
        if not x:
            return
        if len(self.centers) < self.n_clusters:
            if x not in self.centers.values():
                self.centers[len(self.centers)] = defaultdict(float, x)
            return
        super().learn_predict_one(x)  # type: ignore[no-untyped-call]  # River has no types

    def learn_predict_one(self, x: dict[Any, Any]) -> int:
        """Learn `x` and return the index of the centre that was nearest before."""
        nearest = self.predict_one(x)
        self.learn_one(x)
        return nearest

    def predict_one(self, x: dict[Any, Any]) -> int:
        """Index of the nearest centre over the known coordinates of `x`; 0 when there is none."""
        x = finite(x, self.features)
        squares = [
            sum((value - center.get(name, 0.0)) ** 2 for name, value in x.items())
            for center in self.centers.values()
        ]
        return squares.index(min(squares)) if squares else 0


class RiverStreamKMeans(cluster.STREAMKMeans):
    """River's STREAMKMeans, built on the repaired k-means.

    Every full chunk is clustered by a k-means of its own, started by k-means++ on the chunk; the
    centres it found are what the lasting k-means learns.

    Parameters
    ----------
    n_clusters
        Number of clusters; fewer while fewer distinct vectors were seen.
    features
        Names of the coordinates, in order; others are ignored. When None, all are taken, and
        a sample cannot be given: the columns would have no names.
    chunk_size
        Vectors that are collected before the model learns of them; at least `n_clusters`.
    halflife
        Part of the way to a chunk's centre that a centre is moved, 0 to 1.
    seed
        Of k-means++ and of the order in which a sample is replayed.

    Examples
    --------
    >>> model = RiverStreamKMeans(n_clusters=2, chunk_size=4)
    >>> model.predict_one({"orders": 7.0})
    0
    >>> for value in (1.0, 8.0, 1.2, 8.2):
    ...     model.learn_one({"orders": value})
    >>> model.predict_one({"orders": 7.0}) == model.predict_one({"orders": 9.0})
    True
    """

    def __init__(
        self,
        n_clusters: int = 6,
        features: tuple[str, ...] | None = None,
        chunk_size: int = 60,
        halflife: float = 0.1,
        seed: int | None = 0,
    ) -> None:
        super().__init__(chunk_size, n_clusters, halflife=halflife, seed=seed)  # type: ignore[no-untyped-call]  # River's
        self.features = features
        self.halflife = halflife
        self.seed = seed
        self._lasting = RiverKMeans(n_clusters, features, halflife, seed)
        self._kmeans = self._lasting
        self.centers = self._lasting.centers
        self._draws = np.random.default_rng(seed)

    @property
    def centroids(self) -> Floats:
        """A copy of the centres, shape (≤ n_clusters, n_features)."""
        return self._lasting.centroids

    def start(self, centroids: Floats) -> None:
        """Go on from these centroids, shape (k, n_features); a chunk begun is dropped."""
        self._lasting.start(centroids)
        self.centers = self._lasting.centers
        self._temp_chunk = {}

    def seed_from(self, points: Floats) -> None:
        """Start by k-means++ on a sample, shape (n, n_features)."""
        self._lasting.seed_from(points)
        self.start(self.centroids)

    def refine(self, points: Floats, iterations: int = 1) -> None:
        """Learn a sample again, as chunks in random order; see `RiverKMeans.refine`."""
        points = complete(points)
        if not self.centers:
            self.seed_from(points)
        _replay(self, points, iterations, self._draws)
        self.start(revive(points, self.centroids))

    def follow(self, points: Floats) -> None:
        """Learn vectors one by one, shape (n, n_features)."""
        _learn(self, points)

    def learn_one(self, x: dict[Any, Any], w: None = None) -> None:  # noqa: ARG002 - River's
        """Collect `x`; when the chunk is full, learn the chunk's centres."""
        x = finite(x, self.features)
        if not x:
            return
        self.time_stamp += 1
        self._temp_chunk[len(self._temp_chunk)] = x
        if len(self._temp_chunk) < max(self.chunk_size, self.n_clusters):
            return
        names = self.features or tuple(
            dict.fromkeys(n for c in self._temp_chunk.values() for n in c)
        )
        chunk = np.array([[c.get(n, np.nan) for n in names] for c in self._temp_chunk.values()])
        of_chunk = RiverKMeans(self.n_clusters, names, self.halflife, self.seed)
        of_chunk.seed_from(chunk)
        for vector in self._temp_chunk.values():
            of_chunk.learn_one(vector)
        for center in of_chunk.centers.values():
            self._lasting.learn_one(dict(center))
        self.centers = self._lasting.centers
        self._temp_chunk = {}

    def predict_one(self, x: dict[Any, Any], w: None = None) -> int:  # noqa: ARG002 - River's
        """Index of the nearest centre over the known coordinates of `x`; 0 when there is none."""
        return self._lasting.predict_one(x)


def finite(x: dict[Any, Any], features: tuple[str, ...] | None = None) -> dict[Any, float]:
    """The coordinates of `x` that count: of these features where given, and finite."""
    names = features or x
    return {name: float(x[name]) for name in names if name in x and math.isfinite(x[name])}


def _replay(
    model: RiverKMeans | RiverStreamKMeans,
    points: Floats,
    iterations: int,
    draws: np.random.Generator,
) -> None:
    passes = max(1, min(iterations, _REPLAYED // max(len(points), 1)))
    for _ in range(passes):
        _learn(model, points[draws.permutation(len(points))[:_REPLAYED]])


def _learn(model: RiverKMeans | RiverStreamKMeans, points: Floats) -> None:
    for x in named(points, model.features or ()):
        model.learn_one(x)
