"""Readable names for segments."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.features import Feature, Kind
from models.personas import MAX_NAME, find_traits, name_segments
from models.snapshots import Segment, Trait

FEATURES = (
    Feature("frequency", Kind.COUNT, high="frequent buyers", low="rare buyers"),
    Feature("spend", Kind.SUM, high="high spend", low="low spend"),
    Feature("recency", Kind.RECENCY, high="gone quiet", low="active now"),
    Feature("page_views", Kind.COUNT),
)
Named = tuple[tuple[str, Trait | None], ...]


def traits(*members: list[float]) -> tuple[tuple[Trait, ...], ...]:
    return find_traits(FEATURES, np.array(members), np.zeros(len(FEATURES)))


def names(*members: list[float], before: list[Segment | None] | None = None) -> list[str]:
    shares = [1 / (2 + i) for i in range(len(members))]
    known = before or [None] * len(members)
    return [name for name, _ in name_segments(FEATURES, traits(*members), shares, known)]


def segment(name: str, feature: str, *, high: bool) -> Segment:
    return Segment(1, name, 0.5, 1, Trait(feature, high, 1.0))


def test_traits_are_the_largest_differences_from_everybody() -> None:
    (found,) = find_traits(FEATURES, np.array([[3.0, 1, -2, 0.9]]), np.array([1.0, 1, 1, 1]))
    assert found == (
        Trait("recency", high=False, strength=3.0),
        Trait("frequency", high=True, strength=2.0),
    )


def test_a_name_says_the_two_strongest_traits() -> None:
    assert names([2, 1, 0, 0], [-1, 0, 2, 0]) == [
        "Frequent buyers, high spend",
        "Gone quiet, rare buyers",
    ]


def test_a_weak_second_trait_is_not_worth_saying() -> None:
    assert names([2, 0.3, 0, 0]) == ["Frequent buyers"]


def test_segments_with_the_same_two_traits_are_told_apart_by_the_third() -> None:
    assert names([2, 1.5, 0, 0], [2, 1.5, -1, 0]) == [
        "Frequent buyers, high spend",
        "Frequent buyers, active now",
    ]


def test_the_same_traits_many_times_are_numbered_in_the_end() -> None:
    assert names(*[[2.0, 0, 0, 0]] * 3) == [
        "Frequent buyers",
        "Frequent buyers 2",
        "Frequent buyers 3",
    ]


def test_those_without_traits_are_typical() -> None:
    assert names([0, 0.1, 0, 0], [0, 0, 0, 0]) == ["Typical customers", "Typical customers 2"]


def test_a_feature_without_words_lends_its_name() -> None:
    assert names([0, 0, 0, 2], [0, 0, 0, -2]) == ["High page views", "Low page views"]


def test_a_known_segment_keeps_its_name_while_its_lead_trait_is_among_the_three() -> None:
    known = segment("My regulars", "frequency", high=True)
    assert names([1, 3, -2, 0], before=[known]) == ["My regulars"]
    assert names([0.5, 3, -2, 1], before=[known]) == ["High spend, active now"]
    assert names([-3, 0, 0, 0], before=[known]) == ["Rare buyers"]


def test_a_name_that_is_kept_is_taken_even_for_a_larger_segment() -> None:
    known = segment("Frequent buyers", "frequency", high=True)
    assert names([2, 0, 0, 0], [2, 0, 0, 0], before=[None, known]) == [
        "Frequent buyers 2",
        "Frequent buyers",
    ]


def test_a_typical_segment_keeps_its_name_until_it_has_traits() -> None:
    typical = Segment(1, "Typical customers", 0.5, 1)
    assert names([0, 0, 0, 0], before=[typical]) == ["Typical customers"]
    assert names([2, 0, 0, 0], before=[typical]) == ["Frequent buyers"]


def test_a_kept_name_keeps_the_trait_that_it_leads_with() -> None:
    known = segment("My regulars", "frequency", high=True)
    ((_, lead),) = name_segments(FEATURES, traits([1, 3, -2, 0]), [1.0], [known])
    assert lead == known.lead


WORDS = st.text(max_size=70) | st.just(" ")


@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_names_are_unique_and_short_whatever_the_words(
    words: list[tuple[str, str]], k: int, seed: int
) -> None:
    features = [
        Feature(f"f{i}", Kind.COUNT, high=high, low=low) for i, (high, low) in enumerate(words)
    ]
    rng = np.random.default_rng(seed)
    members = rng.integers(-1, 2, (k, len(features))).astype(float)
    found = find_traits(features, members, np.zeros(len(features)))
    named = [name for name, _ in name_segments(features, found, [1 / k] * k, [None] * k)]
    assert len({name.casefold() for name in named}) == k
    assert all(0 < len(name) <= MAX_NAME for name in named)
    again = name_segments(
        features,
        found,
        [1 / k] * k,
        [
            Segment(i, n, 1 / k, 1, t[0] if t else None)
            for i, (n, t) in enumerate(zip(named, found, strict=True))
        ],
    )
    assert [name for name, _ in again] == named
