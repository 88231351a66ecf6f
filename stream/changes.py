"""Changes of segment as CloudEvents: their contract, their ids, their bytes."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, json

from models.identifiers import CustomerId, SegmentId
from models.labels import Label
from stream.store import SegmentRecord

Reason = Literal["event", "time", "model", "expired", "merge", "consent", "erasure"]

# Structs below: a pydantic model of a change took 31 µs to make and to write, these take 3.
_Moment = Annotated[datetime, Meta(tz=True)]


class SegmentRef(Struct, frozen=True):
    """A segment, as it was called at the time."""

    id: SegmentId
    name: str


class TargetRef(SegmentRef, frozen=True):
    """The segment that a customer is in now, with what operators attached to it."""

    landing_page: str = ""
    offer: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()


class ChangeData(Struct, frozen=True, kw_only=True):
    """Who moved, from where to where, why and how surely."""

    segmentation: str
    customer_id: CustomerId
    origin: Annotated[SegmentRef | None, Meta(description="null: in none before")] = field(
        name="from"
    )
    target: Annotated[TargetRef | None, Meta(description="null: in none any more")] = field(
        name="to"
    )
    reason: Reason
    confidence: Annotated[float, Meta(ge=0, le=1, description="1 - d1/d2; 0 on the boundary")]
    runner_up: Annotated[SegmentRef | None, Meta(description="the second nearest segment")]
    margin: Annotated[
        float, Meta(description="how much nearer the new segment was: (d_own - d1)/(d_own + d1)")
    ]
    since: Annotated[_Moment, Meta(description="when the customer entered `to`")]
    version: Annotated[int, Meta(ge=1, description="counts a customer's changes; keep the highest")]
    model_version: Annotated[int, Meta(ge=0)]
    cause_event_id: Annotated[
        str | None, Meta(description="the last event of the step, where an event was the reason")
    ]


class Change(Struct, frozen=True, kw_only=True):
    """CloudEvents 1.0, structured JSON; the Kafka key is the customer id."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Meta(description="the same however often it is told")]
    source: str
    type: Literal["shoal.segment.changed.v1"] = "shoal.segment.changed.v1"
    subject: CustomerId
    time: _Moment
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Literal["urn:shoal:schema:segment-changed:1"] = "urn:shoal:schema:segment-changed:1"
    data: ChangeData


def change_id(segmentation: str, customer: CustomerId, incarnation: str, version: int) -> str:
    """Id of a change: 128 bits that depend on these four alone.

    `incarnation` is partition:offset of the event that the customer's profile began with.
    """
    text = "\0".join((segmentation, customer, incarnation, str(version)))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=4096)
def utc(epoch_ms: int) -> datetime:
    """Aware time of epoch milliseconds."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def rfc3339(epoch_ms: int) -> str:
    """RFC 3339 text of epoch milliseconds, as pages and consumers read it.

    >>> rfc3339(1_500_000_000_500)
    '2017-07-14T02:40:00.500Z'
    """
    return utc(epoch_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def segment_record(change: Change) -> SegmentRecord:
    """What Redis keeps of a change for pages to read."""
    data, target = change.data, change.data.target
    return SegmentRecord(
        segmentation=data.segmentation,
        customer=data.customer_id,
        version=data.version,
        id=target.id if target else None,
        label=_label(target) if target else Label(),
        confidence=data.confidence,
        since=_text(data.since),
        previous=data.origin.id if data.origin else "",
        model=data.model_version,
        updated=_text(change.time),
    )


def _label(target: TargetRef) -> Label:
    return Label(target.name, target.landing_page, target.offer, target.message, target.tags)


@lru_cache(maxsize=4096)
def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_bytes(change: Change) -> bytes:
    """A change as it goes to Kafka; one line."""
    return _ENCODE(change)


def read_change(told: bytes) -> Change:
    """The change that was told.

    Raises
    ------
    msgspec.ValidationError
        It is not a change by the contract.
    msgspec.DecodeError
        It is not JSON.
    """
    return _DECODE(told)


_ENCODE = json.Encoder().encode
_DECODE = json.Decoder(Change).decode


def pack(changes: Sequence[bytes]) -> bytes:
    """What a lane keeps of changes until they are told: one a line, byte for byte."""
    return b"\n".join(changes)


def unpack(pending: bytes) -> list[bytes]:
    """The changes that `pack` put together."""
    return pending.split(b"\n") if pending else []


def change_schema() -> dict[str, Any]:
    """JSON Schema of a change."""
    schema = json.schema(Change)
    for part in schema["$defs"].values():
        # What has a default is written all the same.
        part["required"] = list(part["properties"])
    return schema
