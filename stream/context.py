"""What an event tells beside what happened: who the customer is, and over which channel they came.

Segment's libraries put both into a `context`, which may be anything elsewhere, and so is never
refused.
"""

from collections.abc import Mapping

MAX_CHANNEL = 64


def traits_of(own: Mapping[str, object] | None, context: object) -> Mapping[str, object] | None:
    """The traits of an event, else those of its context.

    >>> traits_of(None, {"traits": {"age": 42}})
    {'age': 42}
    """
    if own is None and isinstance(context, dict):
        told = context.get("traits")
        return told if isinstance(told, dict) else None
    return own


def channel_of(own: str | int | None, context: object) -> str | None:
    """The channel of an event, else that of its context, at most 64 characters; None for blank.

    >>> channel_of(None, {"channel": " store "})
    'store'
    """
    if own is None:
        told = context.get("channel") if isinstance(context, dict) else None
        if not isinstance(told, str):
            return None
        own = told
    return str(own)[:MAX_CHANNEL].strip() or None
