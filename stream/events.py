"""Events as a worker reads them from the bytes of a Kafka record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from models.errors import ShoalError
from models.identifiers import CustomerId
from stream.context import channel_of, traits_of
from stream.contract import MAX_ID, MAX_LINES, SEGMENT_NAMES, Event, Properties
from stream.event_types import KNOWN_TYPES, RESERVED_TYPES, type_name
from stream.lines import Lines, is_blank, is_reduced, sum_up
from stream.money import Money

__all__ = ["KNOWN_TYPES", "Event", "InvalidEvent", "ParsedEvent", "Reason", "parse", "type_name"]

MAX_BYTES = 32_768
"""As much as Segment takes in one event, so that whatever comes from there is read."""

SMALL_BYTES = 4_096
MAX_PARTS = 3 * MAX_LINES
"""Lists and objects in an event: of nothing else can a few bytes cost as much."""

MAX_TYPE = 64
MAX_AMOUNT = 1e15
"""An amount beyond it is a mistake, and a few of them would take sums to infinity."""

DAY_MS = 86_400_000
MILLISECONDS_FROM = 1e11
LAST_MS = 253_402_300_799_999
SHORTEST_MOMENT = len("2024-01-31T12:30:00")
LONGEST_MOMENT = 64
ORDER = "order_completed"

_OUR_NAMES = {theirs: ours for ours, theirs in SEGMENT_NAMES.items() if theirs != "event"}
_UNION_TAGS = frozenset({"str", "int", "float", "constrained-str", "constrained-int"})


class Reason(StrEnum):
    """Why an event was set aside."""

    TOO_LARGE = "too_large"
    INVALID_JSON = "invalid_json"
    INVALID = "invalid"
    MISSING_EVENT_ID = "missing_event_id"
    MISSING_CUSTOMER_ID = "missing_customer_id"
    INVALID_CUSTOMER_ID = "invalid_customer_id"
    NOT_FINITE = "not_finite"
    INVALID_TIMESTAMP = "invalid_timestamp"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    NOT_SUPPORTED_YET = "not_supported_yet"


class InvalidEvent(ShoalError):  # noqa: N818 - the event is invalid; nothing is broken here
    """An event that cannot be counted; `detail` names the field and shows nothing of its value."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class ParsedEvent:
    """What a worker needs of an event; not frozen, since that would cost a microsecond.

    `value` is in the configured currency; `unknown_currency` is the event's where it has
    no rate, so that `value` is 0. Numbers are finite. `categories` are those of the event and of
    its products, each once, in order. `traits` are as they were sent.
    """

    event_id: str
    customer_id: CustomerId
    type: str
    time_ms: int
    session_id: str | None
    value: float
    quantity: float
    discounted: bool
    categories: tuple[str, ...]
    unknown_currency: str | None
    channel: str | None = None
    traits: Mapping[str, object] | None = None


def parse(
    value: bytes | None,
    key: bytes | None,
    *,
    received_ms: int,
    now_ms: int,
    money: Money,
    correct_skew: bool,
) -> ParsedEvent:
    """The event in a Kafka record that the broker received at `received_ms`.

    With `correct_skew`, an event that says when it was sent happened as long before its arrival
    as its own clock says that it waited (Segment's `receivedAt - (sentAt - timestamp)`).

    Raises
    ------
    InvalidEvent
        Nothing else is raised, whatever the bytes are.
    """
    if value is None:
        raise InvalidEvent(Reason.INVALID_JSON, "the record has no value")
    document = _document(value)
    try:
        event = _VALIDATE(document)
    except ValidationError as error:
        raise _refusal(error) from None
    customer = _customer_id(event.customer_id, key)
    kind = _type_of(event)
    time_ms = _epoch_ms(event.timestamp, "timestamp")
    if correct_skew and event.sent_at is not None:
        time_ms = _corrected_ms(time_ms, event.sent_at, received_ms)
    if time_ms > now_ms + DAY_MS:
        raise InvalidEvent(Reason.TIMESTAMP_IN_FUTURE, "timestamp: more than a day from now")
    given = event.properties or _NO_PROPERTIES
    lines = sum_up(given.products) if given.products else None
    amount: float | None = _amount(kind, given, lines)
    if amount:
        amount = money.convert(amount, given.currency)
    session = event.session_id
    return ParsedEvent(
        event_id=str(event.event_id),
        customer_id=customer,
        type=kind,
        time_ms=time_ms,
        session_id=str(session) if session or session == 0 else None,
        value=_bounded(amount or 0.0, "value"),
        quantity=_bounded(_quantity(kind, given, lines), "quantity"),
        discounted=is_reduced(given.discount, given.coupon) or bool(lines and lines.discounted),
        categories=_categories(given.category, lines),
        unknown_currency=given.currency if amount is None else None,
        channel=channel_of(given.channel, event.context),
        traits=traits_of(event.traits, event.context),
    )


_NO_PROPERTIES = Properties()
# What model_validate calls, 0.6 µs later.
_VALIDATE: Callable[[Any], Event] = Event.__pydantic_validator__.validate_python


def _document(value: bytes) -> Any:
    size = len(value)
    if size > MAX_BYTES:
        raise InvalidEvent(Reason.TOO_LARGE, f"{size} bytes where {MAX_BYTES} are allowed")
    if size > SMALL_BYTES and value.count(b"[") + value.count(b"{") > MAX_PARTS:
        raise InvalidEvent(Reason.TOO_LARGE, f"over {MAX_PARTS} lists and objects")
    # Read before it is checked: pydantic would copy what it reads into each fault that it finds.
    try:
        return from_json(value, cache_strings="keys")
    except ValueError as error:
        # A lone surrogate is sound JSON, but no text: pydantic-core 2.50 stops at its escape.
        reason = Reason.INVALID if "hex escape" in str(error) else Reason.INVALID_JSON
        raise InvalidEvent(reason, f"Invalid JSON: {error}") from None


