"""A server that falls silent is away, and only then; waiting is counted while it lasts."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.pulse import LONGEST_TICK_SECONDS, Pulse, Sign
from stream.together import cancelled
from stream.waiting import AWAY_SECONDS, SERVERS, Server, waiting
from tests.stream.lane_kit import until


class Scripted:
    """A server that answers, refuses or hangs."""

    def __init__(self) -> None:
        self.answer: Callable[[], Awaitable[object]] = self.answers
        self.asked = 0
        self.is_closed = False

    async def ask(self) -> None:
        self.asked += 1
        await self.answer()

    async def close(self) -> None:
        self.is_closed = True

    async def until_asked_again(self) -> None:
        asked = self.asked
        await until(lambda: self.asked > asked)

    async def answers(self) -> None:
        """At once."""

    async def refuses(self) -> None:
        raise RedisConnectionError("connection refused")

    async def hangs(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def beating(*signs: Sign) -> AsyncIterator[Pulse]:
    pulse = Pulse(dict(zip(SERVERS, signs, strict=True)))
    task = asyncio.create_task(pulse.run())
    try:
        yield pulse
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def waited(server: Server) -> float:
    return REGISTRY.get_sample_value("shoal_waiting_seconds_total", {"server": server}) or 0.0


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
async def test_a_server_that_refuses_or_hangs_is_away_until_it_answers_again(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kafka, redis = Scripted(), Scripted()
    async with beating(kafka, redis) as pulse:
        await until(lambda: redis.asked)
        assert pulse.servers_answer
        redis.answer = getattr(redis, fault)
        before = waited("redis"), waited("kafka")
        await until(lambda: not pulse.servers_answer)
        await until(lambda: waited("redis") > before[0])
        redis.answer = redis.answers
        await until(lambda: pulse.servers_answer)
        after = waited("redis")
        await redis.until_asked_again()
        assert (waited("redis"), waited("kafka")) == (after, before[1])
    (away, back) = [record.getMessage() for record in caplog.records]
    assert away.startswith("redis does not answer: ")
    assert back == "redis answers"
    assert kafka.is_closed
    assert redis.is_closed


async def test_a_server_that_misses_one_question_is_not_away() -> None:
    kafka, redis = Scripted(), Scripted()
    async with beating(kafka, redis) as pulse:
        await until(lambda: kafka.asked)
        kafka.answer = kafka.refuses
        await kafka.until_asked_again()
        kafka.answer = kafka.answers
        before = waited("kafka")
        asked = kafka.asked
        while kafka.asked < asked + 2:
            assert pulse.servers_answer
            await asyncio.sleep(0.01)
        assert waited("kafka") == before


async def test_a_process_that_was_busy_does_not_blame_a_server() -> None:
    async with beating(Scripted(), Scripted()) as pulse:
        for _ in range(3):
            time.sleep(AWAY_SECONDS)  # noqa: ASYNC251 - the loop must not turn
            await asyncio.sleep(LONGEST_TICK_SECONDS)
            assert pulse.servers_answer


async def test_whoever_waits_for_a_server_that_answers_makes_it_count_as_away_once() -> None:
    async with beating(Scripted(), Scripted()) as pulse:
        before, started = waited("redis"), time.monotonic()
        with waiting("redis"), waiting("redis"), waiting("redis"):
            assert not pulse.servers_answer
            await until(lambda: waited("redis") - before > LONGEST_TICK_SECONDS)
            assert waited("redis") - before <= time.monotonic() - started
        assert pulse.servers_answer


async def test_a_fault_that_nobody_expected_ends_the_pulse() -> None:
    async def breaks() -> None:
        raise ZeroDivisionError

    redis = Scripted()
    redis.answer = breaks
    with pytest.raises(ZeroDivisionError):
        await Pulse({"redis": redis}).run()
    assert redis.is_closed


async def test_a_client_that_loses_a_cancellation_does_not_keep_the_pulse_alive() -> None:
    async def is_deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    redis = Scripted()
    redis.answer = is_deaf
    task = asyncio.create_task(Pulse({"redis": redis}).run())
    await until(lambda: redis.asked == 1)
    async with asyncio.timeout(10):
        await cancelled(task)
    assert redis.is_closed
