"""What segments prefer, counted with fading."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.clock import DAY_MS
from models.tastes import HALF_LIFE_DAYS, PREFERRED, preferences, weight

NOW_MS = 1_700_000_000_000
COUNTS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.sampled_from("abcdefgh")),
    st.floats(0.001, 1e9),
    max_size=30,
)


def counted(
    events: dict[tuple[int, str], int], time_ms: int = NOW_MS
) -> dict[tuple[int, str], float]:
    return {place: n * weight(time_ms) for place, n in events.items()}


def values(counts: dict[tuple[int, str], float], number: int) -> list[str]:
    return [p.value for p in preferences(counts, NOW_MS).get(number, ())]


def test_a_preference_is_what_a_segment_has_more_of_than_everybody() -> None:
    counts = counted({(1, "tea"): 900, (1, "cups"): 100, (2, "tea"): 500, (2, "cups"): 500})
    (tea,) = preferences(counts, NOW_MS)[1]
    assert tea.value == "tea"
    assert tea.share == pytest.approx(0.891, abs=0.001)
    assert tea.lift == pytest.approx(1.272, abs=0.001)
    assert values(counts, 2) == ["cups"]


def test_what_sets_apart_most_comes_first_not_what_is_rarest() -> None:
    events = {(1, "tea"): 600, (1, "cups"): 370, (1, "whisks"): 30}
    counts = counted({**events, (2, "tea"): 200, (2, "cups"): 800})
    assert values(counts, 1) == ["tea", "whisks"]


def test_a_few_events_prove_no_taste() -> None:
    everybody = {(2, "tea"): 500, (2, "cups"): 500}
    assert values(counted({(1, "tea"): 3, **everybody}), 1) == []
    assert values(counted({(1, "tea"): 300, **everybody}), 1) == ["tea"]


def test_events_that_have_faded_prove_no_taste_either() -> None:
    long_ago = NOW_MS - 10 * HALF_LIFE_DAYS * DAY_MS
    counts = counted({(1, "tea"): 300, (2, "tea"): 500, (2, "cups"): 500}, long_ago)
    assert values(counts, 1) == []


def test_an_event_counts_half_after_each_half_life_whenever_it_was_counted() -> None:
    old, new = weight(NOW_MS), weight(NOW_MS + HALF_LIFE_DAYS * DAY_MS)
    assert new == pytest.approx(2 * old)


def test_customers_without_a_segment_are_part_of_everybody_and_prefer_nothing() -> None:
    counts = counted({(0, "tea"): 10_000, (1, "cups"): 300, (1, "tea"): 300})
    found = preferences(counts, NOW_MS)
    assert found.keys() == {1}
    assert [p.value for p in found[1]] == ["cups"]


@given(COUNTS)
def test_preferences_are_few_true_and_sorted_whatever_was_counted(
    counts: dict[tuple[int, str], float],
) -> None:
    for number, preferred in preferences(counts, NOW_MS).items():
        assert number
        assert 0 < len(preferred) <= PREFERRED
        assert len({p.value for p in preferred}) == len(preferred)
        for preference in preferred:
            assert (number, preference.value) in counts
            assert 0 < preference.share <= 1.000001
            assert preference.lift > 1


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("abc")), max_size=50))
def test_the_order_of_events_does_not_matter(events: list[tuple[int, str]]) -> None:
    forwards = counted(dict(Counter(events)))
    backwards = counted(dict(Counter(reversed(events))))
    assert preferences(forwards, NOW_MS) == preferences(backwards, NOW_MS)
