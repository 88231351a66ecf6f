"""That what msgspec decodes is what pydantic reads, to the letter."""

from msgspec.structs import asdict

from stream.checked import checked
from stream.wire import WireEvent, as_decoded, decoded


def agree(value: bytes | None) -> None:
    """Return if pydantic alone would give the same event, or msgspec leaves it to pydantic.

    Raises
    ------
    AssertionError
        It would give another, or refuse.
    """
    quick = None if value is None else decoded(value)
    if value is None or quick is None:
        return
    # Of their representation, since -0.0 == 0.0 and 1 == 1.0.
    assert told(quick) == told(as_decoded(checked(value))), "msgspec reads what pydantic does not"


def told(event: WireEvent) -> str:
    """Everything that an event says by our names, but whose browser it was."""
    fields = asdict(event).items()
    return repr({name: value for name, value in fields if name in COMPARED})


COMPARED = frozenset(WireEvent.__struct_fields__) - {
    *(name for name in WireEvent.__struct_fields__ if name.startswith("their_")),
    "anonymous_id",
}
