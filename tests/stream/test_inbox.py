"""Batches on their way to a lane: taken together, held back when many, dropped at the end."""

import asyncio

from stream.inbox import Inbox
from stream.transport import RecordBatch
from tests.stream.lane_kit import event, record


def batch(*offsets: int) -> RecordBatch:
    return RecordBatch(
        0, [record(offset, event("ann", offset)) for offset in offsets], 1, offsets[0]
    )


def opened(limit: int) -> Inbox:
    inbox = Inbox(limit)
    inbox.open()
    return inbox


async def test_what_came_meanwhile_is_taken_together() -> None:
    inbox = opened(limit=10)
    await inbox.put(batch(0, 1))
    await inbox.put(batch(2))
    assert await inbox.arrival(1)
    assert [len(b.records) for b in inbox.take()] == [2, 1]
    assert not await inbox.arrival(0.001)
    assert inbox.take() == []


async def test_who_puts_too_much_waits_until_it_is_taken() -> None:
    inbox = opened(limit=2)
    await inbox.put(batch(0, 1))
    waiting = asyncio.create_task(inbox.put(batch(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(inbox.take()) == 1
    await waiting
    assert len(inbox.take()) == 1


async def test_a_batch_that_comes_ends_the_wait_for_it() -> None:
    inbox = opened(limit=2)
    waiting = asyncio.create_task(inbox.arrival(60))
    await asyncio.sleep(0)
    await inbox.put(batch(0))
    assert await waiting
    assert len(inbox.take()) == 1


async def test_a_closed_inbox_drops_everything_and_holds_nobody() -> None:
    inbox = opened(limit=1)
    await inbox.put(batch(0))
    held = asyncio.create_task(inbox.put(batch(1)))
    inbox.close()
    await held
    await inbox.put(batch(2))
    assert await inbox.arrival(60)
    assert inbox.take() == []


async def test_a_new_inbox_is_closed() -> None:
    inbox = Inbox(limit=1)
    await inbox.put(batch(0))
    await inbox.put(batch(1))
    inbox.open()
    assert not await inbox.arrival(0.001)
    assert inbox.take() == []
