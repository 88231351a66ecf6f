"""What the members of each segment are like, beyond its name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.assignment import distances_to
from models.columns import Floats, Ints
from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.personas import Persona, Typical
from models.snapshots import Trait
from models.wording import Wording, plain

EXAMPLES = 3
_YES_OR_NO = {Kind.FLAG, Kind.CATEGORY}


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """The sample as people: who they are, and all that is measured of them.

    `vectors`, shape (n_customers, n_features), are in feature units; not a number where nobody
    knows.
    """

    customers: Sequence[CustomerId]
    features: Sequence[Feature]
    vectors: Floats

    def portray(
        self,
        points: Floats,
        labels: Ints,
        centroids: Floats,
        traits: Sequence[tuple[Trait, ...]],
        telling: Sequence[Sequence[str]],
    ) -> tuple[Persona, ...]:
        """The persona of each segment.

        Parameters
        ----------
        points
            Shape (n_customers, n_coordinates), in the model's scaled space.
        labels
            Shape (n_customers,), the segment of each, 0 to n_segments - 1.
        centroids
            Shape (n_segments, n_coordinates).
        traits
            Of each segment, strongest first.
        telling
            Names of the features that the sentence speaks of, see `models.naming.telling`.
        """
        revenue = self._revenue()
        everybody = _middles(self.vectors)
        personas = []
        for i in range(len(centroids)):
            members = np.flatnonzero(labels == i)
            typical = self._typical(self.vectors[members], everybody)
            said = {told.feature: told.text for told in typical}
            highlights = tuple(said[trait.feature] for trait in traits[i] if trait.feature in said)
            share = None if revenue is None else float(revenue[members].sum() / revenue.sum())
            nearest = np.argsort(
                distances_to(points[members], centroids[i : i + 1])[:, 0], kind="stable"
            )
            personas.append(
                Persona(
                    sentence=_sentence(
                        members.size / len(points),
                        share,
                        [said[name] for name in telling[i] if name in said],
                    ),
                    highlights=highlights,
                    typical=typical,
                    revenue_share=share,
                    examples=tuple(self.customers[m] for m in members[nearest[:EXAMPLES]]),
                )
            )
        return tuple(personas)

    def _revenue(self) -> Floats | None:
        """What each customer brought, None where nothing sums it or all of it is nothing."""
        for at, feature in enumerate(self.features):
            if feature.kind is Kind.SUM and feature.of == "value":
                spent = np.maximum(np.nan_to_num(self.vectors[:, at]), 0.0)
                return spent if spent.sum() > 0 else None
        return None

    def _typical(self, vectors: Floats, everybody: Floats) -> tuple[Typical, ...]:
        found = []
        middles = _middles(vectors)
        for at, feature in enumerate(self.features):
            if feature.kind is Kind.BUCKET:
                continue  # nobody knows what is in it
            value, whole, suffix = float(middles[at]), float(everybody[at]), ""
            if feature.kind in _YES_OR_NO:
                value, whole = _mean(vectors[:, at]), _mean(self.vectors[:, at])
            elif value == whole:
                # Most have none of what is rare: then only the mean tells segments apart.
                value, whole = _mean(vectors[:, at]), _mean(self.vectors[:, at])
                suffix = "" if value == whole else " on average"
            if np.isfinite([value, whole]).all():
                wording = Wording.of(feature)
                found.append(
                    Typical(
                        feature.name,
                        round(wording.factor * value, 3),
                        round(wording.factor * whole, 3),
                        wording.unit,
                        wording.text(value) + suffix,
                        wording.number(whole),
                    )
                )
        return tuple(found)


def _sentence(share: float, revenue: float | None, said: Sequence[str]) -> str:
    """One sentence.

    >>> _sentence(0.124, 0.31, ["3 orders in 30 days", "64 EUR per order"])
    '12% of customers, 31% of revenue: typically 3 orders in 30 days and 64 EUR per order.'
    """
    size = f"{plain(100 * share)}% of customers"
    worth = "" if revenue is None else f", {plain(100 * revenue)}% of revenue"
    if not said:
        return f"{size}{worth}: nothing sets them apart."
    *first, last = said
    return f"{size}{worth}: typically {', '.join(first)}{' and ' if first else ''}{last}."


def _middles(vectors: Floats) -> Floats:
    """Median of the known values of each column, not a number where there is none."""
    finite = np.isfinite(vectors)
    if finite.all() and len(vectors):
        medians: Floats = np.median(vectors, axis=0)
        return medians
    known = [column[mask] for column, mask in zip(vectors.T, finite.T, strict=True)]
    return np.array([np.median(column) if column.size else np.nan for column in known])


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
