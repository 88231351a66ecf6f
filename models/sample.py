"""What one publication learns from: the sample's customers at one moment."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.columns import Floats, Hashes, Ints, Rows
from models.identifiers import CustomerId
from models.population import Population
from models.portraits import Crowd
from models.scaling import Scaler
from models.segmentation import Segmentation

_LONG = 10
"""Models after which a customer counts no more than before."""


class Regulars:
    """In how many models, one after the other, each customer of the last sample took part."""

    def __init__(self) -> None:
        self._hashes: Hashes = np.empty(0, dtype=np.uint64)
        self._models: Ints = np.empty(0, dtype=np.int64)

    def models(self, hashes: Hashes) -> Ints:
        """0 to 10 for each of these customers, shape (n,)."""
        if not len(self._hashes):
            return np.zeros(len(hashes), dtype=np.int64)
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[at] == hashes, self._models[at], 0)

    def take_part(self, hashes: Hashes) -> None:
        """These customers, in ascending order, are the sample of the next model."""
        self._models = np.minimum(self.models(hashes) + 1, _LONG)
        self._hashes = hashes


@dataclass(frozen=True, slots=True)
class Sample:
    """The customers of a sample, in the order of their hashes; arrays of n rows.

    `everything` has the vectors of the whole schema, `vectors` those of the segmentation, both of
    shape (n, n_features); `points` are the latter in scaled space.
    """

    segmentation: Segmentation
    customers: tuple[CustomerId, ...]
    hashes: Hashes
    rows: Rows
    everything: Floats
    vectors: Floats
    scaler: Scaler
    points: Floats

    @classmethod
    def take(
        cls,
        population: Population,
        segmentation: Segmentation,
        now_ms: int,
        *,
        scaler: Scaler | None,
        slack: float,
    ) -> Self:
        """The whole population at `now_ms`.

        It is scaled by `scaler` while no mean or deviation is off by `slack` of a deviation, and
        two standard errors: the fewer there are, the more they are off by chance.
        """
        rows = population.ordered()
        everything = segmentation.schema.vectors(rows, now_ms)
        vectors, features = segmentation.of(everything), segmentation.features
        tolerance = slack + 2 / np.sqrt(len(rows))
        if scaler is None or not scaler.suits(features, vectors, tolerance):
            scaler = Scaler.fit(features, vectors)
        return cls(
            segmentation,
            population.ordered_customers(),
            population.ordered_hashes(),
            rows,
            everything,
            vectors,
            scaler,
            scaler.transform(vectors),
        )

    @property
    def crowd(self) -> Crowd:
        """The same for those who describe segments."""
        return Crowd(self.customers, self.segmentation.schema.features, self.everything)
