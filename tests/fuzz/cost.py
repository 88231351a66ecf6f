"""What a payload costs a worker, beside what a normal one of its size does.

A normal event is a view of a product; a larger one is an order, of as many lines as fit. Whatever
is refused for its size alone has the cost of a view to be measured by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns

import numpy as np
from aiokafka import ConsumerRecord

from stream.batches import read_batch
from stream.events import MAX_BYTES
from tests.fuzz.corpus import NORMAL, order
from tests.fuzz.examiner import READING, read_one, sent
from tests.stream.wire import NOW_MS

LINES = (1, 20, 100, 250, 460)
COPIES = 20
REPEATS = 7
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Cost of normal events, in nanoseconds, by their size in bytes, both ascending."""

    sizes: Sequence[int]
    costs: Sequence[float]

    def of(self, value: bytes | None) -> float:
        """What a normal event as large as `value` costs, nanoseconds."""
        size = len(value or b"")
        return self.costs[0] if size > MAX_BYTES else float(np.interp(size, self.sizes, self.costs))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a payload costs: CPU time, and how many times that of a normal event of its size."""

    microseconds: float
    ratio: float
    size: int
    value: bytes


def once(record: ConsumerRecord) -> int:
    """Nanoseconds of CPU to read the record alone: quick, and good enough to suspect it."""
    started = thread_time_ns()
    read_one(record)
    return thread_time_ns() - started


def in_a_batch(record: ConsumerRecord) -> float:
    """Nanoseconds of CPU to read the record among others, as a worker does; the median."""
    records = [record] * COPIES

    def read() -> None:
        read_batch(records, partition=0, now_ms=NOW_MS, known=(), reading=READING)

    return median(_timed(read) for _ in range(REPEATS)) / COPIES


def _timed(work: Callable[[], None]) -> int:
    started = thread_time_ns()
    work()
    return thread_time_ns() - started


def yardstick(measure: Callable[[ConsumerRecord], float]) -> Yardstick:
    """What normal events cost, as this measures them."""
    normal = [NORMAL, *map(order, LINES)]
    costs = [median(measure(sent(0, v, None, NOW_MS)) for _ in range(REPEATS)) for v in normal]
    # A machine that is busy for a moment must not make a larger event the cheaper one.
    return Yardstick([len(v) for v in normal], np.maximum.accumulate(costs).tolist())


def costs_of(suspects: Sequence[ConsumerRecord]) -> list[Cost]:
    """What suspects really cost, the highest ratio first: the median of rounds, each with its own
    yardstick, so that a machine that slows down slows both."""
    ratios: list[list[float]] = [[] for _ in suspects]
    spent: list[list[float]] = [[] for _ in suspects]
    for _ in range(ROUNDS):
        normal = yardstick(in_a_batch)
        for at, record in enumerate(suspects):
            spent[at].append(in_a_batch(record))
            ratios[at].append(spent[at][-1] / normal.of(record.value))
    found = [
        Cost(median(s) / 1000, median(r), len(record.value or b""), record.value or b"")
        for s, r, record in zip(spent, ratios, suspects, strict=True)
    ]
    return sorted(found, key=lambda cost: cost.ratio, reverse=True)
