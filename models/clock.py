"""Event time of a partition: what *now* is while the past is replayed."""

from collections.abc import Sequence
from dataclasses import dataclass

DAY_MS = 86_400_000
CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True)
class EventClock:
    """Highest event time that can be believed, in epoch milliseconds.

    A jump of more than a day is believed only when `CONFIRMATIONS` events in a row stand beyond
    it, so that one wrong date lapses nobody. Before that many events, the earliest is *now*.

    >>> clock = EventClock().advance([1000, 2000, 1500])
    >>> clock.now_ms
    2000
    >>> clock.advance([99 * DAY_MS]).now_ms
    2000
    >>> clock.advance([99 * DAY_MS, 3000, 99 * DAY_MS, 99 * DAY_MS]).now_ms
    3000
    >>> clock.advance([99 * DAY_MS, 99 * DAY_MS + 5, 99 * DAY_MS + 7]).now_ms == 99 * DAY_MS + 7
    True
    """

    time_ms: int = 0
    jumps: tuple[int, ...] = ()

    @property
    def now_ms(self) -> int:
        """The time to compute vectors at; 0 when no event was ever seen."""
        return self.time_ms or min(self.jumps, default=0)

    def advance(self, times_ms: Sequence[int]) -> "EventClock":
        """The clock after events with these times, in order of arrival."""
        if self.time_ms and times_ms and not self.jumps and max(times_ms) <= self.time_ms + DAY_MS:
            # Nothing jumps, the usual case: the same as one by one, a hundred times as fast.
            return EventClock(max(self.time_ms, *times_ms))
        clock = self
        for event_ms in times_ms:
            clock = clock._after(event_ms)
        return clock

    def _after(self, event_ms: int) -> "EventClock":
        if self.time_ms and event_ms <= self.time_ms + DAY_MS:
            if event_ms > self.time_ms:
                return EventClock(event_ms)
            is_straggler = event_ms < self.time_ms - DAY_MS
            return self if is_straggler or not self.jumps else EventClock(self.time_ms)
        jumps = (*self.jumps, event_ms)
        if len(jumps) < CONFIRMATIONS:
            return EventClock(self.time_ms, jumps)
        first, *others = sorted(jumps)
        confirmed = EventClock(first)
        for jump in others:
            if jump <= confirmed.time_ms + DAY_MS:
                confirmed = EventClock(jump)
        return confirmed

    def to_text(self) -> str:
        """Stored form, kept in the lane."""
        return ",".join(map(str, (self.time_ms, *self.jumps)))

    @classmethod
    def from_text(cls, text: str) -> "EventClock":
        """The clock that `to_text` wrote; empty text is a new clock."""
        if not text:
            return cls()
        time_ms, *jumps = map(int, text.split(","))
        return cls(time_ms, tuple(jumps))
