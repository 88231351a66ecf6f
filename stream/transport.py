"""Faust's Kafka transport, handing over whole fetches instead of single messages.

Faust spends about 150 µs on each message before an agent sees it. Here it spends them once per
fetch, whatever it brings. Groups, rebalancing, agents and timers stay Faust's; offsets of batched
topics are the lanes' business: nothing is acknowledged, nothing is sought to what Kafka has
committed, and a batch that was fetched before a seek or under another generation is put back.

The seams are underscored: faust-streaming 0.15.3 and aiokafka 0.14.0 are pinned exactly.
"""

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, cast

import faust
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage, Message
from faust.types.transports import ConsumerT, ProducerT, TransportT

from models.errors import ShoalError
from stream import metrics, producing

log = logging.getLogger(__name__)

QUIESCE_SECONDS = 5.0
FETCH_MIN_BYTES = 1
FETCH_MAX_WAIT_MS = 100
ENOUGH_BYTES = 65_536
LONGEST_SPACING_SECONDS = 0.02

Send = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, and the offset that the consumer read on from."""

    records: list[ConsumerRecord]
    read_from: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, fetched together, in order.

    `seeks` tells under which position of the consumer they were fetched: whoever sought the
    partition since must not use them. `read_from` is the offset that the consumer read on from: if
    the first record is beyond it, the log holds none between.
    """

    partition: int
    records: list[ConsumerRecord]
    seeks: int
    read_from: int


class FetchSchema(faust.Schema[Any, Any]):
    """Hands a fetch to the agent as it is: decoding is the lane's work."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The key as bytes."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The batches."""
        return message.value


class BatchingConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in its own thread; a refused commit is no reason to die.

    It keeps its own account of where each partition is read. Faust may drop what it fetched, or
    give a fetch up at a rebalance that goes on in here: only what was read on from a known offset
    can tell a hole in the log from a lost batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_to: dict[TP | TopicPartition, int] = {}

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        self._read_to |= partitions
        await super()._seek_wait(consumer, partitions)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        app = cast("BatchingApp", transport.app)
        # Faust passes neither.
        consumer._fetch_min_bytes = FETCH_MIN_BYTES  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001
        send = paced(consumer._client.send, app.fetch_spacing_seconds)  # noqa: SLF001
        consumer._client.send = send  # noqa: SLF001
        return consumer

    async def _fetch_records(  # type: ignore[override]  # only our consumer receives it
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TopicPartition, Fetched]:
        """At most `max_records` of each partition: Faust's limit starves all but the first."""
        found = await self._take(consumer, active_partitions, timeout, max_records)
        if found:
            for tp in active_partitions - found.keys():
                found |= await self._take(consumer, {tp}, 0, max_records)
        return found

    async def _take(
        self,
        consumer: AIOKafkaConsumer,
        partitions: set[TP],
        timeout: float | None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None,
    ) -> dict[TopicPartition, Fetched]:
        taken = await super()._fetch_records(consumer, partitions, timeout, max_records)
        found = {}
        for tp, records in taken.items():
            found[tp] = Fetched(records, self._read_to.get(tp, records[0].offset))
            self._read_to[tp] = records[-1].offset + 1
        return found

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        known = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if not known:
            return False
        try:
            await consumer.commit(known)
        except (KafkaError, IllegalStateError) as error:
            # The lane is what counts; Kafka's offset is for lag and tools, the next one will do.
            metrics.KAFKA_ERRORS.inc()
            log.warning("Kafka refused the offsets: %s", error)
            return False
        return True


def paced(send: Send, spacing_seconds: float = LONGEST_SPACING_SECONDS) -> Send:
    """`send`, whose fetches follow each other slowly while they bring little.

    What comes meanwhile is fetched together, since a fetch of one event costs its worker as much
    as one of fifty. After fetches that bring nothing the spacing doubles, up to 20 ms: a broker
    waits for events by itself, but noida-db 0.2.3 answers every fetch at once, and an idle
    consumer would ask it 2 800 times a second.
    """
    not_before: dict[Any, float] = {}
    spacings: dict[Any, float] = {}

    async def send_paced(node: Any, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node, request, **options)
        await asyncio.sleep(max(not_before.get(node, 0.0) - monotonic(), 0.0))
        started = monotonic()
        response = await send(node, request, **options)
        size = sum(len(part[-1] or b"") for _, parts in response.topics for part in parts)
        before = spacings.get(node, 0.0)
        longest = max(LONGEST_SPACING_SECONDS, spacing_seconds)
        spacing = spacing_seconds if size else min(max(2 * before, spacing_seconds), longest)
        spacings[node] = spacing if size < ENOUGH_BYTES else 0.0
        not_before[node] = started + spacings[node]
        return response

    return send_paced


