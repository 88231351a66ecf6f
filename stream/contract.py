"""The JSON of an event, as pydantic checks it and as its JSON Schema is published."""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

MAX_BYTES = 32_768
"""As much as Segment takes in one event, so that whatever comes from there is read."""

MAX_ID = 256
MAX_LINES = 500
SMALL_BYTES = 4_096
MAX_PARTS = 3 * MAX_LINES
"""Lists and objects in an event: of nothing else can a few bytes cost as much."""

FEW_LINES = 64
BYTES_A_LINE = 20

SEGMENT_NAMES = {
    "event_id": "messageId",
    "customer_id": "userId",
    "type": "event",
    "session_id": "sessionId",
    "anonymous_id": "anonymousId",
    "sent_at": "sentAt",
}
"""Our names of fields and Segment's; ours win where both are present."""

# Strict, so that `true` is no id and NaN no text; 64 bits, so that an integer has 20 digits.
_Integer = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**64)]
_Text = Annotated[str | _Integer, Field(union_mode="left_to_right")]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Instant = Annotated[
    str | Annotated[float, Field(strict=True, allow_inf_nan=False)],
    Field(union_mode="left_to_right"),
]
_EventId = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_ID)] | _Integer,
    Field(union_mode="left_to_right"),
]
_CustomerId = Annotated[
    Annotated[str, Field(max_length=MAX_ID, pattern=r"^[^\x00-\x1f\x7f-\x9f{}]+$")] | _Integer,
    Field(union_mode="left_to_right"),
]


def are_too_thin(lines: int, size: int) -> bool:
    """Whether an event of `size` bytes has more lines than anything could be said in.

    An empty line takes 3 bytes, and costs as much to check as one that says something.
    """
    return lines > FEW_LINES and size < BYTES_A_LINE * lines


class Product(TypedDict, total=False):
    """One line of a cart or an order. More is allowed and not read.

    A dict, since an order has many: a model would cost twice as much.
    """

    product_id: _Text | None
    category: _Text | None
    price: Annotated[_Number | None, Field(description="Price of one unit")]
    quantity: Annotated[_Number | None, Field(description="Units; 1 when not given")]
    discount: Annotated[_Number | None, Field(description="Above 0: at a discount")]
    coupon: Annotated[_Text | None, Field(description="Given: at a discount")]


class Properties(BaseModel):
    """What the event is about. More is allowed and not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    value: _Number | None = Field(None, description="Worth of the event")
    revenue: _Number | None = Field(None, description="Worth of an order; before total and value")
    total: _Number | None = Field(None, description="Worth of an order without revenue")
    currency: str | None = Field(None, description="ISO 4217; the configured one when not given")
    price: _Number | None = Field(None, description="Price of one unit")
    quantity: _Number | None = Field(None, description="Units")
    discount: _Number | None = Field(None, description="Above 0: at a discount")
    coupon: _Text | None = Field(None, description="Given: at a discount")
    category: _Text | None = None
    product_id: _Text | None = None
    order_id: _Text | None = None
    channel: _Text | None = None
    campaign: _Text | None = None
    # One broken line tells enough: reporting 15 000 of them took 0.4 s.
    products: Annotated[list[Product], Field(fail_fast=True, max_length=MAX_LINES)] | None = Field(
        None, description="Lines of a cart or an order"
    )


def _publish_segment_names(schema: dict[str, Any]) -> None:
    fields, required = schema["properties"], schema["required"]
    for ours, theirs in SEGMENT_NAMES.items():
        note = f"Segment's name for {ours}, which wins where both are present"
        fields.setdefault(theirs, {**fields[ours], "title": theirs, "description": note})
    schema["required"] = [name for name in required if name not in SEGMENT_NAMES]
    schema["allOf"] = [
        {"anyOf": [{"required": [name]}, {"required": [SEGMENT_NAMES[name]]}]}
        for name in required
        if name in SEGMENT_NAMES
    ]


def _either(name: str) -> AliasChoices:
    return AliasChoices(name, SEGMENT_NAMES[name])


class Event(BaseModel):
    """One thing that a customer did. Segment's names are accepted, numbers in strings too."""

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra=_publish_segment_names)

    event_id: _EventId = Field(
        validation_alias=_either("event_id"),
        description="Names this event for good: a producer that tries again sends it again",
    )
    customer_id: _CustomerId = Field(
        validation_alias=_either("customer_id"),
        description="1-256 bytes of UTF-8 without control characters or braces; the Kafka key",
    )
    type: str = Field(
        validation_alias=_either("type"),
        description="Such as product_viewed; Segment's track, page, screen and identify too",
    )
    timestamp: _Instant = Field(
        description="When it happened: RFC 3339 (UTC without a zone), epoch seconds, or ms (≥1e11)"
    )
    event: str | None = Field(None, description="Name of the event where type is track")
    session_id: _Text | None = Field(
        None, validation_alias=_either("session_id"), description="Visit that it belongs to"
    )
    anonymous_id: _Text | None = Field(
        None, validation_alias=_either("anonymous_id"), description="Browser or device"
    )
    sent_at: _Instant | None = Field(
        None,
        validation_alias=_either("sent_at"),
        description="When it was sent, by the clock of timestamp; corrects a clock that is wrong",
    )
    properties: Properties | None = Field(None, description="What the event is about")
    traits: dict[str, Any] | None = Field(
        None, description="What the customer is; null takes a trait back"
    )
    context: object = Field(
        None, description="Segment's; its traits and channel are read where the event has none"
    )
