"""Messages sent at a steady rate by a producer that never gives up, and what Kafka has of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from time import monotonic

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from config.settings import Settings
from stream.connections import kafka_options
from tests.faults.shop import Message

PATIENCE_MS = 180_000
TICK_SECONDS = 0.01
LONGEST_CATCH_UP_SECONDS = 1.0


class Load:
    """Sends a shop's messages, in order per partition, until it is told to stop.

    `sent` counts messages, `reached` is the offset after the last record that Kafka has
    acknowledged, by partition.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, messages: Iterator[Message], rate: float
    ) -> None:
        self.sent = 0
        self.reached: Counter[int] = Counter()
        self.producer = producer
        self._topic = topic
        self._messages = messages
        self._interval = 1 / rate
        self._unanswered: set[asyncio.Future[RecordMetadata]] = set()
        self._is_on = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on sending."""
        self._is_on = True
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send no more, and return once Kafka has everything; raises what a message failed with."""
        self._is_on = False
        if self._task is not None:
            await self._task
            self._task = None
        await asyncio.gather(*self._unanswered)

    async def _run(self) -> None:
        due = monotonic()
        while self._is_on:
            # What an outage held up is not made up for at once.
            due = max(due, monotonic() - LONGEST_CATCH_UP_SECONDS)
            while self._is_on and due <= monotonic():
                await self._send(next(self._messages))
                due += self._interval
            await asyncio.sleep(TICK_SECONDS)

    async def _send(self, message: Message) -> None:
        future = await self.producer.send(
            self._topic, message.value, key=message.key, partition=message.partition
        )
        self.sent += 1
        self._unanswered.add(future)
        future.add_done_callback(self._answered)

    def _answered(self, future: "asyncio.Future[RecordMetadata]") -> None:
        if future.cancelled() or future.exception():
            return  # it stays among the unanswered, for stop() to raise
        self._unanswered.discard(future)
        at = future.result()
        self.reached[at.partition] = max(self.reached[at.partition], at.offset + 1)


def steady_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer that waits out every outage of these tests, and writes nothing twice."""
    return AIOKafkaProducer(
        **kafka_options(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        request_timeout_ms=PATIENCE_MS,
    )
