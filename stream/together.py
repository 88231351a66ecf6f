"""What several callers ask for at nearly the same time, done at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from math import inf
from typing import Any, Generic, TypeVar

CANCEL_SECONDS = 1.0
# Until then those who have their replies go on, and what they ask for next is on its way.
APART_SECONDS = 0.001

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Together(Generic[Request, Reply]):
    """Gathers the requests of one turn of the event loop and handles them in one call.

    A small batch of events costs as much as a large one: array operations, writes to a socket
    and wake-ups are paid per call. Lanes that move at the same time share them.

    Parameters
    ----------
    handle
        Answers requests in order; a reply that is an exception is raised in its caller. What
        `handle` itself raises is raised in all callers.
    size, most
        How large a request is, and how large those of a call are together, unless it is one: the
        others are handled a moment later.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[Request]], Awaitable[Sequence[Reply | Exception]]],
        *,
        size: Callable[[Request], int] = lambda _: 1,
        most: float = inf,
    ) -> None:
        self._handle = handle
        self._size = size
        self._most = most
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Request) -> Reply:
        """The reply to one request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._start)
        self._waiting.append((request, future))
        return await future

    def _start(self) -> None:
        sizes = accumulate(self._size(request) for request, _ in self._waiting)
        count = max(sum(size <= self._most for size in sizes), 1)
        waiting, self._waiting = self._waiting[:count], self._waiting[count:]
        if self._waiting:
            asyncio.get_running_loop().call_later(APART_SECONDS, self._start)
        task = asyncio.create_task(self._answer(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, waiting: list[tuple[Request, asyncio.Future[Reply]]]) -> None:
        try:
            replies = await self._handle([request for request, _ in waiting])
        except Exception as error:  # noqa: BLE001 - it is raised in every caller
            replies = [error] * len(waiting)
        for (_, future), reply in zip(waiting, replies, strict=True):
            if future.done():
                continue  # its caller was cancelled
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Return once tasks have ended, whatever became of them; those that have not are cancelled."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        # Before Python 3.12 asyncio.wait_for, of which redis-py makes use, can lose a cancellation.
        await asyncio.wait(pending, timeout=CANCEL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
