"""A process says for which server it waits, whoever in it does."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from models.identifiers import CustomerId
from stream import publisher
from stream.names import Topics
from stream.producing import Message
from stream.store import Outcome, Step
from stream.waiting import is_waited_for, waiting
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import Kit, event, record, until
from tests.stream.training_kit import POPULATION, TrainingKit


async def test_a_wait_counts_only_once_it_is_long() -> None:
    with waiting("kafka", after_seconds=0.05):
        assert not is_waited_for("kafka")
        await until(lambda: is_waited_for("kafka"))
        assert not is_waited_for("redis")
    assert not is_waited_for("kafka")


async def test_whoever_waits_no_more_does_not_end_the_wait_of_others() -> None:
    with waiting("redis"):
        with waiting("redis"):
            pass
        assert is_waited_for("redis")
    assert not is_waited_for("redis")


class FullStore(MemoryStore):
    """Answers, and refuses every write while it is full."""

    is_full = False

    async def step(self, step: Step) -> Outcome:
        if self.is_full:
            raise OutOfMemoryError
        return await super().step(step)


async def test_a_lane_whose_step_redis_refuses_waits_for_redis() -> None:
    store = FullStore()
    kit = Kit(store)
    async with kit.running() as lane:
        store.is_full = True
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: is_waited_for("redis"))
        assert not lane.is_serving
        store.is_full = False
        await until(lambda: lane.is_serving)
        assert not is_waited_for("redis")


class SilentProducer:
    """Takes messages and does not say whether a broker has them."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.Event()

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> tuple[int, Awaitable[Any]]:
        assert (topic, partition) == ("shop.segment-changes", 5)
        return len(messages), asyncio.ensure_future(self.acknowledged.wait())


async def test_a_message_that_no_broker_acknowledges_makes_the_process_wait_for_kafka(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "AWAY_SECONDS", 0.05)
    producer = SilentProducer()
    telling = asyncio.create_task(
        publisher.Publisher(producer, Topics("shop"), lambda _: [5]).changes(
            [(CustomerId("ann"), b"1")]
        )
    )
    await asyncio.sleep(0)
    assert not is_waited_for("kafka")
    await until(lambda: is_waited_for("kafka"))
    producer.acknowledged.set()
    await telling
    assert not is_waited_for("kafka")


async def test_a_trainer_that_cannot_claim_waits_for_redis() -> None:
    kit = TrainingKit()
    kit.catalogue.fails = OutOfMemoryError()
    await kit.training.assign([POPULATION])
    await until(lambda: is_waited_for("redis"))
    await kit.training.quiesce()
    assert not is_waited_for("redis")
