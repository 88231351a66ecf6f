"""What is accepted, and what is read of it."""

import json
from typing import Any

import pytest

from models.identifiers import CustomerId
from stream.events import DAY_MS, MAX_BYTES, InvalidEvent, ParsedEvent
from tests.stream.wire import NOON, NOON_MS, NOW_MS, event, read

NAN = float("nan")


def test_an_event_needs_four_fields() -> None:
    assert read(event(), b"c1") == ParsedEvent(
        event_id="e1",
        customer_id=CustomerId("c1"),
        type="product_viewed",
        time_ms=NOON_MS,
        session_id=None,
        value=0.0,
        quantity=0.0,
        discounted=False,
        categories=(),
        unknown_currency=None,
    )


def test_segments_names_and_numeric_ids_are_accepted() -> None:
    sent = {
        "messageId": 7,
        "userId": 42,
        "anonymousId": "a",
        "sessionId": 1_714_564_000,
        "sentAt": NOON,
        "type": "track",
        "event": "Product Added",
        "timestamp": NOON,
    }
    parsed = read(json.dumps(sent).encode(), b"42")
    assert (parsed.event_id, parsed.customer_id, parsed.session_id) == ("7", "42", "1714564000")
    assert parsed.type == "product_added"


def test_our_names_win_where_both_are_present() -> None:
    parsed = read(
        event(userId="other", messageId="other", event="Other", session_id="s", sessionId="o")
    )
    assert (parsed.event_id, parsed.customer_id) == ("e1", "c1")
    assert (parsed.type, parsed.session_id) == ("product_viewed", "s")


def test_of_a_name_given_twice_the_last_one_counts() -> None:
    assert read(event().replace(b"{", b'{"event_id": "first",', 1)).event_id == "e1"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"type": "Order Completed"}, "order_completed"),
        ({"type": "track", "event": "Email Link Clicked"}, "email_clicked"),
        ({"type": "page", "name": "Home"}, "page_viewed"),
        ({"type": "screen"}, "screen_viewed"),
        ({"type": "identify", "traits": {"age": 30}}, "identify"),
        ({"type": ..., "event": "Signed Up"}, "signed_up"),
        ({"type": "Loyalty Card Shown"}, "loyalty_card_shown"),
        ({"type": "x" * 64}, "x" * 64),
    ],
)
def test_a_type_is_read_from_either_field(fields: dict[str, Any], name: str) -> None:
    assert read(event(**fields)).type == name


@pytest.mark.parametrize(
    "timestamp",
    [
        NOON,
        "2024-05-01t12:00:00z",
        "2024-05-01T14:00:00.000+02:00",
        "2024-05-01T12:00:00",
        "2024-05-01 12:00:00.000000000Z",
        NOON_MS // 1000,
        NOON_MS,
        float(NOON_MS),
        str(NOON_MS),
    ],
)
def test_every_form_of_a_timestamp_is_the_same_moment(timestamp: str | float) -> None:
    assert read(event(timestamp=timestamp)).time_ms == NOON_MS


def test_milliseconds_begin_at_1e11() -> None:
    assert read(event(timestamp=100_000_000_000)).time_ms == 100_000_000_000
    assert read(event(timestamp=1.5)).time_ms == 1_500
    assert read(event(timestamp="2024-05-01T12:00:00.1234Z")).time_ms == NOON_MS + 123


def test_a_skewed_clock_is_corrected_by_when_the_event_was_sent() -> None:
    late = event(timestamp="2031-01-01T00:00:00Z", sentAt="2031-01-01T00:00:02Z")
    assert read(late, correct_skew=True).time_ms == NOW_MS - 2_000
    with pytest.raises(InvalidEvent, match="timestamp_in_future"):
        read(late)


def test_a_time_of_sending_before_the_event_corrects_nothing() -> None:
    assert read(event(sent_at="2024-05-01T11:59:59Z"), correct_skew=True).time_ms == NOON_MS


def test_an_event_may_be_a_day_ahead() -> None:
    assert read(event(timestamp=NOW_MS + DAY_MS)).time_ms == NOW_MS + DAY_MS


