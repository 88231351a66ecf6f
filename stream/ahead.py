"""Reading ahead: the next events of a backlog are decoded while Redis has the step before."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from stream.batches import EventBatch
from stream.records import Record

# By then the step is on its way: what is read before that would hold it up.
SENT_SECONDS = 0.001


class ReadAhead:
    """Records in parts, each read once: when it is taken, or while the one before is being stored.

    Parameters
    ----------
    size
        Most records of a part.
    read
        Makes a batch of a part.
    """

    def __init__(
        self, records: Sequence[Record], size: int, read: Callable[[Sequence[Record]], EventBatch]
    ) -> None:
        self._parts = deque(records[at : at + size] for at in range(0, len(records), size))
        self._read = read
        self._next: EventBatch | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self) -> tuple[Sequence[Record], EventBatch]:
        """The next part, and what it says."""
        part, batch, self._next = self._parts.popleft(), self._next, None
        return part, self._read(part) if batch is None else batch

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Read the next part in here, if there is one and what is waited for takes its time."""
        soon = asyncio.get_running_loop().call_later(SENT_SECONDS, self._read_next)
        try:
            yield
        finally:
            soon.cancel()

    def _read_next(self) -> None:
        if self._parts and self._next is None:
            self._next = self._read(self._parts[0])
