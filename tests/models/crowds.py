"""Customers whose true groups are known: overlapping personas, with features that tell nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.columns import Floats, Ints, Rows
from models.features import Feature, Kind, Selector
from models.identifiers import CustomerId
from models.profiles import DAY_MS, ProfileSchema
from models.segmentation import Segmentation

NOW_MS = 1_500_000_000_000
TOLD = 6
"""Features that tell personas apart; of the others two are normal and two have heavy tails."""
NOISE = 4
SCHEMA = ProfileSchema(
    tuple(
        Feature(
            f"f{i}",
            Kind.COUNT,
            Selector((f"event_{i}",)),
            scale="log" if i >= TOLD + NOISE // 2 else "linear",
        )
        for i in range(TOLD + NOISE)
    )
)
SEGMENTATION = Segmentation("default", SCHEMA, SCHEMA.features)


@dataclass(frozen=True)
class Crowd:
    """Personas: `means`, shape (n_personas, TOLD), in deviations of a persona, and their shares."""

    means: Floats
    shares: Floats

    @classmethod
    def of(cls, personas: int, *, apart: float = 4.0, seed: int = 0) -> "Crowd":
        """Personas whose means are at least `apart` from each other; the smallest has 5 %."""
        draws = np.random.default_rng([seed, personas])
        means = np.empty((0, TOLD))
        while len(means) < personas:
            mean = draws.normal(0, 2.2, TOLD)
            if (np.linalg.norm(means - mean, axis=1) >= apart).all():
                means = np.vstack([means, mean])
        weights = draws.uniform(1, 4, personas)
        return cls(means, 0.05 + (1 - 0.05 * personas) * weights / weights.sum())

    def vectors(self, truth: Ints, seed: int) -> Floats:
        """A customer of each of these personas, shape (n_customers, n_features)."""
        draws = np.random.default_rng(seed)
        n = len(truth)
        told = self.means[truth] + draws.normal(size=(n, TOLD))
        return np.hstack(
            [told, draws.normal(size=(n, NOISE // 2)), draws.lognormal(1, 1, (n, NOISE // 2))]
        )

    def draw(self, n: int, seed: int = 0) -> tuple[Ints, Floats]:
        """The personas of `n` customers, and the customers' vectors."""
        truth = np.random.default_rng([seed, 1]).choice(len(self.means), n, p=self.shares)
        return truth, self.vectors(truth, seed)

    def without(self, persona: int) -> "Crowd":
        """The same with nobody in a persona."""
        shares = np.where(np.arange(len(self.shares)) == persona, 0.0, self.shares)
        return replace(self, shares=shares / shares.sum())


def profiles(vectors: Floats, now_ms: int = NOW_MS) -> Rows:
    """Profiles of customers who have these vectors, last seen an hour before."""
    rows = SCHEMA.empty(len(vectors))
    rows["first_ms"], rows["last_ms"] = now_ms - 90 * DAY_MS, now_ms - DAY_MS // 24
    rows["sums"] = vectors
    return rows


def customers(numbers: Sequence[int] | range) -> list[CustomerId]:
    return [CustomerId(f"c{number}") for number in numbers]
