import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from stream.replay import CHECK_EVERY, MAX_OUTSTANDING, FeedResult, feed
from stream.sources import SourceError, SourceEvent

HOUR_MS = 3_600_000
START_MS = 1_451_606_400_000


class LostError(Exception):
    """What a producer raises when Kafka has not answered."""


class FakeProducer:
    """Keeps what is sent; acknowledges at once, or when told."""

    def __init__(self, *, prompt: bool = True, fails_at: int | None = None) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None, int | None]] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.prompt = prompt
        self._fails_at = fails_at

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, partition: int | None
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if len(self.sent) == self._fails_at:
            future.set_exception(LostError())
        elif self.prompt:
            future.set_result(None)
        self.sent.append((topic, value, key, partition))
        self.futures.append(future)
        return future


class FakeClock:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.naps: list[float] = []

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds


def event(number: int, time_ms: int = START_MS) -> SourceEvent:
    return SourceEvent(f"c{number}", time_ms, b"%d" % number)


def at(*hours: float) -> list[SourceEvent]:
    return [event(n, START_MS + int(hour * HOUR_MS)) for n, hour in enumerate(hours)]


def last_byte(key: bytes) -> int:
    return key[-1] % 4


async def paced(events: list[SourceEvent], speed: float) -> FakeClock:
    clock = FakeClock()
    await feed(
        events, FakeProducer(), "events", last_byte, speed=speed, clock=clock.now, sleep=clock.sleep
    )
    return clock


async def test_an_event_goes_to_the_partition_of_its_customer() -> None:
    producer = FakeProducer()
    result = await feed(at(0, 2, 1), producer, "events", last_byte)
    assert producer.sent == [
        ("events", b"0", b"c0", last_byte(b"c0")),
        ("events", b"1", b"c1", last_byte(b"c1")),
        ("events", b"2", b"c2", last_byte(b"c2")),
    ]
    assert result == FeedResult(3, START_MS, START_MS + 2 * HOUR_MS)


async def test_an_event_without_customer_goes_to_partition_0_without_key() -> None:
    producer = FakeProducer()
    result = await feed([SourceEvent("", 0, b"bad")], producer, "events", lambda _: 3)
    assert producer.sent == [("events", b"bad", None, 0)]
    assert result == FeedResult(1, 0, 0)


async def test_no_more_than_the_limit_is_sent_nor_asked_of_the_source() -> None:
    asked = 0

    def endless() -> Iterator[SourceEvent]:
        nonlocal asked
        while True:
            asked += 1
            yield event(asked)

    result = await feed(endless(), FakeProducer(), "events", last_byte, limit=7)
    assert (result.sent, asked) == (7, 7)


async def test_an_empty_source_feeds_nothing() -> None:
    assert await feed([], FakeProducer(), "events", last_byte) == FeedResult(0, 0, 0)


