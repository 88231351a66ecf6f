"""Who else clusters a stream: every River clusterer of points, Spark's rule, scikit-learn's.

All are shown the same vectors in the same order, scaled for them, one batch after the other. Each
gets parameters that suit such vectors, where its own would not: a step of 2 % in place of River's
50 %, radii from the first vectors, a memory of about as many vectors as there are customers.

River has two more. ODAC groups features by how they correlate, and TextClust texts by their words:
neither groups points.
"""

from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from river import cluster
from sklearn.cluster import MiniBatchKMeans

from models.assignment import nearest_centroid
from models.columns import Floats
from models.lloyd import lloyd, means, plus_plus
from models.river_kmeans import RiverKMeans, RiverStreamKMeans

STEP = 0.02
MEMORY = 2_500
HALF_LIFE_BATCHES = 10
# Narrower, those who go by density find fifty clusters and come out worse.
WIDE = 1.7
_DYING = 1e-8
_SPLIT = 1e-14


class Contender(Protocol):
    """Learns batches of points, shape (n, n_features), and has centres."""

    def learn(self, points: Floats) -> None:
        """Take in one batch, in order."""

    def centres(self) -> Floats:
        """Where its clusters are now, shape (k, n_features); k is its own affair."""


class OneByOne:
    """A River clusterer, shown one vector at a time."""

    # River has no type of what has `centers`.
    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        self._model = model
        self._names = names

    def learn(self, points: Floats) -> None:
        """See `Contender.learn`."""
        for point in points.tolist():
            self._model.learn_one(dict(zip(self._names, point, strict=True)))

    def centres(self) -> Floats:
        """See `Contender.centres`."""
        # DBSTREAM and DenStream group their micro-clusters only when asked, and DenStream's
        # micro-clusters are not what they were afterwards (River 0.26.1): a copy is asked.
        model = deepcopy(self._model)
        model.predict_one(dict.fromkeys(self._names, 0.0))
        rows = [[centre[name] for name in self._names] for centre in model.centers.values()]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self._names))


class SparkRule:
    """Spark's StreamingKMeans: means that forget, by batches, with a half-life of ten.

    Of each batch, ``c' = (c n a + x m) / (n a + m)`` and ``n' = n a + m``, where x is the mean of
    the m points nearest to c, and a the decay of a batch. When a cluster weighs less than 1e-8 of
    the heaviest, both go on from the heaviest's place, a hair apart.

    Apache Spark, MLlib guide, "Streaming k-means"; `StreamingKMeansModel.update`. It starts from
    k-means++ on the first batch here; Spark's own start is random.
    """

    def __init__(self, k: int, seed: int) -> None:
        self._k = k
        self._random = np.random.default_rng(seed)
        self._centres = np.empty((0, 0))
        self._weights = np.empty(0)

    def learn(self, points: Floats) -> None:
        """See `Contender.learn`."""
        if not self._centres.size:
            self._centres = lloyd(points, plus_plus(points, self._k, self._random), 10)
            self._weights = np.zeros(len(self._centres))
        labels = nearest_centroid(points, self._centres)
        found, counts = means(points, labels, len(self._centres))
        kept = self._weights * 0.5 ** (1 / HALF_LIFE_BATCHES)
        self._weights = kept + counts
        share = np.where(self._weights > 0, counts / np.maximum(self._weights, 1e-300), 0.0)
        self._centres += share[:, np.newaxis] * (found - self._centres)
        dying, heaviest = int(self._weights.argmin()), int(self._weights.argmax())
        if self._weights[dying] < _DYING * self._weights[heaviest]:
            self._weights[[dying, heaviest]] = self._weights[[dying, heaviest]].mean()
            apart = _SPLIT * np.maximum(np.abs(self._centres[heaviest]), 1.0)
            self._centres[dying] = self._centres[heaviest] - apart
            self._centres[heaviest] += apart

    def centres(self) -> Floats:
        """See `Contender.centres`."""
        return self._centres.copy()


class PartialFit:
    """scikit-learn's MiniBatchKMeans, batch by batch."""

    def __init__(self, k: int, seed: int) -> None:
        self._model = MiniBatchKMeans(k, random_state=seed)

    def learn(self, points: Floats) -> None:
        """See `Contender.learn`."""
        self._model.partial_fit(points)

    def centres(self) -> Floats:
        """See `Contender.centres`."""
        found: Floats = self._model.cluster_centers_
        return found.copy()


def contenders(k: int, width: int, radius: float, seed: int) -> dict[str, Contender]:
    """All of them, by name.

    Parameters
    ----------
    k, width
        Clusters, for those that are told how many; features of a vector.
    radius
        How far a vector lies from the centre of its cluster, for those that go by density.
    """
    names = tuple(f"x{at}" for at in range(width))
    rivers: dict[str, Any] = {
        "KMeans": cluster.KMeans(k, halflife=STEP, seed=seed),
        "STREAMKMeans": cluster.STREAMKMeans(60, k, halflife=0.1, seed=seed),  # type: ignore[no-untyped-call]  # River's
        # River (0.26.1) takes a micro-cluster's radius for one coordinate, the paper's is for all.
        "CluStream": cluster.CluStream(
            n_macro_clusters=k,
            micro_cluster_r_factor=2 * width**0.5,
            time_window=MEMORY,
            time_gap=MEMORY,
            halflife=0.4,
            seed=seed,
        ),
        "DBSTREAM": cluster.DBSTREAM(
            clustering_threshold=WIDE * radius, fading_factor=1 / MEMORY, cleanup_interval=MEMORY
        ),
        "DenStream": cluster.DenStream(
            decaying_factor=100 / MEMORY, beta=0.5, mu=4, epsilon=WIDE * radius, stream_speed=100
        ),
        "KMeans, repaired": RiverKMeans(k, names, STEP, seed),
        "STREAMKMeans, repaired": RiverStreamKMeans(k, names, seed=seed),
    }
    others: dict[str, Contender] = {
        "Spark's StreamingKMeans": SparkRule(k, seed),
        "scikit-learn's partial_fit": PartialFit(k, seed),
    }
    return {name: OneByOne(model, names) for name, model in rivers.items()} | others
