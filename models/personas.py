"""Readable names for segments, from what sets their members apart."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, count

import numpy as np

from models.columns import Floats
from models.features import Feature
from models.snapshots import Segment, Trait

MAX_NAME = 48
STRONGEST = 3
# Nearer to everybody's mean than this, in standard deviations, is not worth a word.
_NOTABLE = 0.2
# A second trait is named when it is at least this part as strong as the first.
_SECOND = 0.35
_NOTHING_SPECIAL = "Typical customers"


def find_traits(
    features: Sequence[Feature], members: Floats, everybody: Floats
) -> tuple[tuple[Trait, ...], ...]:
    """The traits of each segment, strongest first, at most three.

    Parameters
    ----------
    members
        Shape (n_segments, n_features), mean of each segment's members, in scaled units.
    everybody
        Shape (n_features,), mean of all customers, in scaled units.
    """
    return tuple(_traits(features, difference) for difference in members - everybody)


def name_segments(
    features: Sequence[Feature],
    traits: Sequence[tuple[Trait, ...]],
    shares: Sequence[float],
    before: Sequence[Segment | None],
) -> tuple[tuple[str, Trait | None], ...]:
    """A name, unique and at most 48 characters, and the trait it leads with, for each segment.

    A segment that existed before keeps its name as long as the trait that it leads with is still
    among its three strongest. Of the others, larger ones choose first.

    Parameters
    ----------
    traits
        Of each segment, strongest first.
    shares
        Part of the customers in each segment, 0 to 1.
    before
        The segment of the same id in the model before; None when it is new.
    """
    named: dict[int, tuple[str, Trait | None]] = {}
    for i, (old, today) in enumerate(zip(before, traits, strict=True)):
        if old is not None and _still_fits(old.lead, today):
            named[i] = (old.name, old.lead)
    taken = {name.casefold() for name, _ in named.values()}
    phrases = {feature.name: _phrases(feature) for feature in features}
    for i in sorted(range(len(traits)), key=lambda i: (-shares[i], i)):
        if i not in named:
            name = next(n for n in _candidates(traits[i], phrases) if n.casefold() not in taken)
            taken.add(name.casefold())
            named[i] = (name, traits[i][0] if traits[i] else None)
    return tuple(named[i] for i in range(len(traits)))


def _traits(features: Sequence[Feature], difference: Floats) -> tuple[Trait, ...]:
    order = np.argsort(-np.abs(difference), kind="stable")[:STRONGEST]
    return tuple(
        Trait(features[i].name, bool(difference[i] > 0), round(float(abs(difference[i])), 3))
        for i in order.tolist()
        if abs(difference[i]) >= _NOTABLE
    )


def _still_fits(lead: Trait | None, today: tuple[Trait, ...]) -> bool:
    if lead is None:
        return not today
    return any((t.feature, t.high) == (lead.feature, lead.high) for t in today)


def _phrases(feature: Feature) -> tuple[str, str]:
    """Words for little and for much of a feature; from its name where none are given."""
    plain = feature.name.replace("_", " ")
    return (feature.low.strip() or f"low {plain}", feature.high.strip() or f"high {plain}")


def _candidates(traits: tuple[Trait, ...], phrases: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Names for a segment, best first, without end."""
    words = [phrases[trait.feature][trait.high] for trait in traits]
    strong = [
        w for w, t in zip(words, traits, strict=True) if t.strength >= _SECOND * traits[0].strength
    ]
    ideas = [*_pairs(strong), *words[:1], *_pairs(words), *words[1:]] or [_NOTHING_SPECIAL]
    yield from map(_sentence, ideas)
    for number in count(2):
        suffix = f" {number}"
        yield _shorten(_sentence(ideas[0]), MAX_NAME - len(suffix)) + suffix


def _pairs(words: Sequence[str]) -> list[str]:
    pairs = combinations(dict.fromkeys(words), 2)
    return [pair for pair in map(", ".join, pairs) if len(pair) <= MAX_NAME]


def _sentence(words: str) -> str:
    return _shorten(words[:1].upper() + words[1:], MAX_NAME)


def _shorten(words: str, limit: int) -> str:
    """At most `limit` characters, cut between words where there are some."""
    if len(words) <= limit:
        return words
    head, space, _ = words[: limit + 1].rpartition(" ")
    return (head if space else words[:limit]).rstrip(" ,")