async def settled() -> None:
    """Let every other task run until it waits."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_the_feed_ends_only_when_kafka_has_everything() -> None:
    producer = FakeProducer(prompt=False)
    task = asyncio.create_task(feed(at(0, 1), producer, "events", last_byte))
    await settled()
    producer.futures[0].set_result(None)
    await settled()
    assert not task.done()
    producer.futures[1].set_result(None)
    assert (await task).sent == 2


async def test_no_more_than_a_bounded_number_of_messages_is_outstanding() -> None:
    producer = FakeProducer(prompt=False)
    events = [event(n) for n in range(MAX_OUTSTANDING + 50)]
    task = asyncio.create_task(feed(events, producer, "events", last_byte))
    await settled()
    assert len(producer.sent) == MAX_OUTSTANDING
    producer.prompt = True
    for future in producer.futures:
        future.set_result(None)
    assert (await task).sent == MAX_OUTSTANDING + 50


async def test_an_error_of_the_producer_stops_the_feed() -> None:
    producer = FakeProducer(fails_at=3)
    with pytest.raises(LostError):
        await feed((event(n) for n in range(100)), producer, "events", last_byte)
    assert len(producer.sent) == 4


async def test_an_error_of_the_last_message_is_raised_too() -> None:
    producer = FakeProducer(prompt=False)
    task = asyncio.create_task(feed(at(0), producer, "events", last_byte))
    await settled()
    producer.futures[0].set_exception(LostError())
    with pytest.raises(LostError):
        await task


async def test_after_an_error_nobody_complains_about_the_others() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    producer = FakeProducer(prompt=False)
    task = asyncio.create_task(feed(at(0, 1), producer, "events", last_byte))
    await settled()
    for future in producer.futures:
        future.set_exception(LostError())
    with pytest.raises(LostError):
        await task
    await settled()
    del task, future
    producer.futures.clear()
    gc.collect()
    assert complaints == []


async def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    told: list[tuple[int, int]] = []
    events = [event(n, START_MS + n) for n in range(CHECK_EVERY * 2 + 1)]
    await feed(
        events, FakeProducer(), "events", last_byte, on_progress=lambda *said: told.append(said)
    )
    assert told == [(n, START_MS + n - 1) for n in (CHECK_EVERY, CHECK_EVERY * 2, len(events))]


async def test_the_feed_is_held_back_while_it_has_to_wait() -> None:
    producer = FakeProducer()
    gate = asyncio.Event()

    async def wait(sent: int) -> None:
        assert sent == len(producer.sent)
        await gate.wait()

    events = [event(n) for n in range(CHECK_EVERY + 1)]
    task = asyncio.create_task(feed(events, producer, "events", last_byte, wait=wait))
    await settled()
    assert len(producer.sent) == CHECK_EVERY
    gate.set()
    assert (await task).sent == len(events)


async def test_other_tasks_run_while_the_producer_never_blocks() -> None:
    producer = FakeProducer()
    seen: list[int] = []

    async def watch() -> None:
        seen.append(len(producer.sent))

    watching = asyncio.create_task(watch())
    await feed((event(n) for n in range(CHECK_EVERY * 3)), producer, "events", last_byte)
    await watching
    assert seen == [CHECK_EVERY]


async def test_event_time_passes_at_the_speed_asked_for() -> None:
    clock = await paced(at(0, 1, 1, 3), speed=3600)
    assert clock.naps == pytest.approx([1, 2])


async def test_time_spent_on_sending_is_not_slept_again() -> None:
    clock = FakeClock()

    def slow(key: bytes) -> int:
        clock.seconds += 0.25
        return last_byte(key)

    await feed(
        at(0, 1, 2), FakeProducer(), "events", slow, speed=3600, clock=clock.now, sleep=clock.sleep
    )
    assert clock.naps == pytest.approx([0.75, 0.75])


async def test_without_a_speed_nobody_sleeps() -> None:
    clock = FakeClock()
    await feed(at(0, 5), FakeProducer(), "events", last_byte, clock=clock.now, sleep=clock.sleep)
    assert clock.naps == []


async def test_a_late_event_goes_at_once_and_costs_no_pace() -> None:
    clock = await paced(at(0, 2, 1, 3), speed=3600)
    assert clock.naps == pytest.approx([2, 1])


async def test_an_event_without_a_time_goes_at_once() -> None:
    unreadable = SourceEvent("", 0, b"bad")
    first, last = at(0, 1)
    clock = await paced([unreadable, first, unreadable, last], speed=3600)
    assert clock.naps == pytest.approx([1])


@pytest.mark.parametrize("hours", [1_000_000, -400_000])
async def test_one_wrong_date_neither_stops_nor_hurries_the_feed(hours: float) -> None:
    clock = await paced(at(0, hours, 1, 2), speed=3600)
    assert clock.naps == pytest.approx([1, 1])


async def test_a_silence_of_many_days_lasts_one() -> None:
    clock = await paced(at(0, 24 * 30, 24 * 30, 24 * 30 + 1), speed=3600)
    assert clock.naps == pytest.approx([24, 1])


async def test_a_wrong_first_date_does_not_unpace_the_rest() -> None:
    clock = await paced(at(1_000_000, 0, 0, 1), speed=3600)
    assert clock.naps == pytest.approx([1])


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
async def test_a_speed_that_gets_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(SourceError, match="is not above 0"):
        await paced(at(0), speed=speed)
