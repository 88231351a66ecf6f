"""Events decoded by msgspec, several times faster than pydantic checks them.

Of `stream.contract` this takes the part that is common, and what it takes it reads as pydantic
does; everything else it leaves to pydantic, which alone refuses.
"""

from typing import Annotated, Any

from msgspec import UNSET, DecodeError, Meta, Struct, field
from msgspec.json import Decoder

from stream.contract import (
    MAX_BYTES,
    MAX_ID,
    MAX_LINES,
    MAX_PARTS,
    SMALL_BYTES,
    Event,
    are_too_thin,
)

# pydantic-core 2.50 reads lists and objects as deep as this, and numbers of 4300 digits.
_MAX_DEPTH = 200
_NEVER_DEEP_BYTES = 2 * _MAX_DEPTH
_DIGITS, _DIGITS_APART = 64, 1_024
_ROUNDS = 4
_NO_SIGNS = bytes(set(range(256)) - set(b'[]{}"'))

# Stands in for a field that is not there: a default is not checked, and null is something else.
_ABSENT: Any = UNSET

_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = str | _Integer
_Instant = str | float
_EventId = Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | _Integer
_CustomerId = Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | _Integer


class WireLine(Struct, gc=False):
    """One line of a cart or an order: `contract.Product`."""

    product_id: _Text | None = None
    category: _Text | None = None
    price: float | None = None
    quantity: float | None = None
    discount: float | None = None
    coupon: _Text | None = None


NO_LINE = WireLine()


class WireProperties(Struct, gc=False):
    """What the event is about: `contract.Properties`."""

    value: float | None = None
    revenue: float | None = None
    total: float | None = None
    currency: str | None = None
    price: float | None = None
    quantity: float | None = None
    discount: float | None = None
    coupon: _Text | None = None
    category: _Text | None = None
    product_id: _Text | None = None
    order_id: _Text | None = None
    channel: _Text | None = None
    campaign: _Text | None = None
    products: Annotated[list[WireLine], Meta(max_length=MAX_LINES)] | None = None


class WireContext(Struct, gc=False):
    """What is read of Segment's context, whatever it is."""

    traits: Any = None
    channel: Any = None


class WireEvent(Struct, gc=False):
    """One thing that a customer did: `contract.Event`, ours among the names that have two."""

    timestamp: _Instant
    event_id: _EventId = _ABSENT
    customer_id: _CustomerId = _ABSENT
    type: str = _ABSENT
    session_id: _Text | None = _ABSENT
    properties: WireProperties | None = None
    event: str | None = None
    sent_at: _Instant | None = _ABSENT
    traits: dict[str, Any] | None = None
    context: WireContext | None = None
    anonymous_id: _Text | None = None
    their_event_id: _EventId = field(default=_ABSENT, name="messageId")
    their_customer_id: _CustomerId = field(default=_ABSENT, name="userId")
    their_session_id: _Text | None = field(default=None, name="sessionId")
    their_sent_at: _Instant | None = field(default=None, name="sentAt")
    their_anonymous_id: _Text | None = field(default=None, name="anonymousId")


_decode = Decoder(WireEvent).decode


def decoded(value: bytes) -> WireEvent | None:
    """The event, exactly as pydantic reads it; None where only pydantic can tell.

    Only our names hold what was sent under either.
    """
    if len(value) > _NEVER_DEEP_BYTES and not _is_plain(value):
        return None
    try:
        if not value.isascii():
            value.decode()  # msgspec 0.22 does not look into text that it passes over
        event = _decode(value)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    given = event.properties
    if given is not None and given.products and are_too_thin(len(given.products), len(value)):
        return None
    return event if _is_complete(event) else None


def _is_complete(event: WireEvent) -> bool:
    """Whether it has what it needs, once our names say what was sent under others."""
    if event.event_id is _ABSENT:
        event.event_id = event.their_event_id
    if event.customer_id is _ABSENT:
        event.customer_id = event.their_customer_id
    if event.type is _ABSENT and event.event is not None:
        event.type = event.event
    if event.session_id is _ABSENT:
        event.session_id = event.their_session_id
    if event.sent_at is _ABSENT:
        event.sent_at = event.their_sent_at
    customer = event.customer_id
    if event.event_id is _ABSENT or customer is _ABSENT or event.type is _ABSENT:
        return False
    # Stricter than the contract's pattern: of what it takes, some is not printable either.
    return isinstance(customer, int) or (
        customer.isprintable() and "{" not in customer and "}" not in customer
    )


def as_decoded(event: Event) -> WireEvent:
    """What pydantic read, in the form that is decoded otherwise."""
    fields: dict[str, Any] = {**vars(event)}
    if event.properties is not None:
        properties: dict[str, Any] = {**vars(event.properties)}
        if event.properties.products is not None:
            properties["products"] = [
                WireLine(**line) if line else NO_LINE for line in event.properties.products
            ]
        fields["properties"] = WireProperties(**properties)
    if isinstance(told := event.context, dict):
        fields["context"] = WireContext(told.get("traits"), told.get("channel"))
    else:
        fields["context"] = None
    return WireEvent(**fields)


def _is_plain(value: bytes) -> bool:
    """Whether it has no more parts, is not nested deeper and has no longer number than allowed."""
    size = len(value)
    if size > MAX_BYTES:
        return False
    if size > SMALL_BYTES and (
        value.count(b"[") + value.count(b"{") > MAX_PARTS
        or any(value[at : at + _DIGITS].isdigit() for at in range(0, size, _DIGITS_APART))
    ):
        return False
    # What is open in the first half was opened there, and what is in the second is closed there.
    half = size // 2
    opened = value.count(b"[", 0, half) + value.count(b"{", 0, half)
    closed = value.count(b"]", half) + value.count(b"}", half)
    return max(opened, closed) <= _MAX_DEPTH or _most_depth(value) <= _MAX_DEPTH


def _most_depth(value: bytes) -> int:
    r"""At most how deep lists and objects are nested, if this is JSON; exact is too costly.

    >>> _most_depth(rb'{"]}": [[1], "[\"[", {}]}')
    8
    """
    # Backslashes come in pairs, or before what they escape. Two quotes in a row change nothing.
    unescaped = value.replace(rb"\\", b"").replace(rb"\"", b"")
    signs = unescaped.translate(None, _NO_SIGNS).replace(b'""', b"")
    if b'"' in signs:
        signs = b"".join(signs.split(b'"')[::2])
    # Each replacement takes one level from whatever is not gone afterwards.
    for _ in range(_ROUNDS):
        signs = signs.replace(b"{}", b"").replace(b"[]", b"")
    return 2 * _ROUNDS + len(signs) // 2
