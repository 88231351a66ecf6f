"""Batches on their way to a lane."""

import asyncio
from collections import deque

from stream.transport import RecordBatch


class Inbox:
    """A queue that is emptied at once: what came during one step makes up the next.

    Parameters
    ----------
    limit
        Who puts waits while so many records are here.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[RecordBatch] = deque()
        self._held = 0
        self._is_closed = False
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, batch: RecordBatch) -> None:
        """Add a batch, once there is room; a closed inbox drops it."""
        await self._has_room.wait()
        if self._is_closed:
            return
        self._batches.append(batch)
        self._held += len(batch.records)
        self._arrived.set()
        if self._held >= self._limit:
            self._has_room.clear()

    async def take(self, seconds: float) -> list[RecordBatch]:
        """All batches that are here, after waiting for one; empty when none comes in time."""
        if not self._batches and not self._is_closed:
            try:
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = list(self._batches)
        self._batches.clear()
        self._held = 0
        self._has_room.set()
        if not self._is_closed:
            self._arrived.clear()
        return taken

    def close(self) -> None:
        """Drop what is here and whatever comes; nobody waits any more."""
        self._is_closed = True
        self._batches.clear()
        self._held = 0
        self._arrived.set()
        self._has_room.set()
