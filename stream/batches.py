"""Kafka records read into the arrays that the core learns from."""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import xxhash
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from models.attributes import read_traits
from models.columns import EventColumns, Hashes
from models.features import Attribute
from models.identifiers import CustomerId
from stream.events import InvalidEvent, ParsedEvent, Reason, parse
from stream.money import Money
from stream.partitions import Places

_digest = xxhash.xxh3_64_intdigest
_NO_SESSION = _digest(b"")


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading an event depends on.

    `partition_of` places a key as producers must, `places` many keys at once where that is
    faster; `types` holds the schema's type codes, `attributes` the traits that its profiles keep.
    """

    money: Money
    types: dict[str, int]
    partition_of: Callable[[bytes], int]
    correct_skew: bool
    attributes: Sequence[Attribute] = ()
    places: Places | None = None


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
    placed = _Placed(reading, records, known)
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
                    _check_partition(name, partition, placed)
                at = index[name] = len(index)
        except InvalidEvent as error:
            rejected.append(Rejection(record, error.reason, error.detail))
            continue
        events.append(event)
        customer.append(at)
        offset.append(record.offset)
        received.append(received_ms)
    event_ids = [event.event_id for event in events]
    category_names = [name for event in events for name in event.categories]
    return EventBatch(
        columns=_columns(events, customer, offset, event_ids, category_names, reading=reading),
        customers=list(index),
        event_ids=event_ids,
        rejected=rejected,
        unknown_currencies=[e.unknown_currency for e in events if e.unknown_currency is not None],
        received_ms=received,
        category_names=category_names,
        channels=[event.channel for event in events],
    )


class _Placed(dict[bytes, int]):
    """Partitions of keys, of the unknown ones found together."""

    def __init__(
        self, reading: Reading, records: Sequence[ConsumerRecord], known: Container[CustomerId]
    ) -> None:
        super().__init__()
        self._partition_of = reading.partition_of
        if reading.places is not None:
            given = {record.key for record in records if record.key}
            keys = [key for key in given if key.decode("utf-8", "replace") not in known]
            self.update(zip(keys, reading.places(keys), strict=True))

    def __missing__(self, key: bytes) -> int:
        return self._partition_of(key)


def _check_partition(customer: CustomerId, partition: int, placed: _Placed) -> None:
    right = placed[customer.encode()]
    if right != partition:
        raise InvalidEvent(
            Reason.WRONG_PARTITION,
            f"the customer belongs to partition {right}, not {partition}: "
            "check the producer's partitioner and SHOAL_PARTITIONER",
        )


def _columns(
    events: Sequence[ParsedEvent],
    customer: Sequence[int],
    offset: Sequence[int],
    event_ids: Sequence[str],
    category_names: Sequence[str],
    *,
    reading: Reading,
) -> EventColumns:
    def column(name: str, dtype: type) -> NDArray[Any]:
        return np.fromiter(map(attrgetter(name), events), dtype, len(events))

    types = reading.types
    told = (
        [
            (at, index, value)
            for at, event in enumerate(events)
            if event.traits
            for index, value in read_traits(event.traits, reading.attributes)
        ]
        if reading.attributes
        else []
    )
    session = _hashes([event.session_id or "" for event in events])
    session[session == _NO_SESSION] = 0
    event_id = _hashes(event_ids)
    event_id[event_id == 0] = 1  # 0 marks an empty place among the remembered ids
    # An order has many categories, a shop few.
    codes = {name: _digest(name.encode()) for name in dict.fromkeys(category_names)}
    counts = np.fromiter([len(event.categories) for event in events], np.int64, len(events))
    return EventColumns(
        customer=np.array(customer, dtype=np.int64),
        type=np.array([types.get(event.type, 0) for event in events], dtype=np.int64),
        time_ms=column("time_ms", np.int64),
        value=column("value", np.float64),
        quantity=column("quantity", np.float64),
        discounted=column("discounted", np.bool_),
        session=session,
        id=event_id,
        offset=np.array(offset, dtype=np.int64),
        category_event=np.repeat(np.arange(len(events)), counts),
        category=np.array([codes[name] for name in category_names], dtype=np.uint64),
        attribute_event=np.array([at for at, _, _ in told], dtype=np.int64),
        attribute=np.array([index for _, index, _ in told], dtype=np.int64),
        attribute_value=np.array([value for _, _, value in told], dtype=np.float64),
    )


def _hashes(texts: Iterable[str]) -> Hashes:
    return np.fromiter(map(_digest, map(str.encode, texts)), np.uint64)
