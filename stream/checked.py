"""Events checked by pydantic, and what it finds told as one reason."""

from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from models.errors import ShoalError
from stream.contract import (
    MAX_BYTES,
    MAX_PARTS,
    SEGMENT_NAMES,
    SMALL_BYTES,
    Event,
    are_too_thin,
)

_OUR_NAMES = {theirs: ours for ours, theirs in SEGMENT_NAMES.items() if theirs != "event"}
_UNION_TAGS = frozenset({"str", "int", "float", "constrained-str", "constrained-int"})
# What model_validate calls, 0.6 µs later.
_VALIDATE: Callable[[Any], Event] = Event.__pydantic_validator__.validate_python


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


def checked(value: bytes) -> Event:
    """The event that these bytes are.

    Raises
    ------
    InvalidEvent
        They are none; nothing else is raised, whatever they are.
    """
    document = _document(value)
    if are_too_thin(_lines(document), len(value)):
        raise InvalidEvent(Reason.TOO_LARGE, "properties.products: lines that say nothing")
    try:
        return _VALIDATE(document)
    except ValidationError as error:
        raise _refusal(error) from None


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


def _lines(document: Any) -> int:
    given = document.get("properties") if isinstance(document, dict) else None
    lines = given.get("products") if isinstance(given, dict) else None
    return len(lines) if isinstance(lines, list) else 0


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
