"""Feature vectors from profiles: all features of a kind by the same array operations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.attributes import coordinate
from models.columns import Floats, Ints, Rows
from models.distinct import estimate
from models.features import ATTRIBUTE_KINDS, Feature, Kind
from models.layout import DAY_MS


@dataclass(frozen=True, eq=False)
class KindOfFeatures:
    """Features of one kind.

    `inputs`, shape (n_features, 1 or 2), are the indices of the times, bitmaps, attributes or sums
    that each is computed from; the other arrays have shape (n_features,).
    """

    kind: Kind
    features: tuple[Feature, ...]
    positions: Ints
    inputs: Ints
    caps: Floats
    priors: Floats
    windows_ms: Ints

    def of(self, rows: Rows, sums: Floats, now_ms: Ints) -> Floats:
        """Their coordinates, shape (n_customers, n_features).

        Parameters
        ----------
        sums
            Shape (n_customers, n_slots), decayed to *now*.
        now_ms
            Shape (n_customers, 1) or (1,).
        """
        at = self.inputs[:, 0]
        match self.kind:
            case Kind.RECENCY:
                last = rows["times"].take(at, axis=1)
                return np.where(last > 0, self._days(now_ms - last), self.caps)
            case Kind.TENURE:
                first = rows["first_ms"][:, np.newaxis]
                return self._days(now_ms - np.where(first > 0, first, now_ms))
            case Kind.DISTINCT:
                window, passed = np.divmod(now_ms, self.windows_ms)
                age = window - rows["window"].take(at, axis=1)
                return estimate(rows["bits"].take(at, axis=1), age, passed / self.windows_ms)
            case Kind.COUNT | Kind.SUM:
                return sums.take(at, axis=1)
            case kind if kind in ATTRIBUTE_KINDS:
                known = rows["attribute_ms"][:, at] > 0
                stored = np.where(known, rows["attributes"][:, at], np.nan)
                columns = zip(self.features, stored.T, strict=True)
                return np.stack([coordinate(feature, told) for feature, told in columns], axis=1)
        return self._quotients(sums.take(at, axis=1), sums.take(self.inputs[:, 1], axis=1))

    def _days(self, age_ms: Ints) -> Floats:
        days: Floats = np.minimum(np.maximum(age_ms / DAY_MS, 0), self.caps)
        return days

    def _quotients(self, top: Floats, bottom: Floats) -> Floats:
        if self.kind is Kind.RATIO:
            return top / (bottom + self.priors)
        seen = bottom > 0
        mean = np.divide(top, bottom, out=np.zeros_like(top), where=seen)
        if self.kind is Kind.INTERVAL:
            return np.where(seen, np.minimum(mean, self.caps), self.caps)
        return mean


def by_kind(
    features: Sequence[Feature], inputs: Sequence[tuple[int, ...]], windows_ms: Sequence[int]
) -> tuple[KindOfFeatures, ...]:
    """Features grouped by how they are computed.

    Parameters
    ----------
    inputs
        What each feature is computed from, see `KindOfFeatures`.
    windows_ms
        Window of each distinct count.
    """
    groups: dict[Kind, list[int]] = {}
    for at, feature in enumerate(features):
        groups.setdefault(Kind.COUNT if feature.kind is Kind.SUM else feature.kind, []).append(at)
    return tuple(
        KindOfFeatures(
            kind=kind,
            features=tuple(features[at] for at in positions),
            positions=np.array(positions),
            inputs=np.array([inputs[at] or (0,) for at in positions]),
            caps=np.array([features[at].cap_days for at in positions], dtype=np.float64),
            priors=np.array([features[at].prior for at in positions], dtype=np.float64),
            windows_ms=np.array(
                [windows_ms[inputs[at][0]] for at in positions] if kind is Kind.DISTINCT else []
            ),
        )
        for kind, positions in groups.items()
    )
