"""The seam with Faust: batches, and what happens to those that a seek or a rebalance overtook."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer
from faust.types import TP

from config.settings import Settings
from stream.app import create_worker_app
from stream.fetching import ConsumerInLoop, Fetched
from stream.transport import (
    BatchingConsumer,
    BatchingTransport,
    DurableProducer,
    RecordBatch,
    within,
)
from tests.stream.lane_kit import record

EVENTS = TP("shoal.events", 0)


class FetchOnce(BatchingConsumer):
    """A consumer without Kafka: one fetch returns `fetched`, after `during` has happened."""

    def __init__(self, fetched: dict[TopicPartition, Fetched]) -> None:
        self._seeks = defaultdict(int)
        self._sought = {}
        self._active_partitions = {EVENTS}
        self._buffered_partitions = set[TP]()
        self.fetched = fetched
        self.during: Any = None
        self.positions: list[tuple[TP, int]] = []
        self.flow_active = True
        self.app: Any = SimpleNamespace(
            consumer_generation_id=1,
            in_recovery=False,
            monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None),
        )

    @property
    def should_stop(self) -> bool:
        return False

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109, ARG002 - Faust's
        if self.during:
            await self.during()
        return self.fetched, None

    async def seek_wait(self, partitions: Any) -> None:
        self.positions += partitions.items()

    def assignment(self) -> set[TP]:
        return {EVENTS}

    def highwater(self, tp: TP) -> int:  # noqa: ARG002 - one partition
        return 99


def fetched(*offsets: int) -> dict[TopicPartition, Fetched]:
    records = [record(offset, b"{}") for offset in offsets]
    return {TopicPartition(*EVENTS): Fetched(records, read_from=3)}


async def messages(consumer: FetchOnce) -> list[RecordBatch]:
    handed: list[Any] = [message async for _, message in consumer.getmany(1.0)]
    return [batch for message in handed for batch in message.value]


def test_no_partition_is_left_out_of_fetches_while_others_have_room() -> None:
    consumer = FetchOnce({})
    consumer.on_buffer_full(EVENTS)
    assert consumer._get_active_partitions() == {EVENTS}
    consumer.on_buffer_drop(EVENTS)
    assert consumer._get_active_partitions() == {EVENTS}


async def test_a_fetch_becomes_one_message_with_a_batch_per_partition() -> None:
    both = fetched(4, 5) | {TopicPartition("shoal.events", 1): Fetched([record(9, b"{}")], 9)}
    ((tp, message),) = [pair async for pair in FetchOnce(both).getmany(1.0)]
    batches: Any = message.value
    assert (tp, message.offset) == (TP("shoal.events", 1), 9)
    assert [(batch.partition, len(batch.records)) for batch in batches] == [(0, 2), (1, 1)]


async def test_a_batch_says_where_it_was_read_from() -> None:
    (batch,) = await messages(FetchOnce(fetched(4, 5, 6)))
    assert [r.offset for r in batch.records] == [4, 5, 6]
    assert (batch.partition, batch.seeks, batch.read_from) == (0, 0, 3)


async def test_the_message_stands_for_its_last_record() -> None:
    consumer = FetchOnce(fetched(4, 5, 6))
    ((tp, message),) = [pair async for pair in consumer.getmany(1.0)]
    assert (tp, message.offset) == (EVENTS, 6)


async def test_a_batch_carries_the_seek_that_it_was_read_after() -> None:
    consumer = FetchOnce(fetched(4))
    assert await consumer.seek_lane(EVENTS, 4) == 1
    (batch,) = await messages(consumer)
    assert batch.seeks == 1


async def test_what_was_fetched_across_a_seek_is_put_back_to_where_the_seek_went() -> None:
    consumer = FetchOnce(fetched(4, 5))

    async def seek() -> None:
        await consumer.seek_lane(EVENTS, 2)

    consumer.during = seek
    assert await messages(consumer) == []
    assert consumer.positions == [(EVENTS, 2), (EVENTS, 2)]


async def test_what_was_fetched_under_another_generation_is_put_back() -> None:
    consumer = FetchOnce(fetched(4, 5))

    async def rebalance() -> None:
        consumer.app.consumer_generation_id = 2

    consumer.during = rebalance
    assert await messages(consumer) == []
    assert consumer.positions == [(EVENTS, 4)]


async def test_what_was_fetched_while_the_flow_stops_is_put_back() -> None:
    consumer = FetchOnce(fetched(4, 5))

    async def stop() -> None:
        consumer.flow_active = False

    consumer.during = stop
    assert await messages(consumer) == []
    assert consumer.positions == [(EVENTS, 4)]


def test_the_pinned_versions_are_the_ones_the_seam_was_written_for() -> None:
    assert (faust.__version__, aiokafka.__version__) == ("0.15.3", "0.14.0")


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (
            BatchingConsumer,
            Consumer,
            ("getmany", "perform_seek", "wait_empty", "_wait_next_records"),
        ),
        (
            ConsumerInLoop,
            AIOKafkaConsumerThread,
            ("_commit", "_fetch_records", "_seek_wait", "_default_start", "_default_stop_futures"),
        ),
        (DurableProducer, Producer, ("_settings_extra",)),
        (BatchingTransport, BatchingTransport.__base__, ("Consumer", "Producer")),
    ],
)
def test_every_seam_still_exists_in_faust(ours: type, theirs: type, names: tuple[str, ...]) -> None:
    assert issubclass(ours, theirs)
    assert all(hasattr(theirs, name) for name in names)


def test_a_worker_app_is_wired_to_the_batching_transport() -> None:
    app = create_worker_app(Settings())
    assert isinstance(app.transport, BatchingTransport)
    assert app.transport.Consumer is BatchingConsumer
    producer = app.transport.create_producer()
    assert isinstance(producer, DurableProducer)
    assert producer._settings_extra() == {"acks": "all", "enable_idempotence": True}
    assert not app.conf.web_enabled
    assert app.conf.topic_disable_leader


async def test_tasks_that_do_not_end_in_time_are_cancelled() -> None:
    quick, endless = (asyncio.create_task(asyncio.sleep(pause)) for pause in (0, 3600))
    await within(0.05, quick, endless)
    assert quick.done()
    assert not quick.cancelled()
    assert endless.cancelled()


async def test_what_a_lane_has_sought_while_it_was_handed_a_batch_is_not_dropped() -> None:
    handed: list[int] = []

    async def hand_over(message: Any) -> None:
        handed.append(message.offset)
        consumer._read_offset[EVENTS] = 2  # as the consumer's thread does when a lane seeks
        if len(handed) == 2:
            fetcher._stopped.set()

    async def batches(timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109, ARG001 - Faust's
        for offset in (10, 4):
            yield EVENTS, SimpleNamespace(offset=offset, topic=EVENTS.topic)

    app = create_worker_app(Settings())
    consumer: Any = app.transport.create_consumer(
        hand_over,
        on_partitions_revoked=app.on_partitions_revoked,
        on_partitions_assigned=app.on_partitions_assigned,
    )
    consumer.getmany = batches
    fetcher: Any = faust.Service()
    await asyncio.wait_for(consumer._drain_messages(fetcher), 5)
    assert handed == [10, 4]
