"""What Kafka knows of a consumer group: its members, and how far it says that they are."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from config.settings import Settings
from stream.connections import kafka_options
from stream.names import Topics
from stream.reach import RETRY_SECONDS, reach_kafka, timeout_ms


async def counted(settings: Settings, partitions: Iterable[int]) -> int:
    """Events that workers told Kafka to be counted; 0 when there never was a worker.

    Raises
    ------
    UnreachableError
        Kafka does not say.
    """
    topics = Topics(settings.namespace)
    async with reach_kafka(settings), asyncio.timeout(settings.start_timeout_seconds):
        consumer = AIOKafkaConsumer(
            **kafka_options(settings),
            group_id=topics.worker_group,
            request_timeout_ms=timeout_ms(settings),
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            parts = [TopicPartition(topics.events, partition) for partition in partitions]
            consumer.assign(parts)  # by hand: it does not join the group
            return sum([await consumer.committed(part) or 0 for part in parts])
        finally:
            await consumer.stop()


async def members(admin: AIOKafkaAdminClient, group: str, settings: Settings) -> int:
    """How many members a group has; a static one that was stopped stays until its session ends."""
    async with asyncio.timeout(settings.start_timeout_seconds):
        while True:
            try:
                (answer,) = await admin.describe_consumer_groups([group])
                code, _, _, _, _, found, *_ = answer.groups[0]
                if not code:
                    return len(found)
                raise for_code(code)
            except KafkaError as error:
                # In a new cluster it takes a while until a group has a coordinator.
                if not error.retriable:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
