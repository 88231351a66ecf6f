"""A worker: the lanes of the partitions that Kafka assigns to this process."""

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from time import time
from typing import Any, get_args

from faust.types import TP
from redis.exceptions import RedisError

from config.settings import Settings
from stream import metrics
from stream.catalogue import Catalogue
from stream.changes import Reason
from stream.in_force import InForce
from stream.labels import Labels
from stream.lanes import Lane, LaneLimits
from stream.names import Topics
from stream.partitions import partitioner_of_many
from stream.publisher import Publisher
from stream.quiet import IDLE_SECONDS
from stream.redis_store import RedisStore
from stream.rounds import Rounds
from stream.steps import Scored, StepMaker, Taking
from stream.tastes import TasteCollector
from stream.together import Together
from stream.transport import (
    QUIESCE_SECONDS,
    BatchingApp,
    BatchingConsumer,
    RecordBatch,
    crash_on_error,
    within,
)

log = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
COMMIT_PATIENCE_SECONDS = 2.0
MODEL_SECONDS = 0.5
LIVE_SWEEP_SECONDS = 10.0
# Of a backlog, half of eight lanes: the others are scored while Redis has the steps of these.
SCORED_AT_ONCE = 4_000


def wall_ms() -> int:
    """The wall clock, in epoch milliseconds."""
    return int(time() * 1000)


class FaustPosition:
    """Where Faust's consumer reads the event topic."""

    def __init__(self, app: BatchingApp, topic: str) -> None:
        self._app = app
        self._topic = topic

    @property
    def _consumer(self) -> BatchingConsumer:
        consumer = self._app.consumer
        assert isinstance(consumer, BatchingConsumer)  # noqa: S101 - our transport made it
        return consumer

    async def seek(self, partition: int, offset: int) -> int:
        """See `Position.seek`."""
        return await self._consumer.seek_lane(TP(self._topic, partition), offset)

    async def earliest(self, partition: int) -> int:
        """See `Position.earliest`."""
        tp = TP(self._topic, partition)
        return int((await self._consumer.earliest_offsets(tp))[tp])

    async def latest(self, partition: int) -> int:
        """See `Position.latest`."""
        tp = TP(self._topic, partition)
        return int((await self._consumer.highwaters(tp))[tp])

    def end(self, partition: int) -> int | None:
        """See `Position.end`."""
        try:
            end: int | None = self._consumer.highwater(TP(self._topic, partition))
        except (AssertionError, AttributeError, KeyError):
            return None  # aiokafka knows no end before its first fetch
        return end

    async def commit(self, offsets: dict[int, int]) -> None:
        """Tell Kafka how far the lanes are; a Kafka that does not listen is told the next time."""
        known = {TP(self._topic, partition): offset for partition, offset in offsets.items()}
        try:
            async with asyncio.timeout(COMMIT_PATIENCE_SECONDS):
                # Faust's own commit would flush the producer, and could crash the app.
                await self._consumer._commit(known)  # noqa: SLF001
        except TimeoutError:
            metrics.KAFKA_ERRORS.inc()
            log.warning("Kafka does not take the offsets")


