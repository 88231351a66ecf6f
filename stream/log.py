"""A topic read from its beginning to what is its end now."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from config.settings import Settings
from stream.connections import kafka_options

BATCH_RECORDS = 5_000


async def read_log(
    settings: Settings, topic: str, ends: dict[int, int]
) -> AsyncIterator[tuple[int, list[ConsumerRecord]]]:
    """Each partition and some of its records, up to its end in `ends`, in order.

    One partition comes after the other, the lowest first; at most `BATCH_RECORDS` at once.
    """
    consumer = AIOKafkaConsumer(
        **kafka_options(settings), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        for partition, end in sorted(ends.items()):
            part = TopicPartition(topic, partition)
            consumer.assign([part])
            await consumer.seek_to_beginning(part)
            while await consumer.position(part) < end:
                fetched = await consumer.getmany(timeout_ms=1_000, max_records=BATCH_RECORDS)
                for records in fetched.values():
                    yield partition, [record for record in records if record.offset < end]
    finally:
        await consumer.stop()


async def read_in_order(
    settings: Settings, topic: str, ends: dict[int, int]
) -> AsyncIterator[ConsumerRecord]:
    """The records of all partitions up to their ends in `ends`, as they arrived.

    The times that Kafka has of them put partitions in order; within one its own order is kept.
    """
    consumer = AIOKafkaConsumer(
        **kafka_options(settings), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topic, partition) for partition in sorted(ends)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        fetched = {part: await _fetch(consumer, part, ends[part.partition]) for part in parts}
        heads = [(records[0].timestamp, part) for part, records in fetched.items() if records]
        heapq.heapify(heads)
        while heads:
            _, part = heads[0]
            records = fetched[part]
            yield records.popleft()
            if not records:
                records = fetched[part] = await _fetch(consumer, part, ends[part.partition])
            if records:
                heapq.heapreplace(heads, (records[0].timestamp, part))
            else:
                heapq.heappop(heads)
    finally:
        await consumer.stop()


async def _fetch(
    consumer: AIOKafkaConsumer, part: TopicPartition, end: int
) -> deque[ConsumerRecord]:
    """The next records of a partition before `end`; none where there are no more."""
    found: deque[ConsumerRecord] = deque()
    while not found and await consumer.position(part) < end:
        fetched = await consumer.getmany(part, timeout_ms=1_000, max_records=BATCH_RECORDS)
        found.extend(record for record in fetched.get(part, ()) if record.offset < end)
    return found


async def log_ends(settings: Settings, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Offset of the next record to come, by partition."""
    consumer = AIOKafkaConsumer(**kafka_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, partition) for partition in partitions]
        found = await consumer.end_offsets(parts)
        return {part.partition: end for part, end in found.items()}
    finally:
        await consumer.stop()
