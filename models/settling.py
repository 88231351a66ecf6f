"""Where the clusters of a new model are: carried over, held, challenged."""

from dataclasses import dataclass

import numpy as np

from models.clusterers import CentroidClusterer, make_clusterer
from models.columns import Floats
from models.granularity import choose
from models.lineage import Granularity
from models.lloyd import best_start, inertia, lloyd, nearest, resize, split_merge
from models.training import TrainingConfig

_STEPS_AFTER_A_MOVE = 5
_ALL = 1.0
_NEAR = 2
"""So many segments more, or fewer, are looked at each time: to look at all takes a second."""
_DRAWS = 3
_REDRAWN = 24.0
"""How much more another sample changes inertia than k means of n points would by themselves.

With the means, the borders between clusters move: measured 3 to 11 where clusters overlap, and 20
where two optima are nearly alike.
"""
_MOST_NOISE = 0.05


@dataclass(frozen=True, slots=True)
class Settled:
    """The clusters of a new model: `clusterer` has them, and goes on learning from there.

    `held` tells that they are those of the model before, exactly.
    """

    clusterer: CentroidClusterer
    centroids: Floats
    granularity: Granularity | None
    held: bool


class Settler:
    """Finds the clusters of a sample, and remembers what did better than those in force."""

    def __init__(self, config: TrainingConfig, feature_names: tuple[str, ...]) -> None:
        self.config = config
        self.feature_names = feature_names
        self._lead = 0.0
        self._wishes: list[int] = []

    @property
    def is_challenged(self) -> bool:
        """Whether other clusters, or another number of them, did better last time."""
        return self._lead > 0 or bool(self._wishes)

    def forget(self) -> None:
        """Begin to compare anew."""
        self._lead, self._wishes = 0.0, []

    def settle(
        self,
        points: Floats,
        carried: Floats,
        held: Floats | None,
        rng: np.random.Generator,
        *,
        redrawn: float = 0.0,
    ) -> Settled:
        """The clusters of a sample.

        Parameters
        ----------
        points
            The sample, shape (n, n_features), in scaled space.
        carried
            Where the clusters of the model before are now, shape (k, n_features); none at first.
        held
            The centroids of the model before, when they are in the same scaled space.
        redrawn
            Part of the sample, 0 to 1, that the model before has not learned from.
        """
        config = self.config
        k, granularity = self._how_many(points, len(carried), rng)
        # A mean of m points is off by a variance of 1 / m of theirs: k of them by k / n of inertia.
        noise = min(k / len(points) * (1 + _REDRAWN * redrawn), _MOST_NOISE)
        clusterer = make_clusterer(
            config.algorithm,
            k,
            int(rng.integers(2**31)),
            self.feature_names,
            move_gain=_ALL if len(carried) else config.challenger_gain,
        )
        if held is not None and self._wishes and _are_all_used(points, held):
            # Too few clusters for what there is would only shift from one group to another.
            clusterer.start(held)
            return Settled(clusterer, held, granularity, held=True)
        clusterer.start(self._start(points, carried, k, noise, rng))
        if k > 1:
            clusterer.refine(points, config.iterations)
        centroids = clusterer.centroids
        members = np.bincount(nearest(points, centroids), minlength=len(centroids))
        if not members.all():
            centroids = centroids[members > 0]
            clusterer.start(centroids)
        if held is not None and self._may_stay(points, held, centroids, noise):
            clusterer.start(held)
            return Settled(clusterer, held, granularity, held=True)
        return Settled(clusterer, centroids, granularity, held=False)

    def _start(
        self, points: Floats, carried: Floats, k: int, noise: float, rng: np.random.Generator
    ) -> Floats:
        config = self.config
        if not len(carried):
            self.forget()
            return best_start(
                points, k, rng, restarts=config.restarts, iterations=config.iterations
            )
        start = lloyd(points, resize(points, carried, k, rng), config.iterations)
        return start if self._wishes else self._challenge(points, start, rng, noise)

    def _how_many(
        self, points: Floats, today: int, rng: np.random.Generator
    ) -> tuple[int, Granularity | None]:
        """How many clusters there shall be, `today` before, and why."""
        config = self.config
        if config.k != "auto":
            return config.k, None
        found = self._choose(points, today, rng)
        if found.k == today or not today:
            self._wishes = []
            return found.k, found
        # More, then fewer, is no lasting gain.
        self._wishes = [k for k in self._wishes if (k > today) == (found.k > today)] + [found.k]
        if len(self._wishes) >= config.challenger_patience:
            self._wishes = []
            return found.k, found
        count, patience = len(self._wishes), config.challenger_patience
        reason = f"{today} stay until others do better {patience} times running, now {count}: "
        return today, Granularity(today, found.scores, reason + found.reason)

    def _choose(self, points: Floats, today: int, rng: np.random.Generator) -> Granularity:
        """Numbers near today's are looked at; all, when the first or last of them is best.

        Nothing can last yet when there are none: the first is the middle one of several draws.
        """
        fewest, most = self.config.k_min, self.config.k_max
        if not today:
            draws = [choose(points, k_min=fewest, k_max=most, rng=rng) for _ in range(_DRAWS)]
            return sorted(draws, key=lambda found: found.k)[_DRAWS // 2]
        least, last = max(fewest, today - _NEAR), min(most, today + _NEAR)
        if least < last:
            found = choose(points, k_min=least, k_max=last, rng=rng, current=today)
            if least < found.k < last or (least, last) == (fewest, most):
                return found
        return choose(points, k_min=fewest, k_max=most, rng=rng, current=today)

    def _challenge(
        self, points: Floats, start: Floats, rng: np.random.Generator, noise: float
    ) -> Floats:
        """These clusters, or better ones when those have been better for long enough."""
        config = self.config
        rivals = [
            split_merge(points, start, _STEPS_AFTER_A_MOVE, config.challenger_gain),
            best_start(
                points,
                len(start),
                rng,
                restarts=config.challenger_restarts,
                iterations=config.iterations,
            ),
        ]
        reached = [inertia(points, rival) for rival in rivals]
        stands = inertia(points, start)
        gain = 1 - min(reached) / stands - noise if stands > 0 else 0.0
        self._lead = self._lead + gain if gain >= config.challenger_gain else 0.0
        if self._lead < config.challenger_gain * config.challenger_patience:
            return start
        self._lead = 0.0
        return lloyd(points, rivals[int(np.argmin(reached))], config.iterations)

    def _may_stay(self, points: Floats, held: Floats, settled: Floats, noise: float) -> bool:
        """Whether the centroids before do about as well as those that settled anew."""
        if len(held) != len(settled) or not _are_all_used(points, held):
            return False
        allowed = 1 + self.config.stillness + noise
        return inertia(points, held) <= inertia(points, settled) * allowed


def _are_all_used(points: Floats, centroids: Floats) -> bool:
    """Whether each centroid is the nearest of some point."""
    return len(np.unique(nearest(points, centroids))) == len(centroids)