class Worker:
    """Owns the lanes of this process, hands them their batches, keeps them on the newest model."""

    def __init__(
        self,
        app: BatchingApp,
        *,
        settings: Settings,
        store: RedisStore,
        catalogue: Catalogue,
        labels: Labels,
        tastes: TasteCollector,
        maker: StepMaker,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.lanes: dict[int, Lane] = {}
        self._app = app
        self._settings = settings
        self._store = store
        self._catalogue = catalogue
        self._tastes = tastes
        self._maker = maker
        self._clock_ms = clock_ms
        self._in_force = InForce(maker.nothing_yet, catalogue, labels, app.end)
        self._topics = Topics(settings.namespace)
        self._position = FaustPosition(app, self._topics.events)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rounds = Rounds()
        self._score: Together[Taking, Scored] = Together(
            self._score_all, size=lambda taking: len(taking.batch), most=SCORED_AT_ONCE
        )
        self._is_assigned = False
        for segmentation in maker.segmentations:
            for reason in get_args(Reason):
                metrics.SEGMENT_CHANGES.labels(segmentation=segmentation.name, reason=reason)

    @property
    def is_ready(self) -> bool:
        """Whether Kafka has said which partitions are this worker's, and all are served.

        Who got none stands by for them, and is ready. During a rebalance nobody is.
        """
        return self._is_assigned and all(lane.is_serving for lane in self.lanes.values())

    async def take(self, fetches: AsyncIterable[Sequence[RecordBatch]]) -> None:
        """The agent: hand each batch to its lane; a full lane holds the others back."""
        async for batches in fetches:
            for batch in batches:
                lane = self.lanes.get(batch.partition)
                if lane is not None:
                    await lane.inbox.put(batch)

    async def assign(self, assigned: Iterable[TP]) -> None:
        """Claim the lanes of these partitions; every assignment starts afresh."""
        await self.quiesce()
        partitions = sorted(tp.partition for tp in assigned if tp.topic == self._topics.events)
        self.lanes = {partition: self._lane(partition, len(partitions)) for partition in partitions}
        for partition, lane in self.lanes.items():
            task = asyncio.create_task(lane.run(), name=f"lane-{partition}")
            task.add_done_callback(crash_on_error(self._app))
            self._tasks[partition] = task
        self._is_assigned = True
        metrics.PARTITIONS_ASSIGNED.set(len(partitions))

    async def quiesce(self) -> None:
        """Let the steps in flight end and tell Kafka how far the lanes are."""
        self._is_assigned = False
        lanes, self.lanes = self.lanes, {}
        tasks, self._tasks = self._tasks, {}
        metrics.PARTITIONS_ASSIGNED.set(0)
        for lane in lanes.values():
            lane.stop()
        await within(QUIESCE_SECONDS, *tasks.values())
        await self._commit(lanes)

    def _lane(self, partition: int, count: int) -> Lane:
        settings = self._settings
        return Lane(
            partition,
            store=self._store,
            maker=self._maker,
            publisher=self._publisher(),
            position=self._position,
            editions=lambda: self._in_force.editions,
            informed=self._in_force.known,
            score=self._score,
            limits=LaneLimits(
                batch_events=settings.batch_events,
                cache_profiles=max(settings.cache_profiles // count, 1),
                sweep_customers_per_second=settings.sweep_customers_per_second / count,
                fenced_pause_seconds=1.5 * settings.session_timeout_seconds,
                # A replay has long stretches of time in a second.
                sweep_every_seconds=LIVE_SWEEP_SECONDS if self._maker.is_live else IDLE_SECONDS,
            ),
            rounds=self._rounds,
            wall_ms=self._clock_ms,
        )

    def _publisher(self) -> Publisher:
        producer: Any = self._app.producer  # a DurableProducer, which our transport makes
        places = partitioner_of_many(self._settings.partitioner, self._settings.partitions)
        return Publisher(producer, self._topics, places)

    async def _score_all(self, takings: Sequence[Taking]) -> list[Scored]:
        scored = self._maker.events(takings, self._in_force.editions)
        self._taste(takings, scored)
        return scored

    def _taste(self, takings: Sequence[Taking], scored: Sequence[Scored]) -> None:
        for taking, made in zip(takings, scored, strict=True):
            segments = made.rows["segment"][taking.batch.customer]
            self._tastes.add(segments, taking.batch.events, taking.now_ms)

    async def commit_offsets(self) -> None:
        """Timer: tell Kafka how far the lanes are, for lag and tools."""
        await self._commit(self.lanes)

    async def _commit(self, lanes: dict[int, Lane]) -> None:
        offsets = {
            partition: lane.next_offset
            for partition, lane in lanes.items()
            if lane.next_offset is not None
        }
        if offsets:
            await self._position.commit(offsets)

    async def refresh(self) -> None:
        """Timer: take over newer models and labels, and tell how things stand."""
        try:
            await self._in_force.refresh()
            await self._learn_layouts()
            await self._count_customers()
            if self._tastes.is_due:
                await self._tastes.flush()
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("Redis does not answer: %s", error)
        self._observe()

    async def _learn_layouts(self) -> None:
        """Make profiles readable that a worker with another configuration has stored since."""
        for schema_id, layout in (await self._catalogue.schemas()).items():
            self._maker.schema.learn_layout(schema_id, layout)

    async def _count_customers(self) -> None:
        metrics.CUSTOMERS.clear()
        for segmentation in self._maker.segmentations:
            counts = await self._catalogue.sizes(list(self.lanes), segmentation.name)
            for segment, count in counts.items():
                metrics.CUSTOMERS.labels(segmentation=segmentation.name, segment=segment).set(count)

    def _observe(self) -> None:
        metrics.PROFILES_CACHED.set(sum(len(lane.cache) for lane in self.lanes.values()))
        metrics.PARTITION_LAG.clear()
        for partition, lane in self.lanes.items():
            if lane.next_offset is not None:
                end = self._position.end(partition)
                if end is not None:
                    lag = max(end - lane.next_offset, 0)
                    metrics.PARTITION_LAG.labels(partition=str(partition)).set(lag)
        for edition in self._in_force.editions:
            if edition.model:
                name, age_ms = (
                    edition.segmentation.name,
                    self._clock_ms() - edition.model.created_ms,
                )
                metrics.MODEL_VERSION.labels(segmentation=name).set(edition.version)
                metrics.MODEL_AGE_SECONDS.labels(segmentation=name).set(age_ms / 1000)
