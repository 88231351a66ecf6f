"""When fetches are sent, and a consumer that is at home in its worker's loop."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchError, FetchResult, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from stream import fetching
from stream.fetching import Arrivals, ConsumerInLoop, paced
from stream.records import FetchedRecord


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        monkeypatch.setattr(fetching, "monotonic", lambda: self.seconds)
        monkeypatch.setattr("stream.fetching.asyncio.sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def pauses(brought: list[bytes | None], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each fetch waited that followed one which brought this, in ms."""
    clock = Clock(monkeypatch)
    coming = iter([*brought, None])

    async def answer(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(topics=[("shoal.events", [(0, 0, 9, next(coming))])])

    send, waited = paced(answer, 0.003), []
    for _ in range(len(brought) + 1):
        before = clock.seconds
        await send(1, FetchRequest(20, 1, 1, 0, []))
        waited.append(round((clock.seconds - before) * 1000, 3))
    return waited[1:]


async def test_fetches_that_bring_little_follow_each_other_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await pauses([b"x", b"x" * 100], monkeypatch) == [3, 3]


async def test_fetches_that_bring_enough_follow_each_other_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await pauses([b"x" * 65_536] * 2, monkeypatch) == [0, 0]


async def test_fetches_that_bring_nothing_are_further_and_further_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing: list[bytes | None] = [None] * 5
    assert await pauses([*nothing, b"x", None], monkeypatch) == [3, 6, 12, 20, 20, 3, 6]


async def test_nothing_but_fetches_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def answer(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(topics=[])

    send = paced(answer, 0.003)
    await send(1, FetchRequest(20, 1, 1, 0, []))
    await send(1, SimpleNamespace())
    assert clock.seconds == 100.0


TP = TopicPartition("shoal.events", 3)


def arrived() -> FetchResult:
    """What a fetch has brought: three records, one without key and value."""
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for offset, said in enumerate([(b"ann", b"{}"), (None, None), (b"bob", b"[]")]):
        batch.append(offset, 1_700_000_000_000 + offset, *said, headers=[("h", b"x")])
    records = PartitionRecords(
        *(TP, MemoryRecords(bytes(batch.build())), [], 0, None, None, True, READ_UNCOMMITTED)
    )
    return FetchResult(TP, assignment=None, partition_records=records, backoff=0)


def test_what_arrives_is_read_as_aiokafka_reads_it() -> None:
    arrivals = Arrivals()
    arrivals[TP] = arrived()
    read, theirs = (list(result._partition_records) for result in (arrivals[TP], arrived()))
    assert {type(record) for record in read} == {FetchedRecord}
    assert {type(record) for record in theirs} == {ConsumerRecord}
    fields = FetchedRecord.__struct_fields__
    assert [[getattr(record, name) for name in fields] for record in read] == [
        [getattr(record, name) for name in fields] for record in theirs
    ]
    assert len(read) == 3


def test_an_error_that_arrives_is_passed_on() -> None:
    arrivals, error = Arrivals(), FetchError(error=OSError("gone"), backoff=0)
    arrivals[TP] = error
    assert arrivals[TP] is error


class Unstarted(ConsumerInLoop):
    """Without Faust's wiring: only what calls go through."""

    def __init__(self) -> None:
        """Nothing is needed."""


async def test_what_the_consumer_is_asked_for_happens_in_the_loop_that_asks() -> None:
    async def where() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        return threading.current_thread(), asyncio.get_running_loop()

    found = await Unstarted().call_thread(where)
    assert found == (threading.current_thread(), asyncio.get_running_loop())


async def test_what_the_consumer_does_not_await_is_called_as_well() -> None:
    assert await Unstarted().call_thread(dict, topic="shoal.events") == {"topic": "shoal.events"}


async def test_what_the_consumer_has_begun_goes_on_when_nobody_waits_for_it_any_more() -> None:
    begun, ended, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def seek() -> None:
        begun.set()
        await go_on.wait()
        ended.set()

    asking = asyncio.create_task(Unstarted().call_thread(seek))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    await asyncio.wait_for(ended.wait(), 5)
