"""How a segmentation is learned: what the trainer is told. Light, since workers read it too."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a segmentation is learned.

    `min_customers` is what the first model waits for. The sample is halved when it exceeds
    `sample_target`. A new model is due when `min_new_share` of the sample was updated, or
    `refresh_days` of event time have passed, since the last. A fresh start replaces the carried
    clusters when its inertia is lower by more than `challenger_gain` in `challenger_patience`
    publications running. `keep_overlap` is the Jaccard index from which a segment is the same.
    """

    segmentation: str = "default"
    algorithm: str = "online_kmeans"
    k: int = 6
    margin: float = 0.1
    min_customers: int = 200
    sample_target: int = 20_000
    min_new_share: float = 0.1
    refresh_days: float = 1.0
    restarts: int = 8
    iterations: int = 30
    challenger_restarts: int = 3
    challenger_gain: float = 0.02
    challenger_patience: int = 3
    keep_overlap: float = 1 / 3
