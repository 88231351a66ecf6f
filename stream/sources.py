"""Where events come from, and the one way to open it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from models.errors import ShoalError

FILE_KINDS = ".csv, .jsonl, .ndjson, .json or .parquet"
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class SourceError(ShoalError):
    """A source cannot be opened or read on.

    Attributes
    ----------
    source
        What was asked for: a file's name, `simulator` or `completejourney`.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source} {problem}")
        self.source = source


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """One event on its way to Kafka.

    Attributes
    ----------
    customer_id
        Key of the message; empty where no customer could be read.
    time_ms
        Event time, epoch milliseconds; 0 where it could not be read.
    value
        JSON of the event, or the bytes that a file had in its place.
    """

    customer_id: str
    time_ms: int
    value: bytes


class Source(Protocol):
    """Events, the same ones each time they are iterated over.

    The simulator and Complete Journey are in event-time order; a file keeps its own order.
    """

    @property
    def name(self) -> str:
        """What to call the source in messages and progress."""

    @property
    def total(self) -> int | None:
        """Number of events; None when unknown or endless."""

    def __iter__(self) -> Iterator[SourceEvent]: ...


def open_source(spec: str, *, seed: int = 7, customers: int | None = None) -> Source:
    """Source named by `spec`, ready to iterate over.

    Parameters
    ----------
    spec
        `simulator`, `completejourney`, or a path ending .csv, .jsonl, .ndjson, .json or .parquet.
    seed, customers
        For the simulator: same seed, same events; how many customers (2 000 when None).

    Raises
    ------
    SourceError
        Unknown spec, missing file or extra, columns that Shoal does not know.
    """
    # Each kind takes SourceEvent from this module, and brings pandas or pyarrow only when asked.
    from stream import files, journey, simulate  # noqa: PLC0415

    if spec == "simulator":
        count = simulate.DEFAULT_CUSTOMERS if customers is None else customers
        return simulate.open_simulator(seed=seed, customers=count)
    if customers is not None:
        raise SourceError(
            spec, "brings its own customers: leave the number of customers out, or use simulator"
        )
    if spec == "completejourney":
        return journey.open_journey()
    path = Path(spec)
    openers: dict[str, Callable[[Path], Source]] = {
        ".csv": files.open_csv,
        ".jsonl": files.open_jsonl,
        ".ndjson": files.open_jsonl,
        ".json": files.open_jsonl,
        ".parquet": files.open_parquet,
    }
    opener = openers.get(path.suffix.lower())
    if opener is None:
        raise SourceError(
            repr(spec),
            f"is no source: say simulator, completejourney, or a path ending {FILE_KINDS}",
        )
    if not path.is_file():
        raise SourceError(spec, "is not a file: check the path")
    return opener(path)


@lru_cache(maxsize=1024)
def _day(day: int) -> str:
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def rfc3339(time_ms: int) -> str:
    """Epoch milliseconds as RFC 3339 in UTC.

    >>> rfc3339(1451606400123)
    '2016-01-01T00:00:00.123Z'
    """
    # Three times as fast as datetime.isoformat, and called for every simulated event.
    seconds, millis = divmod(time_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{_day(day)}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
