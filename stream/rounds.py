"""Rounds: lanes of a worker that begin their steps together, so that they can share work."""

import asyncio
from collections.abc import Hashable

LONGEST_SECONDS = 0.05


class Rounds:
    """Holds back who would begin while others are at work, for a moment.

    A step of one event costs nearly as much as one of fifty, and steps that begin in the same turn
    of the event loop share array operations and round trips. While nobody is at work a step begins
    at once; otherwise with the next round, and by then more events may have come. Who waits has
    waited at most `longest_seconds`: steps of a backlog take longer, and overlap.
    """

    def __init__(self, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._longest_seconds = longest_seconds
        self._at_work: set[Hashable] = set()
        self._coming: set[Hashable] = set()
        self._is_open = True
        self._next = asyncio.Event()
        self._meeting = asyncio.Event()

    async def begin(self, who: Hashable) -> None:
        """Return when a round begins, of which `who` is then a part until `end`."""
        loop = asyncio.get_running_loop()
        if not self._is_open:
            await self._pulse(self._next)
        self._at_work.add(who)
        self._coming.add(who)
        # Whoever begins in this turn of the event loop is in time, and is met.
        loop.call_soon(self._close)
        await asyncio.sleep(0)

    async def meet(self, who: Hashable) -> None:
        """Return, in one turn of the event loop, when all who are at work have come this far.

        Who has not begun with others waits for nobody.
        """
        if who not in self._at_work:
            return
        self._coming.discard(who)
        if self._coming:
            await self._pulse(self._meeting)
        else:
            _wake(self._meeting)
            await asyncio.sleep(0)

    def end(self, who: Hashable) -> None:
        """Be at work no more; others may begin once nobody is."""
        self._at_work.discard(who)
        self._coming.discard(who)
        if not self._coming:
            _wake(self._meeting)
        if not self._at_work:
            self._is_open = True
            _wake(self._next)

    def _close(self) -> None:
        self._is_open = not self._at_work

    async def _pulse(self, event: asyncio.Event) -> None:
        late = asyncio.get_running_loop().call_later(self._longest_seconds, _wake, event)
        try:
            await event.wait()
        finally:
            late.cancel()


def _wake(event: asyncio.Event) -> None:
    event.set()
    event.clear()
