"""The simulated shop's events over and over, at an even rate, each known by its number alone.

An hour of a large shop costs the simulator minutes and more memory than it is worth. Here some
thousands of its events follow each other in a circle, every time around under new ids; who asks
for an event by number gets the same one every time, so nobody has to keep what was sent.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp2
from typing import Any

from models.layout import DAY_MS
from stream.sources import SourceEvent, rfc3339

_ID = b'{"event_id":"'
_TIME = b'"timestamp":"'
_SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class Template:
    """An event whose id has no number yet, and which has no time."""

    customer_id: str
    head: bytes
    tail: bytes

    @classmethod
    def of(cls, event: SourceEvent) -> "Template":
        """Of an event as the simulator writes it."""
        before, mark, after = event.value.partition(_TIME)
        head = before.removeprefix(_ID) + mark
        return cls(event.customer_id, head, after[after.index(b'"') :])

    def at(self, turn: int, time: bytes) -> bytes:
        """The event in a turn around the circle, at a time in RFC 3339."""
        return b"%b%d-%b%b%b" % (_ID, turn, self.head, time, self.tail)

    @property
    def fields(self) -> dict[str, Any]:
        """What it says, id and time aside."""
        read: dict[str, Any] = json.loads(self.at(0, b""))
        return read


@dataclass(frozen=True, slots=True)
class Timeline:
    """Event `number` happens `number` intervals after `start_ms` (epoch milliseconds)."""

    circle: tuple[Template, ...]
    start_ms: int
    rate: float

    @classmethod
    def of(cls, events: Sequence[SourceEvent], *, start_ms: int, rate: float) -> "Timeline":
        """`rate` events a second from `start_ms` on.

        >>> event = SourceEvent("ann", 0, b'{"event_id":"e","timestamp":"then","type":"t"}')
        >>> [value for _, _, value in Timeline.of([event], start_ms=0, rate=2).between(0, 2)]
        ... # doctest: +NORMALIZE_WHITESPACE
        [b'{"event_id":"0-e","timestamp":"1970-01-01T00:00:00.000Z","type":"t"}',
         b'{"event_id":"1-e","timestamp":"1970-01-01T00:00:00.500Z","type":"t"}']
        """
        return cls(tuple(map(Template.of, events)), start_ms, rate)

    def time_ms(self, number: int) -> int:
        """When an event happens."""
        return self.start_ms + int(number / self.rate * _SECOND_MS)

    def until(self, at_ms: int) -> int:
        """How many events happen before a time."""
        return max(int((at_ms - self.start_ms) * self.rate / _SECOND_MS), 0)

    def between(self, first: int, end: int) -> Iterator[tuple[str, int, bytes]]:
        """Customer, time and value of the events from number `first` to before `end`."""
        second, prefix = -1, b""
        for number in range(first, end):
            turn, at = divmod(number, len(self.circle))
            template, time_ms = self.circle[at], self.time_ms(number)
            if time_ms // _SECOND_MS != second:
                second = time_ms // _SECOND_MS
                prefix = rfc3339(second * _SECOND_MS).encode()[:-4]
            time = b"%b%03dZ" % (prefix, time_ms % _SECOND_MS)
            yield template.customer_id, time_ms, template.at(turn, time)

    def times_of(self, at: int, end: int) -> list[int]:
        """When the event at a place of the circle happens, before number `end`."""
        return [self.time_ms(number) for number in range(at, end, len(self.circle))]


def decayed(times_ms: Iterable[int], now_ms: int, half_life_days: float) -> float:
    """How much events of these times still count: each one shrunk by its own age.

    >>> decayed([0, DAY_MS, 2 * DAY_MS], 2 * DAY_MS, half_life_days=1.0)
    1.75
    """
    half_life_ms = half_life_days * DAY_MS
    return sum(exp2((time_ms - now_ms) / half_life_ms) for time_ms in times_ms)
