"""Events as bytes, and how these tests read them."""

import json
from typing import Any

from stream.events import ParsedEvent, parse
from stream.money import Money

MONEY = Money("EUR", {"USD": 0.5})
NOON = "2024-05-01T12:00:00Z"
NOON_MS = 1_714_564_800_000
NOW_MS = NOON_MS + 3_600_000
BASE: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "c1",
    "type": "product_viewed",
    "timestamp": NOON,
}


def read(
    value: bytes | None, key: bytes | None = None, *, correct_skew: bool = False
) -> ParsedEvent:
    return parse(
        value, key, received_ms=NOW_MS, now_ms=NOW_MS, money=MONEY, correct_skew=correct_skew
    )


def event(**fields: Any) -> bytes:
    """JSON of a valid event with some fields set, or taken away by `...`."""
    return json.dumps({k: v for k, v in (BASE | fields).items() if v is not ...}).encode()
