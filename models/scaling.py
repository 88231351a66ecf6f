"""From feature units to the space that clusters live in, and back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any, Self

import numpy as np

from models.columns import Bools, Floats
from models.features import Feature

LOW_QUANTILE, HIGH_QUANTILE = 0.01, 0.99
WIDEST = 6.0
"""Most deviations, before the weight, from the smallest to the largest value of a feature.

Without it a feature that one customer in a thousand has would weigh as much, over all customers,
as any other, and its few customers would be worth a cluster.
"""
# Beyond this a square, summed over a sample, would overflow.
_LARGEST = 1e150


@dataclass(frozen=True, slots=True)
class Column:
    """How one feature is scaled; `low`, `high`, `centre` and `divisor` are after the log."""

    name: str
    log: bool
    low: float
    high: float
    centre: float
    divisor: float
    weight: float

    def __post_init__(self) -> None:
        numbers = (self.low, self.high, self.centre, self.divisor, self.weight)
        if not np.isfinite(numbers).all() or self.divisor <= 0 or not self.low <= self.high:
            raise ValueError(f"column {self.name!r} cannot scale: {self}")


@dataclass(frozen=True, slots=True)
class Scaler:
    """Log, winsorise, centre, divide by the standard deviation, weigh: one column a feature.

    The log is `sign(x) · log(1 + |x|)`, so that a customer with more refunds than orders has a
    place too. A feature that is constant in the sample contributes 0 for everybody, and one that
    few customers have less than others: its values span six deviations at most. Values that
    are not finite count as the column's centre. Features of one group have one divisor, the root
    of their summed variances, so that a category counts as much as a number does, however many
    values it has. A weight `w` on all of them then makes two customers of different categories
    `2 w² / (1 - Σ p²)` apart, squared: `w²` is the gamma of k-prototypes (Huang, 1998); an unknown
    value weighs nothing, as in the coefficient of Gower (1971).

    >>> scaler = Scaler((Column("orders", True, 0.0, 3.0, 1.0, 0.5, 2.0),))
    >>> scaler.transform(np.expm1([[2.0], [9.0], [np.nan]])).ravel().tolist()
    [4.0, 8.0, 0.0]
    """

    columns: tuple[Column, ...]
    _log: Bools = field(init=False, repr=False, compare=False)
    _low: Floats = field(init=False, repr=False, compare=False)
    _high: Floats = field(init=False, repr=False, compare=False)
    _centre: Floats = field(init=False, repr=False, compare=False)
    _factor: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = self.columns
        arrays = {
            "_log": np.array([c.log for c in columns], dtype=np.bool_),
            "_low": np.array([c.low for c in columns], dtype=np.float64),
            "_high": np.array([c.high for c in columns], dtype=np.float64),
            "_centre": np.array([c.centre for c in columns], dtype=np.float64),
            "_factor": np.array([c.weight / c.divisor for c in columns], dtype=np.float64),
        }
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the order of the coordinates."""
        return tuple(column.name for column in self.columns)

    @property
    def spread(self) -> float:
        """About the root of the mean squared distance between a customer and the centre."""
        return sqrt(sum(column.weight**2 for column in self.columns))

    @classmethod
    def fit(cls, features: Sequence[Feature], vectors: Floats) -> Self:
        """Scaler of a sample.

        Parameters
        ----------
        vectors
            Shape (n, n_features), in feature units. Values that are not finite are left out.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(features):  # noqa: PLR2004 - rows, columns
            raise ValueError(f"vectors have shape {vectors.shape}, features are {len(features)}")
        return cls(_fit(features, vectors, [None] * len(features)))

    def measures(self, features: Sequence[Feature]) -> bool:
        """Whether these are its features, by name, scale and weight."""
        mine = [(column.name, column.log, column.weight) for column in self.columns]
        return mine == [(f.name, f.scale == "log", f.weight) for f in features]

    def suits(self, features: Sequence[Feature], vectors: Floats, tolerance: float) -> bool:
        """Whether a sample would be scaled about as the one that it was fitted to.

        Between its own limits each column's mean may have moved by `tolerance` divisors, and the
        divisor have changed by that part. Limits drawn anew would jump where few customers have a
        feature. What was constant has to be constant.
        """
        if not self.measures(features):
            return False
        limits = [(c.low, c.high) if c.low < c.high else None for c in self.columns]
        return all(
            (old.low < old.high) == (new.low < new.high)
            and (
                old.low == old.high
                or (
                    abs(new.centre - old.centre) <= tolerance * old.divisor
                    and abs(new.divisor - old.divisor) <= tolerance * old.divisor
                )
            )
            for old, new in zip(self.columns, _fit(features, vectors, limits), strict=True)
        )

    def transform(self, vectors: Floats) -> Floats:
        """Points in scaled space, shape (n, n_features), of vectors in feature units."""
        finite = np.isfinite(vectors)
        points = _curve(vectors, self._log)
        np.maximum(points, self._low, out=points)
        np.minimum(points, self._high, out=points)
        points -= self._centre
        points *= self._factor
        if not finite.all():
            points[~finite] = 0.0
        return points

    def inverse(self, points: Floats) -> Floats:
        """Vectors in feature units, shape (n, n_features); a weight of 0 gives the centre."""
        used = self._factor != 0
        values = self._centre + np.where(used, points / np.where(used, self._factor, 1.0), 0.0)
        curved = np.where(self._log, values, 0.0)
        return np.where(self._log, np.copysign(np.expm1(np.abs(curved)), curved), values)

    def to_dict(self) -> list[dict[str, Any]]:
        """JSON-able form; floats survive JSON exactly."""
        names = ("name", "log", "low", "high", "centre", "divisor", "weight")
        return [{name: getattr(column, name) for name in names} for column in self.columns]

    @classmethod
    def from_dict(cls, columns: Sequence[Mapping[str, Any]]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError when it did not."""
        return cls(
            tuple(
                Column(
                    name=str(column["name"]),
                    log=bool(column["log"]),
                    low=float(column["low"]),
                    high=float(column["high"]),
                    centre=float(column["centre"]),
                    divisor=float(column["divisor"]),
                    weight=float(column["weight"]),
                )
                for column in columns
            )
        )


