"""What a worker tells through Kafka; it goes on trying until Kafka has it."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)
from faust.exceptions import ProducerSendError

from models.errors import ShoalError
from models.identifiers import CustomerId
from stream import metrics
from stream.batches import Rejection
from stream.changes import Change
from stream.events import Reason
from stream.names import Topics
from stream.waiting import AWAY_SECONDS, waiting

log = logging.getLogger(__name__)

MAX_REJECTED_BYTES = 900_000
# No customer id is longer than 256 bytes; with headers, both stay below what Kafka takes.
MAX_KEY_BYTES = 4_096
LONGEST_PAUSE_SECONDS = 5.0
AT_ONCE = 500
# aiokafka counts a sequence number before the broker answers and never takes it back.
FINAL = (
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

for _reason in Reason:
    metrics.EVENTS_REJECTED.labels(reason=_reason.value)


class Producer(Protocol):
    """What is needed of Faust's producer."""

    async def send(  # noqa: PLR0917 - Faust's signature
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> Awaitable[Any]:
        """Queue a message; the awaitable ends when the broker has it."""


Message = tuple[str, bytes | None, bytes | None, Mapping[str, bytes] | None]


class ProducerBrokenError(ShoalError):
    """What no second try of this producer can send, such as after a lost sequence number.

    The process must end: its successor has a producer of its own, and tells what is pending.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"Kafka refuses messages for good ({error!r}): restart this process")


class Publisher:
    """Sends to the topics of one namespace, and returns once every broker replica has it all."""

    def __init__(self, producer: Producer, topics: Topics) -> None:
        self._producer = producer
        self._topics = topics

    async def changes(self, changes: Sequence[tuple[CustomerId, bytes]]) -> None:
        """Tell changes of segment, in order."""
        await self._send_all(
            [(self._topics.changes, name.encode(), value, None) for name, value in changes]
        )

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        """Tell the trainer the latest profiles; None takes a customer out of the sample."""
        topic = self._topics.population
        await self._send_all(
            [(topic, name.encode(), blob, None) for name, blob in profiles.items()]
        )

    async def models(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Tell of published models, in order, each under its segmentation."""
        await self._send_all(
            [(self._topics.models, name.encode(), value, None) for name, value in events]
        )

    async def rejections(self, rejections: Sequence[Rejection]) -> None:
        """Set records aside, with their original bytes."""
        await self._send_all(
            [
                (
                    self._topics.rejected,
                    (rejection.record.key or b"")[:MAX_KEY_BYTES] or None,
                    (rejection.record.value or b"")[:MAX_REJECTED_BYTES],
                    _headers(rejection),
                )
                for rejection in rejections
            ]
        )
        for rejection in rejections:
            metrics.EVENTS_REJECTED.labels(reason=rejection.reason.value).inc()

    async def _send_all(self, messages: Sequence[Message]) -> None:
        for at in range(0, len(messages), AT_ONCE):
            with waiting("kafka", after_seconds=AWAY_SECONDS):
                await self._send_some(messages[at : at + AT_ONCE])

    async def _send_some(self, messages: Sequence[Message]) -> None:
        pause = 0.1
        while messages:
            outcomes = await asyncio.gather(
                *[await self._send(message) for message in messages], return_exceptions=True
            )
            failures = [
                (message, outcome)
                for message, outcome in zip(messages, outcomes, strict=True)
                if isinstance(outcome, BaseException)
            ]
            if not failures:
                return
            error = failures[0][1]
            cause = error.__cause__ if isinstance(error, ProducerSendError) else error
            if isinstance(cause, FINAL):
                raise ProducerBrokenError(cause) from error
            if not isinstance(error, KafkaError | ProducerSendError):
                raise error
            metrics.KAFKA_ERRORS.inc()
            log.warning(
                "Kafka took %d of %d messages: %r; trying again",
                len(messages) - len(failures),
                len(messages),
                error,
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            messages = [message for message, _ in failures]

    async def _send(self, message: Message) -> Awaitable[Any]:
        topic, key, value, headers = message
        try:
            return await self._producer.send(topic, key, value, None, None, headers)
        except (KafkaError, ProducerSendError) as error:
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed


def _headers(rejection: Rejection) -> dict[str, bytes]:
    record: ConsumerRecord = rejection.record
    return {
        "reason": rejection.reason.value.encode(),
        "detail": rejection.detail.encode("utf-8", "replace"),
        "topic": record.topic.encode(),
        "partition": str(record.partition).encode(),
        "offset": str(record.offset).encode(),
        "timestamp": str(record.timestamp).encode(),
        "bytes": str(len(record.value or b"")).encode(),
    }


def told(changes: Sequence[Change]) -> None:
    """Count changes by reason."""
    for change in changes:
        data = change.data
        metrics.SEGMENT_CHANGES.labels(segmentation=data.segmentation, reason=data.reason).inc()
