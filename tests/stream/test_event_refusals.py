"""What is refused, and why."""

from typing import Any

import pytest

from stream.contract import MAX_LINES
from stream.events import DAY_MS, MAX_AMOUNT, MAX_BYTES, MAX_PARTS, InvalidEvent, Reason
from tests.stream.wire import NOW_MS, event, read

INFINITY = float("inf")
NAN = float("nan")


def reason(value: bytes | None, key: bytes | None = None, *, correct_skew: bool = False) -> Reason:
    with pytest.raises(InvalidEvent) as caught:
        read(value, key, correct_skew=correct_skew)
    assert caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value.reason


def test_more_than_32_kib_is_too_large_before_it_is_read() -> None:
    assert reason(event().ljust(MAX_BYTES + 1)) is Reason.TOO_LARGE
    assert reason(b"?" * (MAX_BYTES + 1)) is Reason.TOO_LARGE


@pytest.mark.parametrize("part", [[], {}])
def test_an_event_of_thousands_of_lists_or_objects_is_too_large(part: Any) -> None:
    assert read(event(context=[part] * (MAX_PARTS - 10))).event_id == "e1"
    assert reason(event(context=[part] * (MAX_PARTS + 10))) is Reason.TOO_LARGE


@pytest.mark.parametrize("line", [{}, {"price": 1}, {"category": "a"}, {"price": "1"}])
@pytest.mark.parametrize("event_id", ["e1", ""])
def test_hundreds_of_lines_that_say_hardly_anything_are_too_large(
    line: dict[str, Any], event_id: str
) -> None:
    thin, few = {"products": [line] * 400}, {"products": [line] * 64}
    assert reason(event(event_id=event_id, properties=thin)) is Reason.TOO_LARGE
    assert read(event(properties=few)).event_id == "e1"
    full = {"products": [{"price": 1, "quantity": 2}] * 500}
    assert read(event(properties=full)).event_id == "e1"


@pytest.mark.parametrize("value", [None, b"", b"\xff", b'"', event()[:-1], event() + b"}"])
def test_what_is_not_json_is_refused(value: bytes | None) -> None:
    assert reason(value) is Reason.INVALID_JSON


@pytest.mark.parametrize("depth", [201, 1_500])
def test_deeply_nested_json_is_refused(depth: int) -> None:
    lists = b"[" * depth + b"]" * depth
    assert reason(event(context=12321).replace(b"12321", lists)) is Reason.INVALID_JSON


@pytest.mark.parametrize("value", [b"[]", b"null", b"1", b'"event"'])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    assert reason(value) is Reason.INVALID


@pytest.mark.parametrize("event_id", [..., None, ""])
def test_an_event_without_an_id_is_refused(event_id: Any) -> None:
    assert reason(event(event_id=event_id)) is Reason.MISSING_EVENT_ID


@pytest.mark.parametrize("event_id", ["e" * 257, 10**300, 1.5, True, ["e"]])
def test_an_event_id_is_short_text_or_an_integer(event_id: Any) -> None:
    assert reason(event(event_id=event_id)) is Reason.INVALID
    assert reason(event(event_id=..., messageId=event_id)) is Reason.INVALID


@pytest.mark.parametrize("customer", [..., None])
def test_an_event_without_a_customer_is_refused(customer: Any) -> None:
    assert reason(event(customer_id=customer)) is Reason.MISSING_CUSTOMER_ID
    assert reason(event(customer_id=..., userId=customer)) is Reason.MISSING_CUSTOMER_ID


@pytest.mark.parametrize(
    "customer",
    [
        *("", " ", "\u3000", "a\n", "a\x00", "\x7f", "\x85", "{a", "a}", "c" * 257, "é" * 129),
        *(True, 1.5, [], 10**300),
    ],
)
def test_a_customer_id_that_cannot_be_a_key_is_refused(customer: Any) -> None:
    assert reason(event(customer_id=customer)) is Reason.INVALID_CUSTOMER_ID
    assert reason(event(customer_id=..., userId=customer)) is Reason.INVALID_CUSTOMER_ID


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udc00", b"a\\ud800b"])
def test_half_of_a_surrogate_pair_is_refused(escape: bytes) -> None:
    assert reason(event(customer_id="here").replace(b"here", escape)) is Reason.INVALID


