"""A shop of which the truth is known: what every customer did, to the last event."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from tests.faults.garbage import garbage

CUSTOMERS = 6_000
START_MS = 1_500_000_000_000
STEP_MS = 30_000
DAY_MS = 86_400_000
PHASE_DAYS = 3
TYPES = ("product_viewed", "product_added", "order_completed", "email_opened")
# How often a customer does each of them, by phase: looking, filling carts, buying, reading.
HABITS = ((12, 2, 0, 1), (4, 8, 1, 0), (2, 2, 9, 1), (1, 0, 1, 9))


@dataclass(frozen=True, slots=True)
class Message:
    """A record to send; `is_event` is False for what must be rejected."""

    partition: int
    key: bytes | None
    value: bytes | None
    is_event: bool = True


@dataclass(slots=True)
class Tally:
    """What a customer did: events of each type in `TYPES`, money spent, time of the last event."""

    counts: list[int] = field(default_factory=lambda: [0] * len(TYPES))
    spent: int = 0
    last_ms: int = 0

    def expected(self) -> tuple[float, ...]:
        """The features that never fade, in the order of segmentation.yaml."""
        return (*map(float, self.counts), float(self.spent))


class Shop:
    """Endless messages, and what is true after those that were taken.

    Half of the events go round, so that whoever stays acts at least every four days; the other
    half falls on a few busy customers. One customer in ten leaves for good and is forgotten.

    Parameters
    ----------
    place
        Partition of a key, of `partitions`.
    twice
        Every event is sent twice, the second time some events later.
    garbage_share
        Share of messages that nobody can read.
    """

    def __init__(
        self,
        seed: int,
        place: Callable[[bytes], int],
        partitions: int,
        *,
        twice: bool = False,
        garbage_share: float = 0.0,
    ) -> None:
        self.truth: dict[str, Tally] = {}
        self.events = 0
        self.bad = 0
        self._random = Random(seed)
        self._place = place
        self._partitions = partitions
        self._twice = twice
        self._garbage_share = garbage_share
        self._number = 0
        self._turn = 0
        self._held: Message | None = None

    def __iter__(self) -> Iterator[Message]:
        while True:
            if self._random.random() < self._garbage_share:
                partition, key, value = garbage(self._random, self._place, self._partitions)
                self.bad += 1
                yield Message(partition, key, value, is_event=False)
            event = self._event()
            yield event
            if self._twice:
                if self._held is not None:
                    yield self._held
                self._held = event

    def forget(self) -> None:
        """Nothing is counted of what was done: the log that held it is gone."""
        for tally in self.truth.values():
            tally.counts, tally.spent = [0] * len(TYPES), 0
        self.bad = 0

    def move(self, place: Callable[[bytes], int], partitions: int) -> None:
        """The topic has another number of partitions from now on."""
        self._place, self._partitions = place, partitions

    def _event(self) -> Message:
        self._number += 1
        self.events += 1
        time_ms = START_MS + self._number * STEP_MS
        name = self._customer(time_ms)
        kind = self._kind(name, time_ms)
        value = self._random.randrange(1, 200) if kind == "order_completed" else 0
        key = name.encode()
        partition = self._place(key)
        tally = self.truth.setdefault(name, Tally())
        tally.counts[TYPES.index(kind)] += 1
        tally.spent += value
        tally.last_ms = time_ms
        content = {
            "event_id": f"e{self._number}",
            "customer_id": name,
            "type": kind,
            "timestamp": time_ms,
            "properties": {"value": value} if value else {},
        }
        return Message(partition, key, json.dumps(content).encode())

    def _customer(self, time_ms: int) -> str:
        if self._number % 2:
            self._turn += 1
            number = self._turn * 7 % CUSTOMERS
        else:
            number = int(self._random.paretovariate(0.6)) % CUSTOMERS
        return _name(number if not _has_left(number, time_ms) else number + 1)

    def _kind(self, name: str, time_ms: int) -> str:
        phase = (int(name[1:]) + (time_ms - START_MS) // (PHASE_DAYS * DAY_MS)) % len(HABITS)
        return self._random.choices(TYPES, HABITS[phase])[0]


def _name(number: int) -> str:
    return f"c{number:05}"


def _has_left(number: int, time_ms: int) -> bool:
    stays_days = 3 + number // 10 % 60
    return number % 10 == 0 and time_ms > START_MS + stays_days * DAY_MS
