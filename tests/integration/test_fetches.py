"""What the consumer says of the records that it takes, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from config.settings import Settings
from stream.connections import kafka_options
from stream.fetching import ConsumerInLoop, Fetched
from stream.names import Topics
from stream.topics import create_topics

pytestmark = pytest.mark.slow


class Reader(ConsumerInLoop):
    """Without Faust around it."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._real = consumer
        self._read_to = {}
        self.consumer: Any = SimpleNamespace(flow_active=True, _read_offset={})
        self.app: Any = SimpleNamespace(conf=SimpleNamespace(broker_request_timeout=20))
        self.log: Any = SimpleNamespace(dev=lambda *_: None)

    async def go_to(self, tp: TP, offset: int) -> None:
        await self._seek_wait(self._real, {tp: offset})

    async def fetch(self, *parts: TP) -> dict[TP, Fetched]:
        return {TP(*tp): found for tp, found in (await self._fetch_some(parts)).items()}

    async def _fetch_some(self, parts: tuple[TP, ...]) -> dict[Any, Fetched]:
        while not (found := await self._fetch_records(self._real, set(parts), 5, 500)):
            pass
        return found


@dataclass
class Log:
    """Some partitions of the event topic, who reads them and who writes them."""

    reader: Reader
    producer: AIOKafkaProducer
    parts: list[TP]

    async def write(self, tp: TP, count: int) -> None:
        for _ in range(count):
            await self.producer.send_and_wait(tp.topic, b"{}", partition=tp.partition)


@asynccontextmanager
async def log_of(settings: Settings, partitions: int) -> AsyncIterator[Log]:
    await create_topics(settings)
    parts = [TP(Topics(settings.namespace).events, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(**kafka_options(settings), enable_auto_commit=False)
    producer = AIOKafkaProducer(**kafka_options(settings))
    await consumer.start()
    await producer.start()
    try:
        consumer.assign(parts)
        yield Log(Reader(consumer), producer, parts)
    finally:
        await producer.stop()
        await consumer.stop()


async def test_records_follow_from_where_a_lane_has_sought(settings: Settings) -> None:
    async with log_of(settings, 1) as log:
        (tp,) = log.parts
        await log.write(tp, 5)
        await log.reader.go_to(tp, 2)
        found = (await log.reader.fetch(tp))[tp]
        assert (found.read_from, found.records[0].offset) == (2, 2)
        end = found.records[-1].offset + 1
        await log.write(tp, 1)
        assert (await log.reader.fetch(tp))[tp].read_from == end


async def test_what_a_fetch_took_that_was_given_up_is_missed(settings: Settings) -> None:
    async with log_of(settings, 1) as log:
        (tp,) = log.parts
        given_up = asyncio.create_task(log.reader.fetch(tp))
        await asyncio.sleep(0)  # it waits, as Faust leaves it at a rebalance
        await log.reader.go_to(tp, 0)
        await log.write(tp, 3)
        taken = (await given_up)[tp].records
        await log.write(tp, 1)
        found = (await log.reader.fetch(tp))[tp]
        assert found.read_from == taken[-1].offset + 1 > 0


async def test_each_partition_gets_its_share(settings: Settings) -> None:
    async with log_of(settings, 4) as log:
        for tp in log.parts:
            await log.reader.go_to(tp, 0)
            await log.write(tp, 2)
        offsets: dict[TP, list[int]] = {tp: [] for tp in log.parts}
        while any(len(seen) < 2 for seen in offsets.values()):
            for tp, found in (await log.reader.fetch(*log.parts)).items():
                offsets[tp] += [record.offset for record in found.records]
        assert all(seen == [0, 1] for seen in offsets.values())


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_events_are_read_however_their_producer_compresses_them(
    codec: str, settings: Settings
) -> None:
    async with log_of(settings, 1) as log:
        (tp,) = log.parts
        sender = AIOKafkaProducer(**kafka_options(settings), compression_type=codec)
        await sender.start()
        try:
            await sender.send_and_wait(tp.topic, b"{}" * 5_000, partition=tp.partition)
        finally:
            await sender.stop()
        await log.reader.go_to(tp, 0)
        found = (await log.reader.fetch(tp))[tp]
        assert [record.value for record in found.records] == [b"{}" * 5_000]
