"""The clustering algorithms that a segmentation can name, behind one small contract."""

from typing import Any, Literal, Protocol, cast, get_args

from models.columns import Floats
from models.errors import ShoalError
from models.lloyd import MIN_GAIN
from models.online_kmeans import OnlineKMeans
from models.river_kmeans import RiverKMeans, RiverStreamKMeans

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "CentroidClusterer",
    "OnlineKMeans",
    "RiverKMeans",
    "RiverStreamKMeans",
    "UnknownAlgorithmError",
    "make_clusterer",
]

Algorithm = Literal["online_kmeans", "river_kmeans", "river_streamkmeans"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


class CentroidClusterer(Protocol):
    """What the trainer needs of a River clusterer: it learns as vectors come and has centroids.

    `predict_one` gives the row of the nearest centroid, Euclidean, the first of equals, so that
    the centroids alone are the model that workers need.
    """

    @property
    def centroids(self) -> Floats:
        """A copy of the centroids, shape (k, n_features), in the order of the feature names."""

    def learn_one(self, x: dict[str, float]) -> None:
        """Follow one vector."""

    def follow(self, points: Floats) -> None:
        """Follow a mini-batch of vectors, shape (n, n_features), in their order."""

    def predict_one(self, x: dict[str, float]) -> int:
        """Row of the nearest centroid."""

    def start(self, centroids: Floats) -> None:
        """Go on from these centroids, shape (k, n_features)."""

    def seed_from(self, points: Floats) -> None:
        """Start anew from a sample, shape (n, n_features)."""

    def refine(self, points: Floats, iterations: int) -> None:
        """Settle on a sample, shape (n, n_features), from where the centroids are."""


class UnknownAlgorithmError(ShoalError):
    """A configuration names an algorithm that does not exist."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"unknown algorithm {algorithm!r}: choose one of {', '.join(ALGORITHMS)}")
        self.algorithm = algorithm


def make_clusterer(
    algorithm: str,
    k: int,
    seed: int,
    feature_names: tuple[str, ...],
    *,
    move_gain: float = MIN_GAIN,
) -> CentroidClusterer:
    """A clusterer that has learned nothing yet; `move_gain` is of `OnlineKMeans` alone.

    Raises
    ------
    UnknownAlgorithmError
        When `algorithm` is none of `ALGORITHMS`.
    """
    made: Any
    match algorithm:
        case "online_kmeans":
            made = OnlineKMeans(k, feature_names, seed=seed, move_gain=move_gain)
        case "river_kmeans":
            made = RiverKMeans(k, feature_names, seed=seed)
        case "river_streamkmeans":
            made = RiverStreamKMeans(k, feature_names, seed=seed)
        case _:
            raise UnknownAlgorithmError(algorithm)
    return cast("CentroidClusterer", made)
