"""Kafka records read into arrays: what is counted, and what is set aside and why."""

import json
from collections.abc import Container, Sequence
from dataclasses import replace

import numpy as np
import xxhash
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.attributes import code_of
from models.columns import EventColumns
from models.features import Attribute, Form
from models.identifiers import CustomerId
from stream.batches import EventBatch, Reading, columns_of, read_batch
from stream.events import Reason
from stream.money import Money
from stream.partitions import partitioner
from tests.stream.lane_kit import START_MS, event, record

READING = Reading(
    Money("EUR", {"USD": 0.5}),
    {"order_completed": 1, "product_viewed": 2},
    lambda _: 0,
    correct_skew=False,
)
ARRAYS = ("customer", "type", "time_ms", "value", "quantity", "discounted", "session", "id")


def read(
    *records: ConsumerRecord,
    partition: int = 0,
    now_ms: int = START_MS + 1_000,
    known: Container[CustomerId] = (),
    reading: Reading = READING,
) -> EventBatch:
    return read_batch(records, partition=partition, now_ms=now_ms, known=known, reading=reading)


def columns(*batches: EventBatch, reading: Reading = READING) -> EventColumns:
    return columns_of(batches, reading)


def stamped(offset: int, value: bytes, timestamp: int) -> ConsumerRecord:
    return replace(record(offset, value), timestamp=timestamp)


def test_customers_are_numbered_as_they_come() -> None:
    batch = read(*(record(at, event(name, at)) for at, name in enumerate("abacb")))
    assert batch.customers == ["a", "b", "c"]
    assert columns(batch).customer.tolist() == [0, 1, 0, 2, 1]
    assert batch.event_ids == ["a-0", "b-1", "a-2", "c-3", "b-4"]
    assert columns(batch).offset.tolist() == [0, 1, 2, 3, 4]
    assert batch.rejected == []


def test_an_event_becomes_one_element_of_each_array() -> None:
    properties = {
        "value": 8,
        "currency": "USD",
        "quantity": 3,
        "coupon": "X",
        "products": [{"category": "tea"}, {"category": "cake"}],
    }
    sent = event("ann", 1, session_id="visit", properties=properties)
    batch = read(record(17, sent), record(18, event("ann", 2, type="something")))
    arrays = columns(batch)
    assert arrays.type.tolist() == [1, 0]
    assert arrays.time_ms.tolist() == [START_MS + 1, START_MS + 2]
    assert arrays.value.tolist() == [4.0, 0.0]
    assert arrays.quantity.tolist() == [3.0, 0.0]
    assert arrays.discounted.tolist() == [True, False]
    assert arrays.session.tolist() == [xxhash.xxh3_64_intdigest(b"visit"), 0]
    assert arrays.id.tolist() == [
        xxhash.xxh3_64_intdigest(b"ann-1"),
        xxhash.xxh3_64_intdigest(b"ann-2"),
    ]
    assert arrays.offset.tolist() == [17, 18]
    assert arrays.category_event.tolist() == [0, 0]
    assert arrays.category.tolist() == [xxhash.xxh3_64_intdigest(c) for c in (b"tea", b"cake")]


def test_names_channels_and_traits_stand_beside_the_arrays() -> None:
    attributes = (Attribute("age", Form.NUMBER), Attribute("address.city", Form.TEXT))
    sent = [
        event("ann", 1, properties={"channel": "web", "category": "tea"}),
        event("ann", 2, type="identify", traits={"address": {"city": "Oslo"}, "age": 42}),
        b"{",
        event("bob", 3, properties={"products": [{"category": "tea"}, {"category": "cake"}]}),
        event("bob", 4, context={"channel": "store", "traits": {"age": None, "city": "Rome"}}),
    ]
    batch = read(*(record(at, value) for at, value in enumerate(sent)))
    arrays = columns(batch, reading=replace(READING, attributes=attributes))
    assert [event.channel for event in batch.events] == ["web", None, None, "store"]
    assert [event.categories for event in batch.events] == [("tea",), (), ("tea", "cake"), ()]
    assert arrays.category_event.tolist() == [0, 2, 2]
    assert arrays.attribute_event.tolist() == [1, 1, 3]
    assert arrays.attribute.tolist() == [0, 1, 0]
    assert_array_equal(arrays.attribute_value, [42.0, code_of("oslo"), np.nan])


def test_what_cannot_be_read_is_set_aside_in_order_and_counts_nobody() -> None:
    bad = [
        b"{",
        None,
        event("", 1),
        event("bob", 1, timestamp="soon"),
        event("bob", 1, event_id=""),
    ]
    records = [record(at, value) for at, value in enumerate(bad)]
    batch = read(*records, record(5, event("ann", 1)))
    assert [rejection.record for rejection in batch.rejected] == records
    assert [rejection.reason for rejection in batch.rejected] == [
        Reason.INVALID_JSON,
        Reason.INVALID_JSON,
        Reason.INVALID_CUSTOMER_ID,
        Reason.INVALID_TIMESTAMP,
        Reason.MISSING_EVENT_ID,
    ]
    assert all(rejection.detail for rejection in batch.rejected)
    assert batch.customers == ["ann"]
    assert columns(batch).customer.tolist() == [0]
    assert columns(batch).offset.tolist() == [5]


