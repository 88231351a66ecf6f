"""Rows of a table, and objects of a file, as events.

Columns are the contract's names (`event_id` …) or Segment's (`messageId` …). Properties stand as
`properties.value` or, for those that Shoal reads, as `value`; traits as `traits.age`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stream.events import LAST_MS, MILLISECONDS_FROM
from stream.sources import SourceError, SourceEvent

_ENVELOPE = (
    *("event_id", "customer_id", "type", "timestamp", "sent_at", "session_id", "anonymous_id"),
    *("messageId", "userId", "event", "sentAt", "sessionId", "anonymousId"),
)
_NUMBERS = ("value", "quantity", "price", "discount", "revenue", "total")
_WORDS = ("currency", "category", "product_id", "channel", "campaign", "coupon", "order_id")
_NEEDED = (("customer_id", "userId"), ("type", "event"), ("timestamp",))
_EVENT_IDS = ("event_id", "messageId")
_TIMES = ("timestamp", "sent_at", "sentAt")


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column's cells go: `section` is empty for the envelope, or properties or traits."""

    section: str
    key: str

    @property
    def is_number(self) -> bool:
        return self.key in (_TIMES if not self.section else _NUMBERS)


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of a file become events."""

    name: str
    columns: tuple[_Column, ...]
    numbered: bool  # ids come from the row's number

    def event(self, row: int, cells: Sequence[object]) -> SourceEvent:
        """Event of one row; cells past the last column are left out."""
        event: dict[str, Any] = {"event_id": f"{self.name[-200:]}:{row}"} if self.numbered else {}
        for column, cell in zip(self.columns, cells, strict=False):
            plain = _cell(cell, column)
            if plain is not None:
                place = event.setdefault(column.section, {}) if column.section else event
                place[column.key] = plain
        value = json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str)
        return SourceEvent(customer_of(event), time_of(event), value.encode())


def read_header(name: str, header: Sequence[str]) -> Table:
    """How the rows below a header become events.

    Raises
    ------
    SourceError
        Columns that are unknown, missing or there twice.
    """
    names = [column.strip() for column in header]
    columns = [_column(column) for column in names]
    unknown = [column for column, place in zip(names, columns, strict=True) if place is None]
    if unknown:
        raise SourceError(
            name,
            f"has unknown columns {', '.join(map(repr, unknown))}: known columns are "
            f"{', '.join((*_ENVELOPE, *_NUMBERS, *_WORDS))}, properties.… and traits.…; "
            f"rename them or put them under properties, as properties.{unknown[0] or 'name'}",
        )
    known = [column for column in columns if column is not None]
    repeated = {column.key for column in known if known.count(column) > 1}
    if repeated:
        raise SourceError(name, f"has two columns for {', '.join(sorted(repeated))}: drop one")
    for alternatives in _NEEDED:
        if not any(_Column("", column) in known for column in alternatives):
            raise SourceError(
                name, f"has no column {' or '.join(alternatives)}: add it, every event needs one"
            )
    numbered = not any(_Column("", column) in known for column in _EVENT_IDS)
    return Table(name, tuple(known), numbered)


def _column(name: str) -> _Column | None:
    section, dot, key = name.partition(".")
    if dot and key and section in ("properties", "traits"):
        return _Column(section, key)
    if name in _ENVELOPE:
        return _Column("", name)
    return _Column("properties", name) if name in (*_NUMBERS, *_WORDS) else None


def _cell(cell: object, column: _Column) -> object:
    """Cell as JSON has it; None where it is empty."""
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if column.is_number:
        return _number(cell) if isinstance(cell, str) else cell
    if column.section or isinstance(cell, str | None):
        return cell
    # Frames with gaps keep whole numbers as floats: customer 12 must not become 12.0.
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _number(text: str) -> str | int | float:
    """The number that the text is, else the text."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number) or "_" in text:
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def read_object(value: bytes) -> SourceEvent:
    """The event in one JSON object, byte for byte; what it does not say is empty."""
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        event = {}
    return SourceEvent(customer_of(event), time_of(event), value)


def customer_of(event: Mapping[str, Any]) -> str:
    """Customer id of an event; empty where it has none that UTF-8 can write."""
    customer = event.get("customer_id")
    if customer is None:
        customer = event.get("userId")
    if isinstance(customer, int) and not isinstance(customer, bool):
        return str(customer)
    if not isinstance(customer, str):
        return ""
    try:
        customer.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell
        return ""
    return customer


def time_of(event: Mapping[str, Any]) -> int:
    """Epoch milliseconds of an event; 0 where its timestamp is none."""
    timestamp = event.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, str | int | float):
        return 0
    try:
        if isinstance(timestamp, str) and timestamp[4:5] == "-":
            moment = datetime.fromisoformat(timestamp)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            time_ms = seconds * 1000
        else:
            number = float(timestamp)
            time_ms = number if number >= MILLISECONDS_FROM else number * 1000
    except (ValueError, OverflowError):
        return 0
    return round(time_ms) if 0 < time_ms <= LAST_MS else 0
