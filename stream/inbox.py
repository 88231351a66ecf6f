"""Batches on their way to a lane."""

import asyncio
from collections import deque

from stream.transport import RecordBatch


class Inbox:
    """A queue that is emptied at once: what came during one step makes up the next.

    It begins closed. A closed inbox drops whatever comes, and nobody waits for it: batches that
    were read before a lane is claimed are read again from the lane's own offset.

    Parameters
    ----------
    limit
        Who puts waits while so many records are here.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[RecordBatch] = deque()
        self._held = 0
        self._is_open = False
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self.close()

    def open(self) -> None:
        """Begin to keep what comes."""
        self._is_open = True
        self._arrived.clear()

    def close(self) -> None:
        """Drop what is here and whatever comes; nobody waits any more."""
        self._is_open = False
        self._empty()
        self._arrived.set()

    async def put(self, batch: RecordBatch) -> None:
        """Add a batch, once there is room."""
        await self._has_room.wait()
        if not self._is_open:
            return
        self._batches.append(batch)
        self._held += len(batch.records)
        self._arrived.set()
        if self._held >= self._limit:
            self._has_room.clear()

    def __len__(self) -> int:
        """How many records are here."""
        return self._held

    async def arrival(self, seconds: float) -> bool:
        """Return when a batch is here, or False when none comes in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> list[RecordBatch]:
        """All batches that are here."""
        taken = list(self._batches)
        self._empty()
        if self._is_open:
            self._arrived.clear()
        return taken

    def _empty(self) -> None:
        self._batches.clear()
        self._held = 0
        self._has_room.set()