class NothingRead(dict[TP, int | None]):
    """In place of Faust's account of what was read, below which it drops messages in silence.

    Faust writes a batch down only once it is delivered. A lane that got it may have sought back by
    then, and all that it sought for would be dropped.
    """

    def __missing__(self, tp: TP) -> None:
        """Nothing was read of any partition."""

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Forget it."""


class BatchingConsumer(driver.Consumer):
    """Yields one message per fetch: a list of batches, one of each partition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NothingRead()
        self._seeks: defaultdict[TP, int] = defaultdict(int)
        self._sought: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchingConsumerThread:
        return BatchingConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_lane(self, tp: TP, offset: int) -> int:
        """Go on reading at `offset`; the number that batches read from there on carry."""
        self._seeks[tp] += 1
        self._sought[tp] = offset
        await self.seek_wait({tp: offset})
        return self._seeks[tp]

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and yield a message per topic whose value is a list of `RecordBatch`."""
        generation = self.app.consumer_generation_id
        seeks = dict(self._seeks)
        records, _ = await self._wait_next_records(timeout)
        if not records or self.should_stop:
            return
        taken: defaultdict[str, list[RecordBatch]] = defaultdict(list)
        for aiokafka_tp, fetched in records.items():
            tp, batch = ensure_TP(aiokafka_tp), cast("Fetched", fetched)
            fetched_under = seeks.get(tp, 0)
            sought = self._seeks[tp] != fetched_under
            if sought or not self.flow_active or self.app.consumer_generation_id != generation:
                await self._put_back(tp, self._sought[tp] if sought else batch.records[0].offset)
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            taken[tp.topic].append(
                RecordBatch(tp.partition, batch.records, fetched_under, batch.read_from)
            )
        for topic, batches in taken.items():
            tp = TP(topic, batches[-1].partition)
            yield tp, self._message(tp, batches)

    async def _put_back(self, tp: TP, offset: int) -> None:
        # The fetch has moved the position on: without this the batch would never come again.
        if tp in self.assignment():
            await self.seek_wait({tp: offset})

    def _message(self, tp: TP, batches: list[RecordBatch]) -> ConsumerMessage:
        """Stands for the last record of the last batch, whose partition `tp` is."""
        last = batches[-1].records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            [],
            None,
            cast("Any", batches),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Nothing: each lane seeks to its own offset when it is claimed."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the steps in flight end before Faust takes the partitions away."""
        self.stop_flow()
        await self._quiesce()
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        """Let the steps in flight end, for a while; what remains is left to the successor."""
        await self._quiesce()

    async def _quiesce(self) -> None:
        app = self.app
        if isinstance(app, BatchingApp) and app.quiesce is not None:
            await app.quiesce()

    async def on_task_error(self, exc: BaseException) -> None:
        """Nothing to commit: lanes commit what is durable."""


class DurableProducer(driver.Producer):
    """acks=all and idempotent, whatever else is set."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[producing.Message]
    ) -> tuple[int, Awaitable[Any]]:
        """See `stream.producing.Producer`."""
        return await producing.send_batch(self._ensure_producer(), topic, partition, messages)


class BatchingTransport(driver.Transport):
    """Transport of an app all of whose topics are batched."""

    Consumer: ClassVar[type[ConsumerT]] = BatchingConsumer
    Producer: ClassVar[type[ProducerT]] = DurableProducer


class BatchingApp(faust.App):
    """A Faust app whose agents receive lists of `RecordBatch`.

    `quiesce` is awaited before partitions are taken away and before the process ends; it must
    return within a few seconds. Fetches that bring little follow each other at
    `fetch_spacing_seconds`.
    """

    quiesce: Callable[[], Awaitable[None]] | None = None
    fetch_spacing_seconds: float = LONGEST_SPACING_SECONDS
    ended_by: ShoalError | None = None

    def end(self, error: ShoalError) -> None:
        """Stop in good order, for a reason that a person must see to."""
        if self.ended_by is None:
            self.ended_by = error
            signal.raise_signal(signal.SIGTERM)

    def _new_transport(self) -> TransportT:
        return BatchingTransport(self.conf.broker, self, loop=self.loop)

    def batched_topic(self, name: str, partitions: int) -> faust.TopicT:
        """A topic whose batches nobody acknowledges to Faust."""
        return self.topic(name, partitions=partitions, acks=False, schema=FetchSchema())


def crash_on_error(app: BatchingApp) -> Callable[[asyncio.Task[None]], None]:
    """Callback for a task whose failure must not be passed over.

    The process ends, and a successor goes on from what is durable. What Shoal itself raises is a
    fault of something outside, and needs no traceback.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, ShoalError):
            app.end(error)
        else:
            log.critical("%s failed", task.get_name(), exc_info=error)
            _crashes.add(asyncio.ensure_future(app.crash(error)))

    return ended


_crashes: set[asyncio.Future[None]] = set()


async def within(seconds: float, *tasks: asyncio.Task[None]) -> None:
    """Wait for tasks to end, then cancel those that did not."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
