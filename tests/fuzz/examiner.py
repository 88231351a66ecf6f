"""What must hold of every payload, and of the profiles that those which are accepted go into."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from aiokafka import ConsumerRecord

import config
from config.segmentation import load_segmentation
from models.accumulators import update
from models.identifiers import CustomerId
from models.profiles import DAY_MS, ProfileSchema
from stream.batches import EventBatch, Reading, columns_of, read_batch
from stream.context import MAX_CHANNEL
from stream.events import MAX_AMOUNT, MAX_TYPE, InvalidEvent, ParsedEvent, Reason, parse
from tests.fuzz.corpus import ELSEWHERE
from tests.stream.lane_kit import record
from tests.stream.wire import MONEY, NOW_MS

DEFAULT, JOURNEY = (
    load_segmentation(Path(config.__file__).with_name(f"{name}.yaml"))
    for name in ("segmentation", "completejourney")
)
SCHEMA = DEFAULT.model_copy(update={"attributes": JOURNEY.attributes}).profile_schema()
READING = Reading(
    MONEY,
    dict(SCHEMA.types),
    lambda key: int(key == ELSEWHERE.encode()),
    correct_skew=True,
    attributes=SCHEMA.attributes,
)
MAY_BE_UNKNOWN = np.array([feature.attribute is not None for feature in SCHEMA.features])
TIMES_MS = (NOW_MS, NOW_MS - 5_000, -1, 0, 1, NOW_MS + 40 * DAY_MS, 253_402_300_799_999)
"""When Kafka got a record: it believes whatever a producer says."""

FORGET_AT = 2_000


@dataclass
class Examiner:
    """Reads payloads as a lane does, and keeps the profiles of those who sent them.

    Parameters
    ----------
    rejected
        How many payloads were set aside, by reason.
    """

    schema: ProfileSchema = SCHEMA
    accepted: int = 0
    rejected: dict[Reason, int] = field(default_factory=dict)
    _profiles: dict[CustomerId, bytes] = field(default_factory=dict)

    def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Read a batch, and take it into profiles.

        Raises
        ------
        AssertionError
            A record is neither an event nor rejected, an event is not sane, or a profile is not
            finite or is not read as it was stored. Whatever else is raised is a fault too.
        """
        batch = read_batch(
            records, partition=0, now_ms=NOW_MS, known=self._profiles, reading=READING
        )
        _is_whole(records, batch)
        self._learn(batch)
        self.accepted += len(batch)
        for rejection in batch.rejected:
            self.rejected[rejection.reason] = self.rejected.get(rejection.reason, 0) + 1

    def _learn(self, batch: EventBatch) -> None:
        rows = self.schema.decode([self._profiles.get(name) for name in batch.customers])
        update(self.schema, rows, columns_of([batch], READING))
        for now_ms in (NOW_MS, NOW_MS + 400 * DAY_MS):
            vectors = self.schema.vectors(rows, now_ms)
            known = np.isfinite(vectors) | (np.isnan(vectors) & MAY_BE_UNKNOWN)
            assert known.all(), "a vector is not finite"
        assert np.isfinite(rows["sums"]).all(), "a sum is not finite"
        blobs = self.schema.encode(rows)
        assert self.schema.decode(blobs).tobytes() == rows.tobytes(), "a profile reads back changed"
        if len(self._profiles) > FORGET_AT:
            self._profiles.clear()
        self._profiles.update(zip(batch.customers, blobs, strict=True))


def read_one(sent: ConsumerRecord) -> ParsedEvent | Reason:
    """The event in a record, or why there is none.

    Raises
    ------
    AssertionError
        The event is not sane, or the rejection says nothing. Whatever else is raised is a fault.
    """
    try:
        event = parse(
            sent.value,
            sent.key,
            received_ms=sent.timestamp if sent.timestamp > 0 else NOW_MS,
            now_ms=NOW_MS,
            money=MONEY,
            correct_skew=True,
        )
    except InvalidEvent as error:
        _is_said(error.detail)
        return error.reason
    _is_sane(event, sent)
    return event


def _is_said(detail: str) -> None:
    assert detail.isprintable(), "the detail is no line"
    assert 0 < len(detail) < 250, "the detail says nothing, or too much"


def _is_sane(event: ParsedEvent, sent: ConsumerRecord) -> None:
    customer = event.customer_id.encode()
    assert 0 < len(event.event_id) <= 256, "the event id is empty or long"
    assert 0 < len(customer) <= 256, "the customer id is empty or long"
    assert event.customer_id.strip(), "the customer id is blank"
    assert not set(event.customer_id) & set("{}\n\0"), "the customer id cannot be a Redis key"
    assert sent.key in {None, customer}, "the customer is not the key"
    assert 0 < len(event.type) <= MAX_TYPE, "the type is empty or long"
    assert 0 < event.time_ms <= NOW_MS + DAY_MS, "the time is out of bounds"
    assert abs(event.value) <= MAX_AMOUNT, "the value is out of bounds"
    assert abs(event.quantity) <= MAX_AMOUNT, "the quantity is out of bounds"
    assert all(event.categories), "a category is empty"
    assert event.channel is None or 0 < len(event.channel) <= MAX_CHANNEL, "a channel is long"


def _is_whole(records: Sequence[ConsumerRecord], batch: EventBatch) -> None:
    columns, names = columns_of([batch], READING), len(batch.customers)
    offsets = sorted([*columns.offset.tolist(), *(r.record.offset for r in batch.rejected)])
    assert offsets == [sent.offset for sent in records], "a record is lost, or is there twice"
    assert len(columns) == len(batch) == len(batch.received_ms), "arrays differ in length"
    assert sorted(set(columns.customer.tolist())) == list(range(names)), "a customer is nobody's"
    assert len(set(batch.customers)) == names, "a customer is there twice"
    assert np.isfinite(columns.value).all(), "a value is not finite"
    assert np.isfinite(columns.quantity).all(), "a quantity is not finite"
    assert (columns.type <= len(SCHEMA.types)).all(), "a type has no code"
    assert columns.id.all(), "an id is empty"


def sent(offset: int, value: bytes | None, key: bytes | None, time_ms: int) -> ConsumerRecord:
    """A record as the consumer hands it over."""
    return replace(record(offset, value, key), timestamp=time_ms)
