"""Payloads that the fuzzer starts from: sound events of every kind, and every odd one we know."""

import json
from collections.abc import Iterator
from typing import Any

from stream.event_types import KNOWN_TYPES, RESERVED_TYPES, SYNONYMS
from stream.events import DAY_MS, MAX_BYTES
from tests.stream.wire import BASE, NOON, NOW_MS, event

NORMAL = (
    b'{"event_id":"e-1","customer_id":"ann","type":"product_viewed",'
    b'"timestamp":"2024-05-01T12:00:00Z","session_id":"visit-7",'
    b'"properties":{"value":42.5,"currency":"EUR","coupon":"SPRING","category":"shoes"}}'
)
"""What most events are like."""

SEGMENTS: dict[str, Any] = {
    "messageId": "e-2",
    "userId": "ann",
    "anonymousId": "a-9",
    "type": "track",
    "event": "Order Completed",
    "timestamp": "2024-05-01T12:00:00.000Z",
    "sentAt": "2024-05-01T12:00:04.000Z",
    "context": {
        "page": {"path": "/cart", "title": "Käse & Wein"},
        "channel": "web",
        "traits": {"age": "35-44", "kids_count": 2, "home_ownership": None},
    },
    "properties": {
        "order_id": "o-17",
        "revenue": 42.5,
        "currency": "USD",
        "products": [
            {"product_id": "p1", "category": "shoes", "price": 30, "quantity": 1},
            {"product_id": "p2", "category": "socks", "price": 6.25, "quantity": 2, "discount": 1},
        ],
    },
}
ELSEWHERE = "c7"
"""A customer of another partition."""

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", " ", "\u3000", 0, -0.0, -1, 1.5, 1e-320, 1e15, -1e15, 1e308),
    *(2**53, 2**63, 2**64, -(2**63) - 1, 10**19, 10**400, 10**4299, float("nan"), float("inf")),
    *("NaN", "-inf", "1e400", "1_000", " 42 ", "٤٢", "0x10", "42.5", "1e3", "null", "true"),
    *("a" * 256, "a" * 257, "é" * 128, "é" * 129, "👗" * 64, "ß" * 200, "\u0130", "a\u0301"),
    *("a\x00b", "a\nb", "\x7f", "{a}", "\u202e", "\ufeff", "\ud800", "\udfff\ud800"),
    *(NOON, "2024-05-01T12:00:00+23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-02-30T00:00:00Z"),
    *("1969-12-31T23:59:59Z", "2024-05-01T24:00:00Z", "2024-05-01T12:00:60Z", "2024-05-01"),
    *(NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1, 1e11, 253_402_300_799_999, 1e16, "1714564800"),
    *("usd", " USD ", "XXX", "EUR\u0000", "€", [[[[]]]], {"a": {"a": {"a": {}}}}, [None], ["a"]),
    *([{}], [{"price": float("nan")}], [{"price": 1e308, "quantity": 1e308}], [{"coupon": 0}], "x"),
)
"""Values that some field, some day, will have."""

FIELDS = (
    *("event_id", "messageId", "customer_id", "userId", "type", "event", "timestamp", "sent_at"),
    *("sentAt", "session_id", "sessionId", "anonymous_id", "anonymousId", "properties", "traits"),
    *("value", "revenue", "total", "currency", "price", "quantity", "discount", "coupon"),
    *("category", "product_id", "order_id", "channel", "campaign", "products", "context"),
    *("age", "income", "kids_count"),
)
PROPERTIES = FIELDS[FIELDS.index("value") : -1]


