"""Readable names for segments, from what sets their members apart."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, count

import numpy as np

from models.columns import Bools, Floats
from models.features import Feature, Kind
from models.snapshots import Segment, Trait

MAX_NAME = 48
STRONGEST = 5
_TOLD = 3
# Nearer to everybody's mean than this, in standard deviations, is not worth a word.
_NOTABLE = 0.2
# A trait is named when it is at least this part as strong as the segment's strongest.
_NAMED = 0.35
# A name stays while its first trait is at least this part as strong.
_STAYS = 0.3
# From this correlation on, two features say the same.
_ALIKE = 0.6
_STEM = 5
_MERE_SIZE = {"high", "low", "many", "few", "much", "little", "with", "and", "the", "for"}
_NOTHING_SPECIAL = "Typical customers"


def find_traits(
    features: Sequence[Feature], members: Floats, everybody: Floats
) -> tuple[tuple[Trait, ...], ...]:
    """The traits of each segment, strongest first, at most five.

    Parameters
    ----------
    members
        Shape (n_segments, n_features), mean of each segment's members, in scaled units.
    everybody
        Shape (n_features,), mean of all customers, in scaled units.
    """
    return tuple(_traits(features, row) for row in _spoken(features, members - everybody))


def alike(features: Sequence[Feature], points: Floats) -> Bools:
    """Which features say the same of a customer, shape (n_features, n_features).

    Those that correlate among the customers (`points`, shape (n, n_features), scaled), and those
    whose words share a stem.
    """
    centred = points - points.mean(axis=0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    scale = np.outer(length, length)
    # Not by BLAS, whose threads wait for each other on a busy machine: 600 ms instead of 4.
    product = np.abs(np.einsum("ni,nj->ij", centred, centred))
    stems = [_stems(f"{feature.high} {feature.low}") for feature in features]
    shared = np.array([[bool(one & other) for other in stems] for one in stems], dtype=np.bool_)
    same: Bools = shared | ((product >= _ALIKE * scale) & (scale > 0))
    return same


def telling(features: Sequence[Feature], traits: Sequence[Trait], same: Bools) -> tuple[str, ...]:
    """Names of at most three features to speak of, those that say something new before others."""
    at = {feature.name: i for i, feature in enumerate(features)}
    chosen: list[str] = []
    for trait in traits:
        if not any(same[at[trait.feature], at[other]] for other in chosen):
            chosen.append(trait.feature)
    others = [trait.feature for trait in traits if trait.feature not in chosen]
    return tuple([*chosen, *others][:_TOLD])


def name_segments(
    features: Sequence[Feature],
    differences: Floats,
    shares: Sequence[float],
    before: Sequence[Segment | None],
    *,
    same: Bools,
    reserved: Mapping[int, str],
) -> tuple[tuple[str, Trait | None], ...]:
    """A name, at most 48 characters, and the trait it leads with, for each segment.

    A name has one or two traits that are strong and tell the segment from each other one; no two
    segments share a name or its set of words. A segment that existed before keeps its name as
    long as the trait that it leads with is strong and no word of it has become untrue. Of the
    others, larger ones choose first.

    Parameters
    ----------
    differences
        Shape (n_segments, n_features), mean of each segment's members less that of everybody, in
        scaled units.
    shares
        Part of the customers in each segment, 0 to 1.
    before
        The segment of the same id in the model before; None when it is new.
    same
        Features that do not stand in one name, see `alike`.
    reserved
        Names that operators have given, by segment number: nobody else is called so.
    """
    differences = _spoken(features, differences)
    words = [_phrases(feature) for feature in features]
    named: dict[int, tuple[str, Trait | None]] = {}
    taken = {_words(name) for name in reserved.values()}
    for i, old in enumerate(before):
        if old is None or not _still_fits(old, features, differences[i]):
            continue
        if any(_words(old.name) == _words(n) for at, n in reserved.items() if at != old.number):
            continue
        named[i] = (old.name, old.lead)
    taken |= {_words(name) for name, _ in named.values()}
    for i in sorted(range(len(differences)), key=lambda i: (-shares[i], i)):
        if i in named:
            continue
        chosen, name = next(
            (idea, name)
            for idea, name in _candidates(i, differences, words, same)
            if _words(name) not in taken
        )
        taken.add(_words(name))
        lead = _trait(features[chosen[0]], differences[i, chosen[0]]) if chosen else None
        named[i] = (name, lead)
    return tuple(named[i] for i in range(len(differences)))


def name_group(segments: Sequence[Segment]) -> str:
    """Name of segments that are looked at together: by the largest.

    Groups that do not overlap differ in their largest segment, and those within one another in
    their number: names of a hierarchy are unique when those of the segments are.

    >>> name_group([Segment(1, "Newcomers", 0.2, 1), Segment(2, "Regulars", 0.5, 1)])
    'Regulars and 1 more'
    """
    largest = max(segments, key=lambda segment: (segment.share, -segment.number))
    others = len(segments) - 1
    return f"{largest.name} and {others} more" if others else largest.name


def _spoken(features: Sequence[Feature], differences: Floats) -> Floats:
    """The differences without those that no words can tell: what is in a bucket."""
    return differences * [feature.kind is not Kind.BUCKET for feature in features]


def _traits(features: Sequence[Feature], difference: Floats) -> tuple[Trait, ...]:
    order = np.argsort(-np.abs(difference), kind="stable")[:STRONGEST]
    return tuple(
        _trait(features[i], difference[i]) for i in order.tolist() if abs(difference[i]) >= _NOTABLE
    )


def _trait(feature: Feature, difference: float) -> Trait:
    return Trait(feature.name, bool(difference > 0), round(abs(float(difference)), 3))


def _still_fits(old: Segment, features: Sequence[Feature], difference: Floats) -> bool:
    strongest = float(np.abs(difference).max(initial=0.0))
    if old.lead is None:
        return strongest < _NOTABLE
    known: set[str] = set()
    true: set[str] = set()
    strength = 0.0
    for feature, now in zip(features, difference.tolist(), strict=True):
        low, high = (phrase.casefold() for phrase in _phrases(feature))
        known |= {low, high}
        true |= {high} if now > 0 else {low} if now < 0 else set()
        if feature.name == old.lead.feature:
            strength = now if old.lead.high else -now
    is_true = not (set(old.name.casefold().split(", ")) & known - true)
    return is_true and strength >= max(_NOTABLE, _STAYS * strongest)


def _phrases(feature: Feature) -> tuple[str, str]:
    """Words for little and for much of a feature; from its name where none are given."""
    plain = feature.name.replace("_", " ")
    return (feature.low.strip() or f"low {plain}", feature.high.strip() or f"high {plain}")


def _candidates(
    i: int, differences: Floats, phrases: Sequence[tuple[str, str]], same: Bools
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Features and names for segment `i`, best first, without end."""
    own = differences[i]
    strength = np.abs(own)
    order = np.argsort(-strength, kind="stable")[:STRONGEST].tolist()
    notable = [f for f in order if strength[f] >= max(_NOTABLE, _NAMED * strength[order[0]])]
    # How much more of its own side the segment has than each other one, and than everybody.
    others = np.vstack([np.zeros_like(own), np.delete(differences, i, axis=0)])
    lead = np.square(np.maximum(np.sign(own) * (own - others), 0.0))

    def worth(chosen: tuple[int, ...]) -> float:
        ahead = np.sqrt(lead[:, list(chosen)].sum(axis=1))
        return float(ahead[0] + ahead.min())

    pairs = list(combinations(notable, 2))
    singles = [(f,) for f in notable]
    ideas: list[tuple[int, ...]] = [
        *sorted((p for p in pairs if not same[p]), key=worth, reverse=True),
        *sorted(singles, key=worth, reverse=True),
        *sorted((p for p in pairs if same[p]), key=worth, reverse=True),
    ]
    said: list[tuple[tuple[int, ...], str]] = []
    for idea in ideas:
        words = [phrases[f][int(own[f] > 0)] for f in idea]
        name = ", ".join(words)
        differ = len({word.casefold() for word in words}) == len(words)
        if len(words) == 1 or (differ and len(name) <= MAX_NAME):
            said.append((idea, name))
    said = said or [((), _NOTHING_SPECIAL)]
    yield from ((idea, _sentence(name)) for idea, name in said)
    for number in count(2):
        suffix = f" {number}"
        idea, name = said[0]
        yield idea, _shorten(_sentence(name), MAX_NAME - len(suffix)) + suffix


def _words(name: str) -> frozenset[str]:
    """What two names must not share: their words, whatever the order."""
    return frozenset(re.findall(r"\w+|[^\w\s,]", name.casefold())) or frozenset([name])


def _stems(words: str) -> set[str]:
    return {
        word[:_STEM] for word in re.findall(r"\w{3,}", words.casefold()) if word not in _MERE_SIZE
    }


def _sentence(words: str) -> str:
    return _shorten(words[:1].upper() + words[1:], MAX_NAME)


def _shorten(words: str, limit: int) -> str:
    """At most `limit` characters, cut between words where there are some."""
    if len(words) <= limit:
        return words
    head, space, _ = words[: limit + 1].rpartition(" ")
    return (head if space else words[:limit]).rstrip(" ,")
