import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.event_types import KNOWN_TYPES, RESERVED_TYPES, SYNONYMS, type_name


@pytest.mark.parametrize(
    "spelling",
    [
        "Order Completed",
        "OrderCompleted",
        "orderCompleted",
        "order-completed",
        "order_completed",
        "ORDER_COMPLETED",
        "order.completed",
        "  Order   Completed ",
    ],
)
def test_every_spelling_of_a_type_has_one_name(spelling: str) -> None:
    assert type_name(spelling) == "order_completed"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Email Link Clicked", "email_clicked"),
        ("Unsubscribed", "email_unsubscribed"),
        ("Account Created", "signed_up"),
        ("Signed Up", "signed_up"),
        ("page", "page_viewed"),
        ("screen", "screen_viewed"),
        ("identify", "identify"),
        ("Köp Slutfört", "köp_slutfört"),
        ("PDFOpened", "pdf_opened"),
        ("Step2Completed", "step2_completed"),
        ("?!", ""),
    ],
)
def test_segments_words_become_ours_and_unknown_ones_stay(spelling: str, name: str) -> None:
    assert type_name(spelling) == name


@given(st.text(max_size=80))
def test_a_name_is_the_name_of_itself(text: str) -> None:
    assert type_name(type_name(text)) == type_name(text)


def test_known_types_are_spelled_as_names_and_none_is_reserved() -> None:
    assert {type_name(name) for name in KNOWN_TYPES} == KNOWN_TYPES
    assert set(SYNONYMS.values()) <= KNOWN_TYPES
    assert not KNOWN_TYPES & (RESERVED_TYPES | SYNONYMS.keys())