@pytest.mark.parametrize(
    ("kind", "properties", "value", "quantity"),
    [
        ("order_completed", {"revenue": 1, "total": 2, "value": 3}, 1.0, 1.0),
        ("order_completed", {"total": 2, "value": 3, "quantity": 4}, 2.0, 4.0),
        ("order_completed", {"value": 3, "products": [{"quantity": 2}, {}]}, 3.0, 3.0),
        (
            "order_completed",
            {"products": [{"price": 2, "quantity": 3}, {"price": 1}, {}]},
            7.0,
            5.0,
        ),
        ("order_completed", {"revenue": 0, "total": 9}, 0.0, 1.0),
        ("order_completed", {"price": 9}, 0.0, 1.0),
        ("order_completed", {}, 0.0, 1.0),
        ("order_completed", None, 0.0, 1.0),
        ("product_added", {"value": 5, "price": 2, "quantity": 3}, 5.0, 3.0),
        ("product_added", {"price": 2, "quantity": 3}, 6.0, 3.0),
        ("product_added", {"price": 2}, 2.0, 0.0),
        ("product_added", {"revenue": 9, "total": 9}, 0.0, 0.0),
        ("cart_viewed", {"products": [{"price": 2, "quantity": 3}]}, 0.0, 3.0),
        ("product_added", {"price": "12.50", "quantity": "2"}, 25.0, 2.0),
        ("order_refunded", {"value": -5}, -5.0, 0.0),
    ],
)
def test_what_an_event_is_worth(
    kind: str, properties: dict[str, Any] | None, value: float, quantity: float
) -> None:
    parsed = read(event(type=kind, properties=properties))
    assert (parsed.value, parsed.quantity, parsed.unknown_currency) == (value, quantity, None)


@pytest.mark.parametrize(
    ("properties", "value", "unknown"),
    [
        ({"value": 8, "currency": "usd"}, 4.0, None),
        ({"value": 8, "currency": "EUR"}, 8.0, None),
        ({"value": 8, "currency": "NOK"}, 0.0, "NOK"),
        ({"currency": "NOK"}, 0.0, None),
    ],
)
def test_a_currency_without_a_rate_hides_only_a_value(
    properties: dict[str, Any], value: float, unknown: str | None
) -> None:
    parsed = read(event(properties=properties))
    assert (parsed.value, parsed.unknown_currency) == (value, unknown)


@pytest.mark.parametrize(
    ("properties", "discounted"),
    [
        ({"discount": 0.5}, True),
        ({"coupon": "MAY"}, True),
        ({"products": [{}, {"coupon": 5}]}, True),
        ({"products": [{"discount": "1"}]}, True),
        ({"discount": 0, "coupon": " ", "products": [{"coupon": "", "discount": -1}]}, False),
        ({"products": []}, False),
    ],
)
def test_a_discount_or_a_coupon_makes_a_discounted_event(
    properties: dict[str, Any], *, discounted: bool
) -> None:
    assert read(event(properties=properties)).discounted is discounted


@pytest.mark.parametrize(
    ("properties", "categories"),
    [
        ({"category": " tents "}, ("tents",)),
        ({"category": " "}, ()),
        ({"category": 0}, ("0",)),
        ({"category": "b", "products": [{"category": "a"}, {"category": "b"}, {}]}, ("b", "a")),
        ({"category": "", "products": [{"category": " "}, {"category": 3}]}, ("3",)),
    ],
)
def test_categories_are_of_the_event_and_its_products_each_once(
    properties: dict[str, Any], categories: tuple[str, ...]
) -> None:
    assert read(event(properties=properties)).categories == categories


def test_a_large_event_is_read_up_to_the_limit() -> None:
    assert read(event().ljust(MAX_BYTES)).event_id == "e1"


def test_a_key_is_utf_8_and_may_be_missing() -> None:
    value = event(customer_id="é" * 128)
    assert read(value, ("é" * 128).encode()) == read(value, None)


def test_what_is_not_read_may_be_anything() -> None:
    unread = {"context": [NAN], "extra": {"x": NAN}, "properties": {"sizes": [NAN, True]}}
    assert read(event(**unread)) == read(event())


@pytest.mark.parametrize(
    ("fields", "traits"),
    [
        ({"traits": {"age": 30, "x": NAN}}, {"age": 30}),
        ({"type": "product_viewed", "context": {"traits": {"age": 30}}}, {"age": 30}),
        ({"traits": {"age": 30}, "context": {"traits": {"age": 31}}}, {"age": 30}),
        ({"traits": {}, "context": {"traits": {"age": 31}}}, {}),
        ({"traits": None, "context": {"traits": [1]}}, None),
        ({"context": "web"}, None),
    ],
)
def test_traits_are_the_events_else_those_of_its_context(
    fields: dict[str, Any], traits: dict[str, Any] | None
) -> None:
    found = read(event(**fields)).traits
    assert (found and {"age": found["age"]}) == traits


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({}, None),
        ({"properties": {"channel": " web "}}, "web"),
        ({"properties": {"channel": 7}}, "7"),
        ({"properties": {"channel": " "}, "context": {"channel": "app"}}, None),
        ({"context": {"channel": "app"}}, "app"),
        ({"context": {"channel": ["app"]}}, None),
        ({"properties": {"channel": "x" * 99}}, "x" * 64),
    ],
)
def test_a_channel_is_the_events_else_that_of_its_context(
    fields: dict[str, Any], channel: str | None
) -> None:
    assert read(event(**fields)).channel == channel
