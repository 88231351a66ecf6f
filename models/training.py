"""How a segmentation is learned: what the trainer is told. Light, since workers read it too."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a segmentation is learned.

    The first model waits for `min_customers`; the sample is halved when it exceeds
    `sample_target`, and a customer without an event for `expire_after_ms` leaves it.

    The next model is due when `min_new_share` of the sample came or left, when the sample grew by
    `growth`, when customers have drifted, or when `refresh_days` of event time have passed. While
    something else does better, it is looked at again after `min_new_share / 2` in updates.

    `k` is how many segments there are, or "auto" for as many as there seem to be between `k_min`
    and `k_max`.

    Centroids stay exactly where they are while settling anew on the sample would lower inertia
    by `stillness` or less, and the scaler while no column's mean or deviation is off by `slack`.
    Other clusters take over when inertia is lower by `challenger_gain` or more, and the gains of
    successive publications add up to `challenger_patience` times that; another number of
    segments when it was chosen in `challenger_patience` publications running. What drawing the
    sample again would change is allowed on top. `keep_overlap` is the Jaccard index from which a
    segment is the same.
    """

    segmentation: str = "default"
    algorithm: str = "online_kmeans"
    k: int | Literal["auto"] = 6
    k_min: int = 3
    k_max: int = 12
    margin: float = 0.1
    min_customers: int = 200
    sample_target: int = 20_000
    expire_after_ms: int = 730 * 86_400_000
    min_new_share: float = 0.1
    growth: float = 0.5
    refresh_days: float = 1.0
    restarts: int = 8
    iterations: int = 100
    stillness: float = 0.005
    slack: float = 0.1
    challenger_restarts: int = 3
    challenger_gain: float = 0.01
    challenger_patience: int = 3
    keep_overlap: float = 1 / 3
