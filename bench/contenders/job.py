"""What a contender is told, and what it tells: both are JSON files.

Only the standard library is imported, see `bench.contenders.profile`.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Self

PREFIX = "contender:"
"""What the Redis keys of contenders start with."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What contenders take over from Shoal's own run.

    Attributes
    ----------
    snapshot
        The model that Shoal's trainer published.
    batch
        How many events Shoal took at once, on average; as many as the floor does.
    profile_bytes
        How many bytes Shoal keeps of a customer, on average; as many as the floor writes.
    """

    snapshot: bytes
    batch: int
    profile_bytes: int


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a contender: where its servers are, how many events there are, and the terms.

    Attributes
    ----------
    warm_up
        How many events come first and are not measured.
    events
        How many come after them.
    """

    kafka: str
    redis: str
    events_topic: str
    changes_topic: str
    partitions: int
    warm_up: int
    events: int
    model: dict[str, Any]
    batch: int
    profile_bytes: int
    directory: str

    @classmethod
    def told(cls) -> Self:
        """The job whose file is named on the command line."""
        return cls(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

    @property
    def file(self) -> Path:
        """Where it is written down."""
        return Path(self.directory, "job.json")

    @property
    def result(self) -> Path:
        """Where the contender writes what it has measured."""
        return Path(self.directory, "result.json")

    def write(self) -> None:
        """Write it down for the contender."""
        self.file.write_text(json.dumps(asdict(self)), encoding="utf-8")


class Meter:
    """Time and processor time from the first event after the warm-up to the last that is in Redis.

    A contender measures itself: nobody is in its way, and its start does not count.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._since: tuple[float, float] | None = None
        self._before = self._begun = self._handled = 0

    def begin(self, events: int = 1) -> None:
        """So many more are there; those that come first after the warm-up start the clock."""
        self._begun += events
        if self._since is None and self._begun > self._job.warm_up:
            self._since = monotonic(), process_time()
            self._before = self._begun - events

    def count(self, events: int) -> bool:
        """So many more are in Redis; whether these were the last, which is told then."""
        self._handled += events
        if self._handled < self._job.warm_up + self._job.events or self._since is None:
            return False
        seconds, cpu = self._since
        result = {
            "events": self._handled - self._before,
            "seconds": monotonic() - seconds,
            "cpu_seconds": process_time() - cpu,
        }
        self._job.result.write_text(json.dumps(result), encoding="utf-8")
        return True
