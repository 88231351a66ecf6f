"""Readable names for segments."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.columns import Bools
from models.features import Feature, Kind
from models.naming import MAX_NAME, alike, find_traits, name_group, name_segments, telling
from models.snapshots import Segment, Trait

FEATURES = (
    Feature("frequency", Kind.COUNT, high="frequent buyers", low="rare buyers"),
    Feature("spend", Kind.SUM, high="high spend", low="low spend"),
    Feature("recency", Kind.RECENCY, high="gone quiet", low="active now"),
    Feature("page_views", Kind.COUNT),
)
Named = tuple[tuple[str, Trait | None], ...]
APART = np.zeros((len(FEATURES), len(FEATURES)), dtype=np.bool_)


def named(
    *members: list[float],
    before: list[Segment | None] | None = None,
    same: Bools = APART,
    reserved: dict[int, str] | None = None,
) -> Named:
    return name_segments(
        FEATURES,
        np.array(members),
        [1 / (2 + i) for i in range(len(members))],
        before or [None] * len(members),
        same=same,
        reserved=reserved or {},
    )


def names(
    *members: list[float],
    before: list[Segment | None] | None = None,
    same: Bools = APART,
    reserved: dict[int, str] | None = None,
) -> list[str]:
    return [name for name, _ in named(*members, before=before, same=same, reserved=reserved)]


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
    ((_, lead),) = named([1, 3, -2, 0], before=[known])
    assert lead == known.lead


def test_features_that_say_the_same_do_not_stand_in_one_name() -> None:
    same = APART.copy()
    same[0, 1] = same[1, 0] = True
    assert names([2, 1.9, -1, 0], same=same) == ["Frequent buyers, active now"]
    assert names([2, 1.9, 0, 0], same=same) == ["Frequent buyers"]


def test_names_with_the_same_words_in_another_order_do_not_stand_side_by_side() -> None:
    first, second = names([2, 1.5, 0, 0], [1.5, 2, 0, 0])
    assert {first, second} == {"Frequent buyers, high spend", "High spend"}


def test_of_two_traits_the_one_that_others_do_not_share_is_said() -> None:
    said = names([0, 1.0, 1.9, 0], [0, -1.2, 2.0, 0], [0, 0, 2.0, 1.0], [0, 0, -2.0, 0])
    assert said == [
        "Gone quiet, high spend",
        "Gone quiet, low spend",
        "Gone quiet, high page views",
        "Active now",
    ]


def test_what_operators_have_named_is_nobody_elses_name() -> None:
    assert names([2, 0, 0, 0], reserved={9: "frequent BUYERS"}) == ["Frequent buyers 2"]
    known = segment("Frequent buyers", "frequency", high=True)
    assert names([2, 0, 0, 0], before=[known], reserved={9: "Buyers, frequent"}) == [
        "Frequent buyers 2"
    ]


def test_an_operators_name_does_not_change_what_the_segment_is_called_underneath() -> None:
    known = segment("Frequent buyers", "frequency", high=True)
    assert names([2, 0, 0, 0], before=[known], reserved={1: "Frequent buyers"}) == [
        "Frequent buyers"
    ]


def test_a_name_goes_when_its_second_word_has_become_untrue() -> None:
    known = segment("Frequent buyers, high spend", "frequency", high=True)
    assert names([2, 0.1, 0, 0], before=[known]) == ["Frequent buyers, high spend"]
    assert names([2, -0.1, 0, 0], before=[known]) == ["Frequent buyers"]


def test_what_is_in_a_bucket_has_no_words() -> None:
    features = (*FEATURES[:3], Feature("region#1", Kind.BUCKET, high="region group 1"))
    assert find_traits(features, np.array([[1.0, 0, 0, 5.0]]), np.zeros(4)) == (
        (Trait("frequency", high=True, strength=1.0),),
    )


def test_features_are_alike_when_they_correlate_or_share_a_stem() -> None:
    features = (
        Feature("orders", Kind.COUNT, high="frequent buyers", low="rare buyers"),
        Feature("spend", Kind.SUM, high="big spenders", low="small spenders"),
        Feature("visits", Kind.COUNT, high="frequent visits", low="rare visits"),
        Feature("depth", Kind.RATIO, high="long stays", low="short stays"),
        Feature("constant", Kind.COUNT, high="many things", low="few things"),
        Feature("items", Kind.MEAN, high="many items", low="few items"),
    )
    rng = np.random.default_rng(4)
    points = rng.normal(size=(500, 6))
    points[:, 1] = points[:, 0] + 0.3 * points[:, 1]
    points[:, 4] = 2.0
    expected = np.eye(6, dtype=np.bool_)
    for one, other in ((0, 1), (0, 2)):
        expected[one, other] = expected[other, one] = True
    assert (alike(features, points) == expected).all()


def test_a_sentence_speaks_first_of_what_each_says_something_new() -> None:
    (found,) = find_traits(FEATURES, np.array([[2.0, 1.9, -1, 0.5]]), np.zeros(4))
    same = APART.copy()
    same[0, 1] = same[1, 0] = True
    assert telling(FEATURES, found, same) == ("frequency", "recency", "page_views")
    assert telling(FEATURES, found[:2], same) == ("frequency", "spend")


def test_a_group_is_named_by_its_largest_segment() -> None:
    one, two, three = (Segment(n, f"S{n}", n / 10, 1) for n in (1, 2, 3))
    assert name_group([one, two, three]) == "S3 and 2 more"
    assert name_group([one]) == "S1"


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
    same = alike(features, rng.normal(size=(20, len(features))))

    def name(before: list[Segment | None]) -> Named:
        return name_segments(features, members, [1 / k] * k, before, same=same, reserved={})

    said = name([None] * k)
    assert len({frozenset(name.casefold().split(", ")) for name, _ in said}) == k
    assert all(0 < len(name) <= MAX_NAME for name, _ in said)
    before: list[Segment | None] = [
        Segment(i, name, 1 / k, 1, lead) for i, (name, lead) in enumerate(said)
    ]
    assert name(before) == said