def order(lines: int) -> bytes:
    """A sound order of so many lines, as a shop sends it."""
    products = [
        {"product_id": f"p{n}", "category": f"shelf-{n % 9}", "price": 3.5 + n, "quantity": 2}
        for n in range(lines)
    ]
    content = BASE | {
        "type": "order_completed",
        "properties": {"order_id": "o-17", "currency": "USD", "products": products},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def seeds() -> list[bytes | None]:
    """Every payload to start from, in a fixed order."""
    return [*sound_events(), *_odd(), *_broken(), *_large()]


def sound_events() -> Iterator[bytes]:
    """Events that are accepted, but for the kinds that are not supported yet."""
    yield NORMAL
    yield json.dumps(SEGMENTS).encode()
    yield json.dumps(SEGMENTS, ensure_ascii=False).encode()
    for kind in sorted(KNOWN_TYPES | RESERVED_TYPES | SYNONYMS.keys()):
        yield event(type=kind, properties={"value": 3, "quantity": 2, "category": "tea"})
        yield event(type="track", event=kind.replace("_", " ").title(), sent_at=NOON)
    for lines in (1, 5, 50):
        yield order(lines)


def _odd() -> Iterator[bytes]:
    for value in ODD_VALUES:
        for field in ("event_id", "customer_id", "type", "timestamp", "sent_at", "session_id"):
            yield event(**{field: value})
        for field in PROPERTIES:
            yield event(type="order_completed", properties={field: value})
        yield event(properties={"value": 1, "products": [{"price": value}, {"category": value}]})
    for field in BASE:
        yield event(**{field: ...})
    yield event(customer_id=ELSEWHERE)


def _broken() -> Iterator[bytes | None]:
    yield from (None, b"", b"\x00", b"null", b"[]", b'"event"', b"1", b"{}", b"{", b"\xff\xfe")
    yield b"\xef\xbb\xbf" + NORMAL
    text = NORMAL.decode()
    yield from (text.encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-32", "cp037"))
    yield NORMAL.decode().replace("ann", "Zoé").encode("latin-1")
    yield NORMAL.replace(b"42.5", b"1e400")
    yield NORMAL.replace(b"42.5", b"-0")
    yield NORMAL.replace(b"42.5", b"NaN")
    yield NORMAL.replace(b"42.5", b"1" * 4300)
    yield NORMAL.replace(b"42.5", b"1" * 4301)
    yield NORMAL.replace(b"ann", b"\\ud800")
    yield NORMAL.replace(b"{", b'{"event_id":"first","type":[],', 1)
    yield NORMAL[:-1] + b',"properties":null,"properties":{"value":1}}'
    yield NORMAL + NORMAL
    for depth in (50, 198, 199, 200, 201, 2_000):
        yield _with(b"[" * depth + b"]" * depth)
        yield _with(b'{"a":' * depth + b"1" + b"}" * depth)


def _large() -> Iterator[bytes]:
    for line in (b"{}", b'{"a":0}', b'{"price":1}', b'{"category":1}', b'{"coupon":0}', b"[]"):
        yield NORMAL.replace(b'"value"', b'"products":[' + b",".join([line] * 499) + b'],"value"')
    yield order(500)
    yield order(501)
    for junk in (b"[]", b"{}", b"0", b"1.5e3", b'"\\u00e9"', b"[[[[[]]]]]", b'{"a":{}}', b"null"):
        yield _with(_list_of(junk, MAX_BYTES - 200))
        yield _with(_list_of(junk, 3_900))
        yield NORMAL.replace(b'"value"', b'"products":' + _list_of(junk, 3_000) + b',"value"')
    for fill in (b" ", b"\t", b"\x00", "é".encode()):
        yield NORMAL + fill * (MAX_BYTES - len(NORMAL))
    for field in ("event_id", "customer_id", "type", "timestamp", "session_id"):
        yield event(**{field: "7" * (MAX_BYTES - 200)})
    yield event(properties={"currency": "ß" * 5_000, "value": 1, "coupon": " " * 10_000})
    yield event(traits={f"{i:x}": i for i in range(2_500)})
    yield event(properties={f"{i:x}": i for i in range(2_500)})
    yield event(note="n" * 300 * 1024)
    yield event(properties={"products": [{"price": 1}] * (60 * 1024)})


def _with(junk: bytes) -> bytes:
    return NORMAL[:-1] + b',"context":' + junk + b"}"


def _list_of(item: bytes, size: int) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"