@pytest.mark.parametrize(
    "fields",
    [
        {"type": ...},
        {"type": 5},
        {"type": "?"},
        {"type": "x" * 65},
        {"type": "x " * 200},
        {"type": "track"},
        {"type": "track", "event": " "},
        {"session_id": {}},
        {"properties": []},
        {"properties": {"currency": 978}},
        {"properties": {"value": "a lot"}},
        {"properties": {"value": -MAX_AMOUNT * 2}},
        {"properties": {"quantity": MAX_AMOUNT * 2}},
        {"properties": {"products": {}}},
        {"properties": {"products": [None]}},
        {"properties": {"products": [{"price": 1, "quantity": 2}] * (MAX_LINES + 1)}},
    ],
)
def test_an_event_that_breaks_the_contract_is_refused(fields: dict[str, Any]) -> None:
    assert reason(event(**fields)) is Reason.INVALID


@pytest.mark.parametrize("kind", ["alias", "Merge", "consent", "erase"])
def test_kinds_that_are_not_behaviour_are_refused(kind: str) -> None:
    assert reason(event(type=kind)) is Reason.NOT_SUPPORTED_YET
    assert reason(event(type="track", event=kind)) is Reason.NOT_SUPPORTED_YET


@pytest.mark.parametrize("number", [NAN, INFINITY, -INFINITY, "nan", "-inf", 10**400])
@pytest.mark.parametrize("field", ["value", "revenue", "total", "price", "quantity", "discount"])
def test_an_amount_must_be_finite(field: str, number: Any) -> None:
    assert reason(event(properties={field: number})) is Reason.NOT_FINITE


@pytest.mark.parametrize(
    "fields",
    [
        {"properties": {"price": 1e300, "quantity": 1e300}},
        {"properties": {"products": [{"quantity": 1e308}, {"quantity": 1e308}]}},
        {"properties": {"products": [{}, {"price": NAN}]}},
        {"properties": {"category": NAN}},
        {"event_id": NAN},
        {"customer_id": INFINITY},
        {"customer_id": ..., "userId": NAN},
        {"timestamp": NAN},
        {"timestamp": "inf"},
        {"sent_at": NAN},
        {"type": 5, "properties": {"value": NAN}},
    ],
)
def test_nothing_that_is_read_may_be_infinite(fields: dict[str, Any]) -> None:
    assert reason(event(**fields)) is Reason.NOT_FINITE


def test_a_number_too_large_for_a_float_is_not_finite() -> None:
    huge = event(properties={"value": 777}).replace(b"777", b"1e999")
    assert reason(huge) is Reason.NOT_FINITE


@pytest.mark.parametrize(
    "timestamp",
    [
        *("", "yesterday", "2024-05-01", "2024-W18-3T12:00:00", "2024-02-30T12:00:00Z", "9" * 99),
        *("1969-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2024-05-01T12:00:00." + "0" * 999),
        *(..., None, True, [], 0, -1, 1e-9, 1e16),
    ],
)
def test_a_timestamp_that_is_no_moment_since_1970_is_refused(timestamp: Any) -> None:
    assert reason(event(timestamp=timestamp)) is Reason.INVALID_TIMESTAMP


@pytest.mark.parametrize("timestamp", [NOW_MS + DAY_MS + 1, "9999-12-31T23:59:59Z"])
def test_an_event_more_than_a_day_ahead_is_refused(timestamp: Any) -> None:
    assert reason(event(timestamp=timestamp)) is Reason.TIMESTAMP_IN_FUTURE


@pytest.mark.parametrize("sent_at", ["soon", True, 0, "9999-12-31T23:59:59Z"])
def test_a_time_of_sending_that_makes_no_sense_is_refused(sent_at: Any) -> None:
    assert reason(event(sent_at=sent_at), correct_skew=True) is Reason.INVALID_TIMESTAMP


@pytest.mark.parametrize("key", [b"", b"c2", b"c1 ", b"\xff"])
def test_a_key_must_be_the_customer(key: bytes) -> None:
    assert reason(event(customer_id="c1"), key) is Reason.KEY_MISMATCH


def test_a_refusal_names_the_field_and_shows_nothing_of_its_value() -> None:
    private = "{someone@example.org}"
    with pytest.raises(InvalidEvent, match=r"^invalid_customer_id: customer_id: ") as caught:
        read(event(customer_id=private))
    assert "example" not in str(caught.value)
    with pytest.raises(InvalidEvent, match=r"^invalid: properties\.products\.1\.price: ") as caught:
        read(event(properties={"products": [{}, {"price": private}]}))
    assert "example" not in str(caught.value)
