"""Requests that share a call."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from stream.together import Together, cancelled


async def test_what_is_asked_at_once_is_handled_at_once() -> None:
    calls: list[list[int]] = []

    async def double(requests: Sequence[int]) -> list[int]:
        calls.append(list(requests))
        return [2 * request for request in requests]

    ask = Together(double)
    assert await asyncio.gather(*(ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert await ask(7) == 14
    assert calls == [[0, 1, 2, 3, 4], [7]]


async def test_who_is_too_much_for_a_call_is_in_the_next_once_the_first_have_gone_on() -> None:
    calls: list[list[int]] = []
    went_on: list[list[int]] = []

    async def handle(requests: Sequence[int]) -> list[int]:
        went_on.append(list(replied))
        calls.append(list(requests))
        return list(requests)

    replied: list[int] = []
    ask = Together(handle, size=abs, most=10)

    async def use(request: int) -> None:
        replied.append(await ask(request))

    await asyncio.gather(*(use(n) for n in (3, 7, 1, 40, 2)))
    assert calls == [[3, 7], [1], [40], [2]]
    assert went_on == [[], [3, 7], [3, 7, 1], [3, 7, 1, 40]]


async def test_an_error_reaches_the_one_it_belongs_to() -> None:
    async def invert(requests: Sequence[int]) -> list[float | Exception]:
        return [1 / request if request else ZeroDivisionError("zero") for request in requests]

    ask: Together[int, float] = Together(invert)
    replies = await asyncio.gather(ask(2), ask(0), ask(4), return_exceptions=True)
    assert (replies[0], replies[2]) == (0.5, 0.25)
    assert isinstance(replies[1], ZeroDivisionError)


async def test_a_failure_of_the_call_reaches_everybody() -> None:
    async def fail(_: Sequence[int]) -> list[int]:
        raise ConnectionError("gone")

    ask = Together(fail)
    replies = await asyncio.gather(ask(1), ask(2), return_exceptions=True)
    assert [type(reply) for reply in replies] == [ConnectionError, ConnectionError]


async def test_a_caller_that_gives_up_leaves_the_others_their_replies() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(requests: Sequence[int]) -> list[int]:
        begun.set()
        await go_on.wait()
        return list(requests)

    ask = Together(wait)
    impatient, patient = asyncio.create_task(ask(1)), asyncio.create_task(ask(2))
    await begun.wait()
    impatient.cancel()
    go_on.set()
    assert await patient == 2
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_task_that_misses_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.together.CANCEL_SECONDS", 0.01)
    missed = asyncio.Event()

    async def careless() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        missed.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(careless())
    await asyncio.sleep(0)
    await cancelled(task)
    assert missed.is_set()
    assert task.cancelled()
