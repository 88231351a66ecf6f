"""Events that are handled and gone: the embedded Kafka saves all that it holds once a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream.local import Local
from stream.names import Topics
from stream.reach import reach_kafka
from stream.together import cancelled

EVERY_SECONDS = 1.0


async def forget_handled(local: Local) -> None:
    """Let Kafka drop the events that are behind all lanes."""
    async with reach_kafka(local.settings) as admin:
        await _forget(local, admin)


@asynccontextmanager
async def forgetting(local: Local) -> AsyncIterator[None]:
    """Meanwhile, let it drop them again and again, as a log does that is kept for a while."""
    async with reach_kafka(local.settings) as admin:
        dropping = asyncio.create_task(_go_on(local, admin))
        try:
            yield
        finally:
            await cancelled(dropping)
        if not dropping.cancelled():
            dropping.result()


async def _go_on(local: Local, admin: AIOKafkaAdminClient) -> None:
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await _forget(local, admin)


async def _forget(local: Local, admin: AIOKafkaAdminClient) -> None:
    topic = Topics(local.settings.namespace).events
    lanes = await local.observer.catalogue.lanes(local.observer.partitions)
    await admin.delete_records(
        {
            TopicPartition(topic, number): RecordsToDelete(int(lane["next_offset"]))
            for number, lane in enumerate(lanes)
        }
    )