def _curve(vectors: Floats, logs: Bools) -> Floats:
    """Take the log of the columns that ask for it; always a new array."""
    values = np.array(vectors, dtype=np.float64)
    if logs.all():
        return np.copysign(np.log1p(np.abs(values)), values)
    chosen = values[:, logs]
    values[:, logs] = np.copysign(np.log1p(np.abs(chosen)), chosen)
    return values


def _fit(
    features: Sequence[Feature], vectors: Floats, limits: Sequence[tuple[float, float] | None]
) -> tuple[Column, ...]:
    """A column for each feature, between the given limits or those of its sample."""
    logs = np.array([feature.scale == "log" for feature in features], dtype=np.bool_)
    values = np.clip(_curve(vectors, logs), -_LARGEST, _LARGEST)
    columns = [
        _fit_column(feature, column, between)
        for feature, column, between in zip(features, values.T, limits, strict=True)
    ]
    return _scaled_together(features, columns)


def _scaled_together(features: Sequence[Feature], columns: Sequence[Column]) -> tuple[Column, ...]:
    variances: defaultdict[str, float] = defaultdict(float)
    for feature, column in zip(features, columns, strict=True):
        if feature.group and column.low < column.high:
            variances[feature.group] += column.divisor**2
    return tuple(
        replace(
            column,
            divisor=max(
                sqrt(variances[feature.group]) or column.divisor,
                (column.high - column.low) / WIDEST,
            ),
        )
        for feature, column in zip(features, columns, strict=True)
    )


def _fit_column(feature: Feature, values: Floats, between: tuple[float, float] | None) -> Column:
    values = values[np.isfinite(values)]
    low = high = centre = 0.0
    divisor = 1.0
    if values.size:
        low, high = between or _limits(values)
        clipped = np.clip(values, low, high)
        centre, deviation = float(clipped.mean()), float(clipped.std())
        if deviation > 1e-12 * max(1.0, abs(centre)):
            divisor = deviation
        else:
            low = high = centre
    log = feature.scale == "log"
    return Column(feature.name, log, low, high, centre, divisor, feature.weight)


def _limits(values: Floats) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(values, (LOW_QUANTILE, HIGH_QUANTILE)))
    # A feature that few customers have is not a constant.
    return (low, high) if low < high else (float(values.min()), float(values.max()))
