"""Handled events are deleted, and no others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from bench import forgetting
from config.settings import Settings
from stream.names import Topics

SETTINGS = Settings(partitions=2)
TOPIC = Topics(SETTINGS.namespace).events


class Broker:
    """An admin client that remembers up to where each partition was deleted."""

    def __init__(self) -> None:
        self.deleted: dict[TopicPartition, int] = {}
        self.asked = asyncio.Event()
        self.fails = False

    async def delete_records(self, wanted: dict[TopicPartition, RecordsToDelete]) -> None:
        self.asked.set()
        if self.fails:
            raise KafkaError("it cannot be deleted")
        self.deleted |= {at: record.before_offset for at, record in wanted.items()}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()

    @asynccontextmanager
    async def reach(_: Settings) -> AsyncIterator[Broker]:
        yield broker

    monkeypatch.setattr(forgetting, "reach_kafka", reach)
    monkeypatch.setattr(forgetting, "EVERY_SECONDS", 0.001)
    return broker


def local() -> Any:
    async def lanes(partitions: range) -> list[dict[str, str]]:
        return [{"next_offset": str(7 + number)} for number in partitions]

    catalogue = SimpleNamespace(lanes=lanes)
    observer = SimpleNamespace(catalogue=catalogue, partitions=range(SETTINGS.partitions))
    return SimpleNamespace(settings=SETTINGS, observer=observer)


HANDLED = {TopicPartition(TOPIC, 0): 7, TopicPartition(TOPIC, 1): 8}


async def test_what_is_behind_all_lanes_is_deleted(broker: Broker) -> None:
    await forgetting.forget_handled(local())
    assert broker.deleted == HANDLED


async def test_it_goes_on_meanwhile_and_ends_with_it(broker: Broker) -> None:
    async with forgetting.forgetting(local()):
        for _ in range(3):
            broker.asked.clear()
            await asyncio.wait_for(broker.asked.wait(), 5)
    assert broker.deleted == HANDLED
    assert [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}] == []


async def test_a_kafka_that_does_not_delete_is_told_of(broker: Broker) -> None:
    broker.fails = True
    with pytest.raises(KafkaError, match="cannot be deleted"):
        async with forgetting.forgetting(local()):
            await asyncio.wait_for(broker.asked.wait(), 5)
