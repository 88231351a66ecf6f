"""The names under which accumulators are stored."""

from hypothesis import given
from hypothesis import strategies as st

from models.features import Flag, Selector

TYPES = st.from_regex(r"[a-z0-9][a-z0-9_]{0,5}", fullmatch=True)
SELECTORS = st.builds(
    Selector,
    st.lists(TYPES, max_size=3, unique=True).map(tuple),
    st.none() | st.sampled_from(Flag),
)


def test_a_key_reads_as_what_is_selected() -> None:
    assert Selector().key == "*"
    assert Selector(("product_viewed", "order_completed")).key == "order_completed+product_viewed"
    assert Selector(where=Flag.SESSION_START).key == "*?session_start"
    assert Selector(("order_completed",), Flag.DISCOUNTED).key == "order_completed?discounted"


@given(SELECTORS, SELECTORS)
def test_two_selectors_share_a_key_only_when_they_select_the_same(
    one: Selector, other: Selector
) -> None:
    same = (set(one.events), one.where) == (set(other.events), other.where)
    assert (one.key == other.key) == same


@given(SELECTORS)
def test_the_order_of_event_types_does_not_show(selector: Selector) -> None:
    assert Selector(selector.events[::-1], selector.where).key == selector.key