def _customer_id(given: str | int, key: bytes | None) -> CustomerId:
    text = str(given)
    encoded = text.encode()
    if len(encoded) > MAX_ID or text.isspace():
        raise InvalidEvent(Reason.INVALID_CUSTOMER_ID, f"customer_id: blank or over {MAX_ID} bytes")
    if key is not None and key != encoded:
        raise InvalidEvent(Reason.KEY_MISMATCH, "customer_id: differs from the key of the record")
    return CustomerId(text)


def _type_of(event: Event) -> str:
    name = _bounded_type(event.type, "type")
    if name == "track":
        if event.event is None:
            raise InvalidEvent(Reason.INVALID, "event: missing where type is track")
        name = _bounded_type(event.event, "event")
    if name in RESERVED_TYPES:
        raise InvalidEvent(Reason.NOT_SUPPORTED_YET, f"type: {name} is not supported yet")
    return name


def _bounded_type(text: str, field: str) -> str:
    # Bounded before it is named, since the cache of names keeps what it is given.
    name = type_name(text) if len(text) <= MAX_ID else ""
    if not 0 < len(name) <= MAX_TYPE:
        raise InvalidEvent(Reason.INVALID, f"{field}: expected 1-{MAX_TYPE} letters or digits")
    return name


def _corrected_ms(time_ms: int, sent_at: str | float, received_ms: int) -> int:
    waited_ms = _epoch_ms(sent_at, "sent_at") - time_ms
    if waited_ms < 0:
        return time_ms
    if waited_ms >= received_ms:
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, "timestamp: before 1970 by sent_at")
    return received_ms - waited_ms


def _epoch_ms(given: str | float, field: str) -> int:
    try:
        if isinstance(given, str) and given[4:5] == "-":
            milliseconds = _moment(given).timestamp() * 1000
        else:
            number = float(given)
            milliseconds = number if number >= MILLISECONDS_FROM else number * 1000
    except ValueError:
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, f"{field}: not RFC 3339") from None
    if not isfinite(milliseconds):
        raise InvalidEvent(Reason.NOT_FINITE, f"{field}: not a finite number")
    time_ms = round(milliseconds)
    if not 0 < time_ms <= LAST_MS:
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, f"{field}: not between 1970 and 9999")
    return time_ms


def _moment(text: str) -> datetime:
    # fromisoformat also takes dates without a time, weeks and no lower-case z (Python 3.11).
    if not SHORTEST_MOMENT <= len(text) <= LONGEST_MOMENT or text[7] != "-":
        raise ValueError(text)
    moment = datetime.fromisoformat(text[:-1] + "Z" if text[-1] == "z" else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _amount(kind: str, given: Properties, lines: Lines | None) -> float:
    if kind != ORDER:
        if given.value is not None or given.price is None:
            return given.value or 0.0
        return given.price if given.quantity is None else given.price * given.quantity
    for worth in (given.revenue, given.total, given.value):
        if worth is not None:
            return worth
    return lines.worth if lines else 0.0


def _quantity(kind: str, given: Properties, lines: Lines | None) -> float:
    if given.quantity is not None:
        return given.quantity
    if lines:
        return lines.quantity
    return 1.0 if kind == ORDER else 0.0


def _bounded(amount: float, field: str) -> float:
    if -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        return amount
    if not isfinite(amount):
        raise InvalidEvent(Reason.NOT_FINITE, f"{field}: not a finite number")
    raise InvalidEvent(Reason.INVALID, f"{field}: beyond {MAX_AMOUNT:g}")


def _categories(own: str | int | None, lines: Lines | None) -> tuple[str, ...]:
    if lines is None:
        return () if own is None or is_blank(own) else (str(own).strip(),)
    named = lines.categories if own is None else [own, *lines.categories]
    once = dict.fromkeys(str(name).strip() for name in named)
    once.pop("", None)
    return tuple(once)


def _refusal(error: ValidationError) -> InvalidEvent:
    """What pydantic found, as one reason: a number that is not finite, else the first fault."""
    faults = error.errors(include_url=False)
    fault = next(filter(_is_not_finite, faults), faults[0])
    path = [str(part) for part in fault["loc"] if part not in _UNION_TAGS]
    where = ".".join(path)
    if _is_not_finite(fault):
        return InvalidEvent(Reason.NOT_FINITE, f"{where}: not a finite number")
    message = fault["msg"]
    if not path:
        return InvalidEvent(Reason.INVALID, message)
    field = _OUR_NAMES.get(path[0], path[0])
    return InvalidEvent(_reason_of_field(field, fault), f"{where}: {message}")


def _reason_of_field(field: str, fault: ErrorDetails) -> Reason:
    absent = fault["type"] == "missing" or fault["input"] is None
    if field == "event_id":
        return Reason.MISSING_EVENT_ID if absent or fault["input"] == "" else Reason.INVALID
    if field == "customer_id":
        return Reason.MISSING_CUSTOMER_ID if absent else Reason.INVALID_CUSTOMER_ID
    if field in {"timestamp", "sent_at"}:
        return Reason.INVALID_TIMESTAMP
    return Reason.INVALID


def _is_not_finite(fault: ErrorDetails) -> bool:
    given = fault["input"]
    if isinstance(given, float):
        return not isfinite(given)
    # An integer that no float can hold is, to pydantic, no number.
    return fault["type"] == ("float_type" if type(given) is int else "finite_number")
