"""Fetching from Kafka: how often, how much of each partition, and from where it was read.

The seams are underscored, as those of `stream/transport.py` are.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service
from mode.utils.futures import maybe_async

from stream import metrics
from stream.records import FetchedRecord, Record

log = logging.getLogger(__name__)

FETCH_MIN_BYTES = 1
FETCH_MAX_WAIT_MS = 100
ENOUGH_BYTES = 65_536
LONGEST_SPACING_SECONDS = 0.02

Send = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, and the offset that the consumer read on from."""

    records: list[Record]
    read_from: int


class Arrivals(OrderedDict[TopicPartition, Any]):
    """Takes the place of a fetcher's own, and has it make `FetchedRecord` of what arrives."""

    def __setitem__(self, tp: TopicPartition, arrived: Any) -> None:
        """Called before anything of `arrived` was read; it may be an error."""
        if isinstance(arrived, FetchResult):
            arrived._partition_records._consumer_record = _fetched_record  # noqa: SLF001 - no seam
        super().__setitem__(tp, arrived)


def _fetched_record(tp: TopicPartition, record: Any) -> FetchedRecord:
    return FetchedRecord(
        tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value
    )


class ConsumerInLoop(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in the loop of its worker; a refused commit is no reason to die.

    Faust runs it in a thread. Each fetch would change threads twice, and each of the two would wait
    until the other leaves the interpreter to it: 15 ms at 2 000 events/s. No code of a worker keeps
    the loop for longer than heartbeats can wait.

    It keeps its own account of where each partition is read. Faust may drop what it fetched, or
    give a fetch up at a rebalance that goes on in here: only what was read on from a known offset
    can tell a hole in the log from a lost batch.
    """

    wait_for_shutdown = False

    def __init__(self, consumer: driver.Consumer, spacing_seconds: float) -> None:
        loop = consumer.loop
        super().__init__(consumer, loop=loop, thread_loop=loop, beacon=consumer.beacon)
        self._spacing_seconds = spacing_seconds
        self._read_to: dict[TP | TopicPartition, int] = {}

    async def start(self) -> None:
        """As a service like any other, not as a thread."""
        self._thread_started.set()
        await self._default_start()

    async def on_start(self) -> None:
        """Nothing is fetched before partitions are assigned."""
        await super().on_start()
        self._ensure_consumer()._fetcher._records = Arrivals()  # noqa: SLF001 - no seam

    async def on_stop(self) -> None:
        """Leave the group."""
        await self.on_thread_stop()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def crash(self, exc: BaseException) -> None:
        """As a service like any other."""
        await Service.crash(self, exc)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here; like a thread, it goes on if the caller is cancelled."""
        return await asyncio.shield(maybe_async(fun(*args, **kwargs)))

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        self._read_to |= partitions
        await super()._seek_wait(consumer, partitions)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = FETCH_MIN_BYTES  # noqa: SLF001 - Faust passes neither
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001 - as above
        pace(consumer, self._spacing_seconds)
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


def pace(consumer: AIOKafkaConsumer, spacing_seconds: float) -> None:
    """Have the fetches of a consumer that has not started yet follow each other as `paced` says."""
    client = consumer._client  # noqa: SLF001 - aiokafka takes no pace
    client.send = paced(client.send, spacing_seconds)


def paced(send: Send, spacing_seconds: float = LONGEST_SPACING_SECONDS) -> Send:
    """`send`, whose fetches follow each other slowly while they bring little.

    What comes meanwhile is fetched together, since a fetch of one event costs its worker as much
    as one of fifty. After fetches that bring nothing the spacing doubles, up to 20 ms where
    `spacing_seconds` is not more: a broker waits for events by itself, but noida-db 0.2.3 answers
    every fetch at once, and an idle consumer would ask it 2 800 times a second.
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
