"""What a worker tells through Kafka; it goes on trying until Kafka has it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

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
from stream.partitions import Places
from stream.producing import Message, Producer
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


class ProducerBrokenError(ShoalError):
    """What no second try of this producer can send, such as after a lost sequence number.

    The process must end: its successor has a producer of its own, and tells what is pending.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"Kafka refuses messages for good ({error!r}): restart this process")


class Publisher:
    """Sends to the topics of one namespace, and returns once every broker replica has it all.

    Parameters
    ----------
    places
        Partitions of keys, in topics that have as many partitions as events have.
    """

    def __init__(self, producer: Producer, topics: Topics, places: Places) -> None:
        self._producer = producer
        self._topics = topics
        self._places = places

    async def changes(self, changes: Sequence[tuple[CustomerId, bytes]]) -> None:
        """Tell changes of segment, in order."""
        await self._spread(
            self._topics.changes, [(name.encode(), value, None) for name, value in changes]
        )

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        """Tell the trainer the latest profiles; None takes a customer out of the sample."""
        messages = [(name.encode(), blob, None) for name, blob in profiles.items()]
        await self._send_all(self._topics.population, {0: messages})

    async def models(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Tell of published models, in order, each under its segmentation."""
        messages = [(name.encode(), value, None) for name, value in events]
        await self._send_all(self._topics.models, {0: messages})

    async def rejections(self, rejections: Sequence[Rejection]) -> None:
        """Set records aside, with their original bytes."""
        await self._spread(
            self._topics.rejected,
            [
                (
                    (rejection.record.key or b"")[:MAX_KEY_BYTES] or None,
                    (rejection.record.value or b"")[:MAX_REJECTED_BYTES],
                    _headers(rejection),
                )
                for rejection in rejections
            ],
        )
        for rejection in rejections:
            metrics.EVENTS_REJECTED.labels(reason=rejection.reason.value).inc()

    async def _spread(self, topic: str, messages: Sequence[Message]) -> None:
        placed: dict[int, list[Message]] = {}
        for place, message in zip(
            self._places([key or b"" for key, _, _ in messages]), messages, strict=True
        ):
            placed.setdefault(place, []).append(message)
        await self._send_all(topic, placed)

    async def _send_all(self, topic: str, placed: Mapping[int, Sequence[Message]]) -> None:
        for partition, messages in placed.items():
            for at in range(0, len(messages), AT_ONCE):
                with waiting("kafka", after_seconds=AWAY_SECONDS):
                    await self._send_some(topic, partition, messages[at : at + AT_ONCE])

    async def _send_some(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        pause = 0.1
        while messages:
            queued = await self._queue(topic, partition, messages)
            outcomes = await asyncio.gather(*(sent for _, sent in queued), return_exceptions=True)
            failures = [
                (batch, outcome)
                for (batch, _), outcome in zip(queued, outcomes, strict=True)
                if isinstance(outcome, BaseException)
            ]
            if not failures:
                return
            for _, error in failures:
                _raise_final(error)
            refused = [message for batch, _ in failures for message in batch]
            metrics.KAFKA_ERRORS.inc()
            log.warning(
                "Kafka took %d of %d messages: %r; trying again",
                len(messages) - len(refused),
                len(messages),
                failures[0][1],
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            messages = refused

    async def _queue(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> list[tuple[Sequence[Message], Awaitable[Any]]]:
        """Batches of the messages, each with what ends when Kafka has it."""
        queued: list[tuple[Sequence[Message], Awaitable[Any]]] = []
        while messages:
            try:
                count, sent = await self._producer.send_batch(topic, partition, messages)
            except (KafkaError, ProducerSendError) as error:
                failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                failed.set_exception(error)
                queued.append((messages, failed))
                break
            queued.append((messages[:count], sent))
            messages = messages[count:]
        return queued


def _raise_final(error: BaseException) -> None:
    """Raise what no second try can mend."""
    cause = error.__cause__ if isinstance(error, ProducerSendError) else error
    if isinstance(cause, FINAL):
        raise ProducerBrokenError(cause) from error
    if not isinstance(error, KafkaError | ProducerSendError):
        raise error


def _headers(rejection: Rejection) -> dict[str, bytes]:
    record = rejection.record
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
    kinds = Counter((change.data.segmentation, change.data.reason) for change in changes)
    for (segmentation, reason), count in kinds.items():
        metrics.SEGMENT_CHANGES.labels(segmentation=segmentation, reason=reason).inc(count)
