"""What an event tells beside what happened: who the customer is, and over which channel they came.

Segment's libraries put both into a `context`, which may be anything elsewhere, and so is never
refused.
"""

from collections.abc import Mapping

from stream.wire import WireContext

MAX_CHANNEL = 64


def traits_of(
    own: Mapping[str, object] | None, context: WireContext | None
) -> Mapping[str, object] | None:
    """The traits of an event, else those of its context.

    >>> traits_of(None, WireContext(traits={"age": 42}))
    {'age': 42}
    """
    if own is None and context is not None:
        return context.traits if isinstance(context.traits, dict) else None
    return own


def channel_of(own: str | int | None, context: WireContext | None) -> str | None:
    """The channel of an event, else that of its context, at most 64 characters; None for blank.

    >>> channel_of(None, WireContext(channel=" store "))
    'store'
    """
    if own is None:
        if context is None or not isinstance(context.channel, str):
            return None
        own = context.channel
    return str(own)[:MAX_CHANNEL].strip() or None
