"""Whatever the bytes are, they are an event or are refused."""

import json
from math import isfinite
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from stream.events import DAY_MS, KNOWN_TYPES, Event, InvalidEvent
from tests.stream.wire import NOON, NOW_MS, event, read

SHALLOW = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SHALLOW, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
FIELDS = [*Event.model_fields, "messageId", "userId", "sessionId", "sentAt"]
AMOUNTS = ["value", "revenue", "total", "price", "quantity", "discount"]
PROPERTIES = [*AMOUNTS, "currency", "category", "coupon", "products"]


def only_parses_or_refuses(value: bytes) -> None:
    try:
        parsed = read(value, correct_skew=True)
    except InvalidEvent:
        return
    assert isfinite(parsed.value)
    assert isfinite(parsed.quantity)
    assert 0 < parsed.time_ms <= NOW_MS + DAY_MS
    assert 0 < len(parsed.event_id) <= 256
    assert 0 < len(parsed.customer_id.encode()) <= 256
    assert 0 < len(parsed.type) <= 64


@given(st.binary(max_size=64) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_are_refused_and_nothing_worse(value: bytes) -> None:
    only_parses_or_refuses(value)


@given(st.data())
def test_a_valid_event_with_damaged_bytes_is_read_or_refused(data: st.DataObject) -> None:
    value = bytearray(event(properties={"value": 3.5, "products": [{"price": 1}]}, sent_at=NOON))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    only_parses_or_refuses(bytes(value))


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3),
    st.dictionaries(st.sampled_from(PROPERTIES), ANYTHING | st.floats(), max_size=4),
)
@example({}, {"products": [{"price": 1e308, "quantity": 10}, {"price": -1e308, "quantity": 10}]})
def test_a_valid_event_with_any_fields_replaced_is_read_or_refused(
    fields: dict[str, Any], properties: dict[str, Any]
) -> None:
    for kind in ("order_completed", "product_added"):
        only_parses_or_refuses(event(**({"type": kind, "properties": properties} | fields)))


CUSTOMERS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="{}"),
    min_size=1,
    max_size=64,
).filter(lambda text: not text.isspace())


@given(
    st.text(min_size=1, max_size=256),
    CUSTOMERS,
    st.sampled_from(sorted(KNOWN_TYPES)),
    st.integers(1_000_000_000_000, NOW_MS + DAY_MS),
    st.floats(-1e12, 1e12),
)
def test_a_valid_event_comes_back_as_it_was_sent(
    event_id: str, customer: str, kind: str, time_ms: int, value: float
) -> None:
    sent = {"event_id": event_id, "customer_id": customer, "type": kind, "timestamp": time_ms}
    parsed = read(event(**sent, properties={"value": value}), customer.encode())
    assert (parsed.event_id, parsed.customer_id, parsed.type) == (event_id, customer, kind)
    assert (parsed.time_ms, parsed.value) == (time_ms, value)
