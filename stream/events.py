"""Events as a worker reads them from the bytes of a Kafka record."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from msgspec import Struct

from models.identifiers import CustomerId
from stream.checked import InvalidEvent, Reason, checked
from stream.context import channel_of, traits_of
from stream.contract import MAX_BYTES, MAX_ID, MAX_PARTS, Event
from stream.event_types import KNOWN_TYPES, RESERVED_TYPES, type_name
from stream.lines import Lines, is_reduced, sum_up
from stream.money import Money
from stream.wire import WireEvent, WireProperties, as_decoded, decoded

__all__ = [
    "KNOWN_TYPES",
    "MAX_BYTES",
    "MAX_PARTS",
    "Event",
    "InvalidEvent",
    "ParsedEvent",
    "Reason",
    "parse",
    "type_name",
]

MAX_TYPE = 64
MAX_AMOUNT = 1e15
"""An amount beyond it is a mistake, and a few of them would take sums to infinity."""

DAY_MS = 86_400_000
MILLISECONDS_FROM = 1e11
LAST_MS = 253_402_300_799_999
SHORTEST_MOMENT = len("2024-01-31T12:30:00")
LONGEST_MOMENT = 64
ORDER = "order_completed"


class ParsedEvent(Struct, gc=False):
    """What a worker needs of an event; not frozen, and no dataclass, since that would cost more.

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
    event = decoded(value) or as_decoded(checked(value))
    customer = _customer_id(event.customer_id, key)
    # Most types come in their one spelling.
    kind = event.type if event.type in KNOWN_TYPES else _type_of(event)
    time_ms = _epoch_ms(event.timestamp, "timestamp")
    if correct_skew and event.sent_at is not None:
        time_ms = _corrected_ms(time_ms, event.sent_at, received_ms)
    if time_ms > now_ms + DAY_MS:
        raise InvalidEvent(Reason.TIMESTAMP_IN_FUTURE, "timestamp: more than a day from now")
    given = event.properties or _NO_PROPERTIES
    lines = sum_up(given.products) if given.products else None
    amount: float | None = _amount(kind, given, lines)
    if amount and given.currency is not None:
        amount = money.convert(amount, given.currency)
    worth = amount or 0.0
    quantity = _quantity(kind, given, lines)
    if not (-MAX_AMOUNT <= worth <= MAX_AMOUNT and -MAX_AMOUNT <= quantity <= MAX_AMOUNT):
        raise _out_of_bounds(worth, quantity)
    event_id, session, context = event.event_id, event.session_id, event.context
    return ParsedEvent(
        event_id if type(event_id) is str else str(event_id),
        customer,
        kind,
        time_ms,
        str(session) if session or session == 0 else None,
        worth,
        quantity,
        _is_discounted(given, lines),
        _categories(given.category, lines),
        given.currency if amount is None else None,
        None if given.channel is None and context is None else channel_of(given.channel, context),
        event.traits if context is None else traits_of(event.traits, context),
    )


_NO_PROPERTIES = WireProperties()
_from_iso = datetime.fromisoformat


def _customer_id(given: str | int, key: bytes | None) -> CustomerId:
    text = str(given)
    encoded = text.encode()
    if len(encoded) > MAX_ID or text.isspace():
        raise InvalidEvent(Reason.INVALID_CUSTOMER_ID, f"customer_id: blank or over {MAX_ID} bytes")
    if key is not None and key != encoded:
        raise InvalidEvent(Reason.KEY_MISMATCH, "customer_id: differs from the key of the record")
    return CustomerId(text)


def _type_of(event: WireEvent) -> str:
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
        if type(given) is str and given[4:5] == "-":
            time_ms = round(_moment(given).timestamp() * 1000)
        else:
            number = float(given)
            if not isfinite(number):
                raise InvalidEvent(Reason.NOT_FINITE, f"{field}: not a finite number")
            time_ms = round(number if number >= MILLISECONDS_FROM else number * 1000)
    except ValueError:
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, f"{field}: not RFC 3339") from None
    if not 0 < time_ms <= LAST_MS:
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, f"{field}: not between 1970 and 9999")
    return time_ms


def _moment(text: str) -> datetime:
    # fromisoformat also takes dates without a time, weeks and no lower-case z (Python 3.11).
    if not SHORTEST_MOMENT <= len(text) <= LONGEST_MOMENT or text[7] != "-":
        raise ValueError(text)
    moment = _from_iso(text[:-1] + "Z" if text[-1] == "z" else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _amount(kind: str, given: WireProperties, lines: Lines | None) -> float:
    if kind != ORDER:
        if given.value is not None or given.price is None:
            return given.value or 0.0
        return given.price if given.quantity is None else given.price * given.quantity
    for worth in (given.revenue, given.total, given.value):
        if worth is not None:
            return worth
    return lines.worth if lines else 0.0


def _quantity(kind: str, given: WireProperties, lines: Lines | None) -> float:
    if given.quantity is not None:
        return given.quantity
    if lines:
        return lines.quantity
    return 1.0 if kind == ORDER else 0.0


def _is_discounted(given: WireProperties, lines: Lines | None) -> bool:
    if given.discount is None and given.coupon is None:
        return lines is not None and lines.discounted
    return is_reduced(given.discount, given.coupon) or (lines is not None and lines.discounted)


def _out_of_bounds(value: float, quantity: float) -> InvalidEvent:
    field, amount = ("quantity", quantity) if abs(value) <= MAX_AMOUNT else ("value", value)
    if not isfinite(amount):
        return InvalidEvent(Reason.NOT_FINITE, f"{field}: not a finite number")
    return InvalidEvent(Reason.INVALID, f"{field}: beyond {MAX_AMOUNT:g}")


def _categories(own: str | int | None, lines: Lines | None) -> tuple[str, ...]:
    if lines is None:
        if own is None:
            return ()
        name = own.strip() if type(own) is str else str(own)
        return (name,) if name else ()
    named = lines.categories if own is None else [own, *lines.categories]
    once = dict.fromkeys([str(name).strip() for name in dict.fromkeys(named)])
    once.pop("", None)
    return tuple(once)
