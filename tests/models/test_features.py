"""The names under which accumulators are stored."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from models.features import Flag, Selector

TYPES = st.from_regex(r"[a-z0-9][a-z0-9_]{0,5}", fullmatch=True)
SELECTORS = st.builds(
    Selector,
    st.lists(TYPES, max_size=3, unique=True).map(tuple),
    st.none() | st.sampled_from(Flag),
    st.none() | st.tuples(st.integers(0, 24), st.integers(0, 24)),
    st.lists(st.integers(0, 6), max_size=3, unique=True).map(tuple),
)


def test_a_key_reads_as_what_is_selected() -> None:
    assert Selector().key == "*"
    assert Selector(("product_viewed", "order_completed")).key == "order_completed+product_viewed"
    assert Selector(where=Flag.SESSION_START).key == "*?session_start"
    assert Selector(("order_completed",), Flag.DISCOUNTED).key == "order_completed?discounted"
    assert Selector(hours=(22, 6), days=(6, 5)).key == "*?hours=22-6?days=5+6"


@given(SELECTORS, SELECTORS)
def test_two_selectors_share_a_key_only_when_they_select_the_same(
    one: Selector, other: Selector
) -> None:
    same = _chosen(one) == _chosen(other)
    assert (one.key == other.key) == same


@given(SELECTORS)
def test_the_order_of_event_types_and_days_does_not_show(selector: Selector) -> None:
    turned = replace(selector, events=selector.events[::-1], days=selector.days[::-1])
    assert turned.key == selector.key


def _chosen(selector: Selector) -> tuple[object, ...]:
    return (set(selector.events), selector.where, selector.hours, set(selector.days))
