"""Reading ahead while a step is with Redis."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ahead import SENT_SECONDS, ReadAhead
from stream.batches import EventBatch, read_batch
from stream.records import FetchedRecord, Record
from stream.store import Outcome, Step
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import Kit, event, record, until


class Reader:
    """Remembers what was read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def __call__(self, records: Sequence[Record]) -> EventBatch:
        self.read.append([record.offset for record in records])
        return EventBatch(offset=self.read[-1])


def has_read_more(reader: Reader, than: int) -> bool:
    return len(reader.read) > than


def records(n: int) -> list[Record]:
    return [FetchedRecord("events", 0, offset, 1, None, b"") for offset in range(n)]


@given(n=st.integers(0, 9), size=st.integers(1, 4), waits=st.lists(st.booleans(), max_size=9))
def test_each_part_is_read_once_and_in_order(n: int, size: int, waits: list[bool]) -> None:
    async def main() -> None:
        reader, taken = Reader(), list[int]()
        parts = ReadAhead(records(n), size, reader)
        while parts:
            part, batch = parts.take()
            assert [record.offset for record in part] == batch.offset
            taken += batch.offset
            with parts.meanwhile():
                if parts and waits and waits.pop():
                    await until(partial(has_read_more, reader, len(reader.read)))
        assert taken == list(range(n))
        assert [offset for part in reader.read for offset in part] == taken

    asyncio.run(main())


async def test_what_is_soon_over_is_no_time_to_read() -> None:
    reader = Reader()
    parts = ReadAhead(records(3), 1, reader)
    parts.take()
    with parts.meanwhile():
        await asyncio.sleep(0)
    # The next is read when it is taken, not by a timer that was left behind.
    with parts.meanwhile():
        await until(lambda: len(reader.read) > 1)
    with parts.meanwhile():
        await asyncio.sleep(2 * SENT_SECONDS)
    assert reader.read == [[0], [1]]
    assert parts.take()[1].offset == [1]
    assert reader.read == [[0], [1]]


async def test_after_the_last_part_there_is_nothing_to_read() -> None:
    reader = Reader()
    parts = ReadAhead(records(1), 1, reader)
    parts.take()
    with parts.meanwhile():
        await asyncio.sleep(0.01)
    assert not parts
    assert reader.read == [[0]]


class SlowStore(MemoryStore):
    """Redis that does not answer yet."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()

    async def step(self, step: Step) -> Outcome:
        self.asked += 1
        await self.answers.wait()
        return await super().step(step)


async def test_a_lane_reads_on_while_redis_has_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def read_and_count(records: Sequence[Record], **options: Any) -> EventBatch:
        read.append(len(records))
        return read_batch(records, **options)

    monkeypatch.setattr("stream.lanes.read_batch", read_and_count)
    store = SlowStore()
    kit = Kit(store)
    async with kit.running() as lane:
        names = ("ann", "bob", "cai")
        orders = [record(at, event(names[at % 3], at)) for at in range(150)]
        await lane.inbox.put(kit.kafka.batch(*orders))
        await until(lambda: read == [100, 50])
        assert (store.asked, lane.next_offset) == (1, 0)
        store.answers.set()
        await until(lambda: lane.next_offset == 150)
    assert read == [100, 50]
    assert kit.orders() == dict.fromkeys(names, 50)
