"""A campaign: many payloads in chunks that can be repeated one by one, on all cores."""

import gc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from random import Random

from aiokafka import ConsumerRecord

from tests.fuzz.agreement import agree
from tests.fuzz.corpus import seeds
from tests.fuzz.cost import Cost, Yardstick, costs_of, once, yardstick
from tests.fuzz.examiner import TIMES_MS, Examiner, sent
from tests.fuzz.mutation import endless

CHUNK = 5_000
BATCH = 100
KEYS = (*[None] * 11, b"ann", b"c1", b"", b"\xff", b"k" * 300)
SUSPICIOUS = 1.3
SUSPECTS = 10
MEASURED = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that did what none may do, and the chunk that finds it again."""

    chunk: str
    what: str
    record: ConsumerRecord


@dataclass
class Findings:
    """What became of payloads; `suspects` seemed to cost most for their size."""

    payloads: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    suspects: list[tuple[float, ConsumerRecord]] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Count what another chunk found."""
        self.payloads += other.payloads
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.faults += other.faults
        self.suspects = _worst(self.suspects + other.suspects, MEASURED)

    def costs(self) -> list[Cost]:
        """What the suspects cost, measured with care; the highest ratio first."""
        return costs_of([record for _, record in self.suspects])


def run(payloads: int, *, seed: int, processes: int = 1) -> Iterator[Findings]:
    """What each chunk of so many payloads found; the same seed gives the same payloads."""
    numbers = range(-(-payloads // CHUNK))
    chunks = [(seed, number, min(CHUNK, payloads - number * CHUNK)) for number in numbers]
    if processes == 1:
        yield from map(examine, chunks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(examine, chunks)


def examine(chunk: tuple[int, int, int]) -> Findings:
    """Examine one chunk: the campaign's seed, its number, how many payloads.

    The first chunk begins with the corpus as it is.
    """
    seed, number, payloads = chunk
    random = Random(f"{seed}:{number}")
    values = chain(seeds() if number == 0 else (), endless(random))
    # As a worker does, or each collection looks at every module.
    gc.collect()
    gc.freeze()
    examination = _Examination(f"{seed}:{number}", yardstick(once))
    for begin in range(0, payloads, BATCH):
        offsets = range(begin, min(begin + BATCH, payloads))
        examination.take(
            [
                sent(offset, value, random.choice(KEYS), random.choice(TIMES_MS))
                for offset, value in zip(offsets, values, strict=False)
            ]
        )
    return examination.findings()


class _Examination:
    """A chunk under way."""

    def __init__(self, chunk: str, normal: Yardstick) -> None:
        self._chunk = chunk
        self._normal = normal
        self._examiner = Examiner()
        self._found = Findings()

    def take(self, records: list[ConsumerRecord]) -> None:
        """Read each record alone, then those that did no harm as a batch."""
        self._found.payloads += len(records)
        sound = [record for record in records if self._is_sound(record)]
        try:
            self._examiner.take(sound)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            self._find(error, self._culprit(sound))

    def findings(self) -> Findings:
        """What was found."""
        self._found.accepted = self._examiner.accepted
        self._found.rejected.update({r.value: n for r, n in self._examiner.rejected.items()})
        self._found.suspects = _worst(self._found.suspects, SUSPECTS)
        return self._found

    def _is_sound(self, record: ConsumerRecord) -> bool:
        normal = self._normal.of(record.value)
        try:
            # Once more if it seems slow: the first time may have been bad luck.
            ratio = once(record) / normal
            if ratio >= SUSPICIOUS:
                ratio = min(once(record) for _ in range(3)) / normal
            agree(record.value)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            self._find(error, record)
            return False
        if ratio >= SUSPICIOUS:
            self._found.suspects.append((ratio, record))
        return True

    def _culprit(self, records: list[ConsumerRecord]) -> ConsumerRecord:
        """The first record that does harm on its own; the last of all where none does."""
        for record in records:
            try:
                Examiner().take([record])
            except Exception:  # noqa: BLE001 - looked for
                return record
        return records[-1]

    def _find(self, error: Exception, record: ConsumerRecord) -> None:
        self._found.faults.append(Fault(self._chunk, repr(error), record))


def _worst(
    suspects: list[tuple[float, ConsumerRecord]], count: int
) -> list[tuple[float, ConsumerRecord]]:
    return sorted(suspects, key=lambda suspect: suspect[0], reverse=True)[:count]
