"""Kafka records read into the arrays that the core learns from."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash
from aiokafka import ConsumerRecord

from models.attributes import read_traits
from models.columns import EventColumns
from models.features import Attribute
from models.identifiers import CustomerId
from stream.events import InvalidEvent, ParsedEvent, Reason, parse
from stream.money import Money


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading an event depends on.

    `partition_of` places a key as producers must; `types` holds the schema's type codes,
    `attributes` the traits that its profiles keep.
    """

    money: Money
    types: dict[str, int]
    partition_of: Callable[[bytes], int]
    correct_skew: bool
    attributes: Sequence[Attribute] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record set aside, and why."""

    record: ConsumerRecord
    reason: Reason
    detail: str


@dataclass(slots=True)
class EventBatch:
    """Records of one partition, read: `columns.customer` indexes `customers`.

    `category_names` are those behind `columns.category`; `channels` has one element an event.
    """

    columns: EventColumns
    customers: list[CustomerId]
    event_ids: list[str]
    rejected: list[Rejection]
    unknown_currencies: list[str] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    category_names: list[str] = field(default_factory=list)
    channels: list[str | None] = field(default_factory=list)


def read_batch(
    records: Sequence[ConsumerRecord],
    *,
    partition: int,
    now_ms: int,
    known: Container[CustomerId],
    reading: Reading,
) -> EventBatch:
    """Read records; what cannot be counted is among `rejected`, in order.

    The partition of a customer in `known` was checked before.
    """
    index: dict[CustomerId, int] = {}
    events: list[ParsedEvent] = []
    rejected: list[Rejection] = []
    customer: list[int] = []
    offset: list[int] = []
    received: list[int] = []
    for record in records:
        # A record from before Kafka 0.10, or a broken producer's, has no time of its own.
        received_ms = record.timestamp if record.timestamp > 0 else now_ms
        try:
            event = parse(
                record.value,
                record.key,
                received_ms=received_ms,
                now_ms=now_ms,
                money=reading.money,
                correct_skew=reading.correct_skew,
            )
            name = event.customer_id
            at = index.get(name)
            if at is None:
                if name not in known:
                    _check_partition(name, partition, reading.partition_of)
                at = index[name] = len(index)
        except InvalidEvent as error:
            rejected.append(Rejection(record, error.reason, error.detail))
            continue
        events.append(event)
        customer.append(at)
        offset.append(record.offset)
        received.append(received_ms)
    return EventBatch(
        columns=_columns(events, customer, offset, reading),
        customers=list(index),
        event_ids=[event.event_id for event in events],
        rejected=rejected,
        unknown_currencies=[e.unknown_currency for e in events if e.unknown_currency is not None],
        received_ms=received,
        category_names=[name for event in events for name in event.categories],
        channels=[event.channel for event in events],
    )


def _check_partition(
    customer: CustomerId, partition: int, partition_of: Callable[[bytes], int]
) -> None:
    right = partition_of(customer.encode())
    if right != partition:
        raise InvalidEvent(
            Reason.WRONG_PARTITION,
            f"the customer belongs to partition {right}, not {partition}: "
            "check the producer's partitioner and SHOAL_PARTITIONER",
        )


def _columns(
    events: list[ParsedEvent], customer: list[int], offset: list[int], reading: Reading
) -> EventColumns:
    digest = xxhash.xxh3_64_intdigest
    types = reading.types
    told = [
        (at, index, value)
        for at, event in enumerate(events)
        if event.traits
        for index, value in read_traits(event.traits, reading.attributes)
    ]
    named = [(at, name) for at, event in enumerate(events) for name in event.categories]
    return EventColumns(
        customer=np.array(customer, dtype=np.int64),
        type=np.array([types.get(event.type, 0) for event in events], dtype=np.int64),
        time_ms=np.array([event.time_ms for event in events], dtype=np.int64),
        value=np.array([event.value for event in events], dtype=np.float64),
        quantity=np.array([event.quantity for event in events], dtype=np.float64),
        discounted=np.array([event.discounted for event in events], dtype=bool),
        session=np.array(
            [digest(e.session_id.encode()) if e.session_id else 0 for e in events],
            dtype=np.uint64,
        ),
        # 0 marks an empty place among the remembered ids.
        id=np.array([digest(event.event_id.encode()) or 1 for event in events], dtype=np.uint64),
        offset=np.array(offset, dtype=np.int64),
        category_event=np.array([at for at, _ in named], dtype=np.int64),
        category=np.array([digest(name.encode()) for _, name in named], dtype=np.uint64),
        attribute_event=np.array([at for at, _, _ in told], dtype=np.int64),
        attribute=np.array([index for _, index, _ in told], dtype=np.int64),
        attribute_value=np.array([value for _, _, value in told], dtype=np.float64),
    )
