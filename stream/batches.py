"""Kafka records read into the arrays that the core learns from."""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from models.attributes import read_traits
from models.columns import EventColumns, Hashes
from models.features import Attribute
from models.identifiers import CustomerId
from stream.events import InvalidEvent, ParsedEvent, Reason, parse
from stream.money import Money
from stream.partitions import Places
from stream.records import Record

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

    record: Record
    reason: Reason
    detail: str


@dataclass(slots=True)
class EventBatch:
    """Records of one partition, read: one element an event, but for `rejected` and `customers`.

    `customer` indexes `customers`, `offset` is where in the log an event stood, `received_ms` when
    the broker had it.
    """

    events: list[ParsedEvent] = field(default_factory=list)
    customers: list[CustomerId] = field(default_factory=list)
    customer: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def times_ms(self) -> list[int]:
        """When the events happened."""
        return [event.time_ms for event in self.events]

    @property
    def event_ids(self) -> list[str]:
        """Ids of the events."""
        return [event.event_id for event in self.events]

    @property
    def unknown_currencies(self) -> list[str]:
        """Currencies without a rate, once for each event that has one."""
        return [e.unknown_currency for e in self.events if e.unknown_currency is not None]


def read_batch(
    records: Sequence[Record],
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
    batch = EventBatch()
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
            batch.rejected.append(Rejection(record, error.reason, error.detail))
            continue
        batch.events.append(event)
        batch.customer.append(at)
        batch.offset.append(record.offset)
        batch.received_ms.append(received_ms)
    batch.customers = list(index)
    return batch


class _Placed(dict[bytes, int]):
    """Partitions of keys; those of all unknown ones are found when the first is asked for."""

    def __init__(
        self, reading: Reading, records: Sequence[Record], known: Container[CustomerId]
    ) -> None:
        super().__init__()
        self._reading, self._records, self._known = reading, records, known

    def __missing__(self, key: bytes) -> int:
        records, self._records = self._records, ()
        if records and self._reading.places is not None:
            given = {record.key for record in records if record.key}
            keys = [key for key in given if key.decode("utf-8", "replace") not in self._known]
            self.update(zip(keys, self._reading.places(keys), strict=True))
        return self[key] if key in self else self._reading.partition_of(key)


def _check_partition(customer: CustomerId, partition: int, placed: _Placed) -> None:
    right = placed[customer.encode()]
    if right != partition:
        raise InvalidEvent(
            Reason.WRONG_PARTITION,
            f"the customer belongs to partition {right}, not {partition}: "
            "check the producer's partitioner and SHOAL_PARTITIONER",
        )


def columns_of(batches: Sequence[EventBatch], reading: Reading) -> EventColumns:
    """The events of batches, one after the other; so are the customers that they index."""
    events = [event for batch in batches for event in batch.events]
    first = accumulate((len(batch.customers) for batch in batches), initial=0)
    customer = [
        before + at for before, batch in zip(first, batches, strict=False) for at in batch.customer
    ]

    def column(name: str, dtype: type) -> NDArray[Any]:
        return np.fromiter(map(attrgetter(name), events), dtype, len(events))

    types = reading.types
    categories = [event.categories for event in events]
    names = [name for named in categories for name in named]
    # An order has many categories, a shop few.
    codes = {name: _digest(name.encode()) for name in set(names)}
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
    event_id = _hashes([event.event_id for event in events])
    event_id[event_id == 0] = 1  # 0 marks an empty place among the remembered ids
    return EventColumns(
        customer=np.array(customer, dtype=np.int64),
        type=np.array([types.get(event.type, 0) for event in events], dtype=np.int64),
        time_ms=column("time_ms", np.int64),
        value=column("value", np.float64),
        quantity=column("quantity", np.float64),
        discounted=column("discounted", np.bool_),
        session=session,
        id=event_id,
        offset=np.array([at for batch in batches for at in batch.offset], dtype=np.int64),
        category_event=np.arange(len(events)).repeat(list(map(len, categories))),
        category=np.array([codes[name] for name in names], dtype=np.uint64),
        attribute_event=np.array([at for at, _, _ in told], dtype=np.int64),
        attribute=np.array([index for _, index, _ in told], dtype=np.int64),
        attribute_value=np.array([value for _, _, value in told], dtype=np.float64),
    )


def _hashes(texts: Iterable[str]) -> Hashes:
    return np.fromiter(map(_digest, map(str.encode, texts)), np.uint64)