def test_a_batch_of_which_nothing_can_be_read_is_empty() -> None:
    for batch in (read(), read(record(0, b"{"), record(1, b"["))):
        assert len(columns(batch)) == 0
        assert (batch.customers, batch.event_ids, batch.received_ms) == ([], [], [])
        assert {getattr(columns(batch), name).shape for name in ARRAYS} == {(0,)}


def test_the_arrays_have_their_types_however_few_events_there_are() -> None:
    empty, one = columns(read()), columns(read(record(0, event("ann", 1))))
    for name in EventColumns.__slots__:
        assert getattr(empty, name).dtype == getattr(one, name).dtype, name


def test_a_key_must_be_the_customers() -> None:
    good, bad = record(0, event("ann", 1), b"ann"), record(1, event("ann", 2), b"bob")
    assert [r.reason for r in read(good, bad).rejected] == [Reason.KEY_MISMATCH]


def test_a_customer_of_another_partition_is_rejected_with_the_right_one() -> None:
    reading = replace(READING, partition_of=partitioner("murmur2", 8))
    (rejection,) = read(record(0, event("c000001", 1)), reading=reading, partition=3).rejected
    assert rejection.reason is Reason.WRONG_PARTITION
    assert "partition 6, not 3" in rejection.detail
    assert "SHOAL_PARTITIONER" in rejection.detail
    assert read(record(0, event("c000001", 1)), reading=reading, partition=6).rejected == []


def test_partitions_of_many_keys_are_found_together_and_without_a_key_alone() -> None:
    asked: list[list[bytes]] = []

    def places(keys: Sequence[bytes]) -> list[int]:
        asked.append(sorted(keys))
        return [0] * len(keys)

    reading = replace(READING, partition_of=lambda _: 1, places=places)
    keyed = [
        record(at, event(name, at), name.encode()) for at, name in enumerate(["ann", "eve", "ann"])
    ]
    strange = record(3, b"{}", b"\xff")
    alone = record(4, event("bob", 4))
    batch = read(*keyed, strange, alone, reading=reading, known={CustomerId("eve")})
    assert asked == [[b"ann", b"\xff"]]
    assert batch.customers == ["ann", "eve"]
    assert [r.reason for r in batch.rejected][1:] == [Reason.WRONG_PARTITION]


def test_a_partition_is_asked_for_once_a_customer_and_not_for_the_known() -> None:
    asked: list[bytes] = []

    def partition_of(key: bytes) -> int:
        asked.append(key)
        return 0

    events = [record(at, event(name, at)) for at, name in enumerate(["ann", "böb", "ann", "eve"])]
    reading = replace(READING, partition_of=partition_of)
    read(*events, reading=reading, known={CustomerId("eve")})
    assert asked == [b"ann", "böb".encode()]


def test_values_without_a_rate_are_counted_apart_and_their_events_count() -> None:
    def order(number: int, currency: str) -> ConsumerRecord:
        properties = {"value": 10, "currency": currency}
        return record(number, event("ann", number, properties=properties))

    batch = read(order(0, "EUR"), order(1, "SEK"), order(2, "USD"), order(3, "JPY"))
    assert batch.unknown_currencies == ["SEK", "JPY"]
    assert columns(batch).value.tolist() == [10, 0, 5, 0]


def test_a_record_without_a_time_was_received_now() -> None:
    records = [stamped(at, event("ann", at), ms) for at, ms in enumerate((7, 0, -1))]
    assert read(*records, now_ms=START_MS).received_ms == [7, START_MS, START_MS]


def test_a_clock_that_is_ahead_is_set_right_where_that_is_wanted() -> None:
    ahead = event("ann", 1, time_ms=START_MS + 3_600_000, sent_at=START_MS + 3_600_500)
    live = replace(READING, correct_skew=True)
    assert read(record(0, ahead), reading=live).times_ms == [START_MS - 500]
    assert read(record(0, ahead)).times_ms == [START_MS + 3_600_000]


VALUES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.none(),
        st.builds(event, st.sampled_from(["ann", "böb", ""]), st.integers(0, 99)),
        st.builds(
            lambda content: json.dumps(content).encode(),
            st.dictionaries(st.sampled_from(["event_id", "customer_id", "type"]), st.text()),
        ),
    ),
    max_size=15,
)


@given(VALUES, st.integers(0, 15))
@settings(deadline=None)
def test_every_record_is_counted_or_set_aside_wherever_a_batch_is_cut(
    values: list[bytes | None], cut: int
) -> None:
    records = [record(at, value) for at, value in enumerate(values)]
    whole, parts = read(*records), (read(*records[:cut]), read(*records[cut:]))
    counted = columns(whole).offset.tolist()
    aside = [rejection.record.offset for rejection in whole.rejected]
    assert sorted(counted + aside) == list(range(len(values)))
    assert aside == sorted(aside)
    assert whole.event_ids == parts[0].event_ids + parts[1].event_ids
    assert whole.rejected == parts[0].rejected + parts[1].rejected
    together, joined = columns(*parts), columns(whole)
    names = [name for part in parts for name in part.customers]
    assert [names[at] for at in together.customer] == [
        whole.customers[at] for at in joined.customer
    ]
    for name in set(EventColumns.__slots__) - {"customer"}:
        assert getattr(together, name).tolist() == getattr(joined, name).tolist()
