"""Changes of segment: their contract, their ids, their bytes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import ValidationError

from models.identifiers import CustomerId, SegmentId
from stream.changes import (
    Change,
    ChangeData,
    Reason,
    SegmentRef,
    TargetRef,
    change_bytes,
    change_id,
    change_schema,
    pack,
    read_change,
    rfc3339,
    segment_record,
    unpack,
    utc,
)

SCHEMA = change_schema()
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
LAST_MS = 253_402_300_799_999
IN_2200_MS = 7_258_118_400_000

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CUSTOMERS = TEXT.filter(len).map(CustomerId)
REFS = st.builds(SegmentRef, id=st.integers(1, 99).map(lambda n: SegmentId(f"s{n}")), name=TEXT)
TARGETS = st.builds(
    TargetRef,
    id=st.integers(1, 99).map(lambda n: SegmentId(f"s{n}")),
    **dict.fromkeys(("name", "landing_page", "offer", "message"), TEXT),
    tags=st.lists(TEXT, max_size=3).map(tuple),
)
MOMENTS = st.integers(0, LAST_MS).map(utc)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    customer = draw(CUSTOMERS)
    return Change(
        id=draw(TEXT),
        source=draw(TEXT),
        subject=customer,
        time=draw(MOMENTS),
        data=ChangeData(
            segmentation=draw(TEXT),
            customer_id=customer,
            origin=draw(st.none() | REFS),
            target=draw(st.none() | TARGETS),
            reason=draw(st.sampled_from(get_args(Reason))),
            confidence=draw(st.floats(0, 1)),
            runner_up=draw(st.none() | REFS),
            margin=draw(st.floats(0, 1)),
            since=draw(MOMENTS),
            version=draw(st.integers(1, 2**32)),
            model_version=draw(st.integers(0, 2**32)),
            cause_event_id=draw(st.none() | TEXT),
        ),
    )


def change(target: TargetRef | None = None, origin: SegmentRef | None = None) -> Change:
    return Change(
        id="1",
        source="/shoal/worker",
        subject=CustomerId("ann"),
        time=utc(1_500_000_000_500),
        data=ChangeData(
            segmentation="default",
            customer_id=CustomerId("ann"),
            origin=origin,
            target=target,
            reason="event",
            confidence=0.25,
            runner_up=None,
            margin=0.5,
            since=utc(1_500_000_000_000),
            version=3,
            model_version=7,
            cause_event_id="e1",
        ),
    )


def ref(number: int, name: str) -> SegmentRef:
    return SegmentRef(id=SegmentId(f"s{number}"), name=name)


def target(number: int, name: str, **attached: Any) -> TargetRef:
    return TargetRef(id=SegmentId(f"s{number}"), name=name, **attached)


@given(changes())
@settings(deadline=None)
def test_every_change_keeps_its_contract_and_reads_back(made: Change) -> None:
    told = change_bytes(made)
    VALIDATOR.validate(json.loads(told))
    assert read_change(told) == made
    assert change_bytes(read_change(told)) == told


def test_the_contract_is_a_sound_schema_that_refuses_what_is_no_change() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    told = json.loads(change_bytes(change(target(1, "One"))))
    assert VALIDATOR.is_valid(told)
    for wrong in (
        told | {"specversion": "0.3"},
        told | {"type": "other"},
        told | {"data": told["data"] | {"reason": "whim"}},
        told | {"data": told["data"] | {"confidence": 1.5}},
        told | {"data": told["data"] | {"version": 0}},
        told | {"data": told["data"] | {"to": {"id": "s1"}}},
        {name: value for name, value in told.items() if name != "subject"},
    ):
        assert not VALIDATOR.is_valid(wrong)


def test_a_change_has_the_attributes_of_a_cloud_event_and_says_from_and_to() -> None:
    told = json.loads(change_bytes(change(target(2, "Two"), ref(1, "One"))))
    assert set(told) == {
        *("specversion", "id", "source", "type", "subject", "time"),
        *("datacontenttype", "dataschema", "data"),
    }
    assert told["type"] == "shoal.segment.changed.v1"
    assert told["time"] == "2017-07-14T02:40:00.500000Z"
    assert told["data"]["from"] == {"id": "s1", "name": "One"}
    assert told["data"]["to"] == {
        "id": "s2",
        "name": "Two",
        "landing_page": "",
        "offer": "",
        "message": "",
        "tags": [],
    }
    assert "origin" not in told["data"]


def test_who_leaves_for_nowhere_goes_to_null() -> None:
    assert json.loads(change_bytes(change(None, ref(1, "One"))))["data"]["to"] is None


def test_a_change_must_know_its_time_zone() -> None:
    told = change_bytes(change()).replace(b"02:40:00.500000Z", b"02:40:00.500000")
    with pytest.raises(ValidationError, match=r"timezone.*\$.time"):
        read_change(told)


PARTS = st.tuples(
    TEXT.filter(lambda text: "\0" not in text),
    TEXT.filter(lambda text: "\0" not in text).map(CustomerId),
    st.tuples(st.integers(0, 99), st.integers(0, 2**63 - 1)).map(lambda at: f"{at[0]}:{at[1]}"),
    st.integers(1, 2**32),
)


@given(PARTS, PARTS)
def test_ids_are_the_same_exactly_when_the_four_parts_are(
    one: tuple[str, CustomerId, str, int], other: tuple[str, CustomerId, str, int]
) -> None:
    assert (change_id(*one) == change_id(*other)) == (one == other)
    assert change_id(*one) == change_id(*one)


def test_parts_cannot_flow_into_each_other() -> None:
    ids = [
        change_id("a", CustomerId("bc"), "1:2", 3),
        change_id("ab", CustomerId("c"), "1:2", 3),
        change_id("a", CustomerId("b"), "c1:2", 3),
        change_id("a", CustomerId("bc"), "1:23", 3),
        change_id("a", CustomerId("bc"), "1:2", 33),
    ]
    assert len(set(ids)) == len(ids)


def test_an_id_is_128_bits_and_never_changes_between_versions_of_shoal() -> None:
    assert change_id("default", CustomerId("ann"), "0:17", 1) == "0df904a1ab95458293793f535268d51d"


@given(st.lists(changes(), max_size=6))
@settings(deadline=None, max_examples=50)
def test_what_was_packed_is_unpacked_byte_for_byte(made: list[Change]) -> None:
    told = [change_bytes(one) for one in made]
    assert unpack(pack(told)) == told


@pytest.mark.parametrize("name", ["two\nlines", "\r\n", "Größe", "\u2028", "🐟", '"', "\\n", ""])
def test_a_change_is_one_line_whatever_a_segment_is_called(name: str) -> None:
    told = change_bytes(change(target(1, name)))
    assert b"\n" not in told
    (back,) = unpack(pack([told]))
    assert read_change(back).data.target == target(1, name)


def test_nothing_pending_is_no_change() -> None:
    assert unpack(b"") == unpack(pack([])) == []


def test_a_page_reads_where_a_customer_is_and_came_from() -> None:
    record = segment_record(change(target(2, "Two"), ref(1, "One")))
    assert record.fields() == {
        "version": "3",
        "id": "s2",
        "name": "Two",
        "confidence": "0.2500",
        "since": "2017-07-14T02:40:00.000Z",
        "previous": "s1",
        "model": "7",
        "updated": "2017-07-14T02:40:00.500Z",
    }
    assert (record.segmentation, record.customer) == ("default", "ann")


def test_what_operators_attached_travels_with_the_change_to_its_page() -> None:
    attached = {"landing_page": "/tea", "offer": "-10 %", "message": "Hello", "tags": ("a", "b")}
    record = segment_record(change(target(2, "Tea lovers", **attached)))
    assert record.fields().items() >= {
        ("name", "Tea lovers"),
        ("landing_page", "/tea"),
        ("offer", "-10 %"),
        ("message", "Hello"),
        ("tags", '["a", "b"]'),
    }


def test_a_page_of_who_is_in_no_segment_has_none() -> None:
    record = segment_record(change(None, ref(1, "One")))
    assert record.fields() == {"version": "3"}
    assert segment_record(change(target(1, "One"))).previous == ""


@given(changes())
@settings(deadline=None)
def test_a_page_reads_the_same_of_a_change_that_is_told_again(made: Change) -> None:
    again = read_change(change_bytes(made))
    assert segment_record(again) == segment_record(made)


@given(st.integers(0, IN_2200_MS))
def test_times_are_exact_to_the_millisecond(epoch_ms: int) -> None:
    moment = datetime.fromisoformat(rfc3339(epoch_ms))
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == epoch_ms
    assert rfc3339(epoch_ms).endswith("Z")
