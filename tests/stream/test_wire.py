"""What msgspec decodes is what pydantic reads; the rest is left to pydantic."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load import simulated
from stream.contract import MAX_LINES, MAX_PARTS, SEGMENT_NAMES, Event, Product, Properties
from stream.events import InvalidEvent, ParsedEvent
from stream.wire import WireEvent, WireLine, WireProperties, decoded
from tests.fuzz.agreement import agree
from tests.fuzz.corpus import NORMAL, ODD_VALUES, SEGMENTS, order, seeds
from tests.stream.wire import event, read

EVENT_FIELDS = sorted(WireEvent.__struct_encode_fields__)
CONTEXT = b'"context":'


def outcome(value: bytes) -> tuple[str, str] | ParsedEvent:
    try:
        return read(value, correct_skew=True)
    except InvalidEvent as error:
        return error.reason, error.detail


def same_either_way(value: bytes) -> None:
    agree(value)
    quick = outcome(value)
    with patch("stream.events.decoded", lambda _: None):
        # Of their representation, where NaN is itself.
        assert repr(outcome(value)) == repr(quick)


def test_both_know_the_same_fields() -> None:
    assert {*Event.model_fields, *SEGMENT_NAMES.values()} == set(EVENT_FIELDS)
    assert Properties.model_fields.keys() == set(WireProperties.__struct_encode_fields__)
    assert Product.__annotations__.keys() == set(WireLine.__struct_encode_fields__)


@pytest.mark.parametrize("field", EVENT_FIELDS)
def test_both_read_any_value_of_a_field_alike(field: str) -> None:
    for value in ODD_VALUES:
        same_either_way(event(**{field: value}))
        for ours, theirs in SEGMENT_NAMES.items():
            if field == theirs:
                same_either_way(event(**{ours: ..., theirs: value}))
                same_either_way(event(**{ours: value, theirs: "x"}))


@pytest.mark.parametrize("field", WireProperties.__struct_fields__)
def test_both_read_any_value_of_a_property_alike(field: str) -> None:
    for value in ODD_VALUES:
        same_either_way(event(properties={field: value}))


@pytest.mark.parametrize("field", WireLine.__struct_fields__)
def test_both_read_any_value_of_a_line_alike(field: str) -> None:
    for value in ODD_VALUES:
        same_either_way(event(type="order_completed", properties={"products": [{field: value}]}))


def test_every_event_that_we_know_is_read_alike() -> None:
    for value in seeds():
        if value is not None:
            same_either_way(value)


VALUES = st.recursive(
    st.sampled_from(ODD_VALUES) | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(EVENT_FIELDS), inner, max_size=3)
    ),
    max_leaves=5,
)
NUMBERS = st.sampled_from((1, 2.5, "3", -0.0, None)) | VALUES
TEXTS = st.sampled_from(("tea", " ", 7, None)) | VALUES
LINES = st.fixed_dictionaries(
    {},
    optional={
        name: TEXTS if name in {"product_id", "category", "coupon"} else NUMBERS
        for name in WireLine.__struct_fields__
    },
)
PROPERTIES = st.dictionaries(
    st.sampled_from(WireProperties.__struct_fields__), NUMBERS | TEXTS, max_size=4
)


@given(
    st.dictionaries(st.sampled_from(EVENT_FIELDS), TEXTS, max_size=3),
    PROPERTIES,
    st.lists(LINES, max_size=3),
    st.sampled_from(("order_completed", "Product Added", "track", ...)),
    st.booleans(),
)
@settings(deadline=None)
def test_both_read_any_event_alike(
    fields: dict[str, Any],
    properties: dict[str, Any],
    lines: list[Any],
    kind: Any,
    is_ascii: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    content = {"type": kind, "properties": properties | {"products": lines}} | fields
    same_either_way(event(**content))
    text = json.dumps(json.loads(event(**content)), ensure_ascii=is_ascii)
    same_either_way(text.encode("utf-8", "surrogatepass"))


@given(st.data())
@settings(deadline=None)
def test_both_read_any_bytes_alike(data: st.DataObject) -> None:
    value = bytearray(data.draw(st.sampled_from((NORMAL, json.dumps(SEGMENTS).encode()))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    same_either_way(bytes(value))


@pytest.mark.parametrize(
    "junk",
    [
        *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'{"\xff":1}', b"1" * 4_301, b"1e999"),
        *(b'"\\ud800"', b'"\\q"', b'"\n"', b"01", b"NaN", b"-Infinity", b"1" * 9_000),
        *(b"[" * depth + b"]" * depth for depth in (198, 199, 200, 201, 400)),
        *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (198, 199, 200, 201)),
        b"[" * 300 + b'"' + b"]" * 300 + b'"' + b"]" * 300,
        b"[" * 300 + rb'"\"' + b"]" * 300 + rb'\\"' + b"]" * 300,
        b"[" + b",".join([b"[]"] * MAX_PARTS) + b"]",
        b"[" + b",".join([b'"]"'] * 3_000) + b"]",
    ],
)
@pytest.mark.parametrize("field", [b'"unknown":', CONTEXT, b'"traits":', b'"properties":'])
def test_both_read_what_nobody_looks_at_alike(junk: bytes, field: bytes) -> None:
    same_either_way(NORMAL[:-1] + b"," + field + junk + b"}")
    same_either_way(NORMAL[:-1] + b"," + field + b'{"a":' + junk + b"}}")


def test_usual_events_are_decoded_by_msgspec() -> None:
    usual = [
        NORMAL,
        json.dumps(SEGMENTS).encode(),
        json.dumps(SEGMENTS, ensure_ascii=False).encode(),
    ]
    usual += [order(lines) for lines in (1, 20, 250, 460)]
    usual += [source.value for source in simulated(500, 50)]
    assert [value for value in usual if decoded(value) is None] == []


def test_an_order_may_have_as_many_lines_as_pydantic_takes() -> None:
    line = {"price": 1, "quantity": 1}
    assert decoded(event(properties={"products": [line] * MAX_LINES})) is not None
    assert decoded(event(properties={"products": [line] * (MAX_LINES + 1)})) is None
