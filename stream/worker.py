"""A worker: the lanes of the partitions that Kafka assigns to this process."""

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from time import monotonic, time

from faust.types import TP
from redis.exceptions import RedisError

from config.settings import Settings
from models.snapshots import Snapshot, SnapshotError
from stream import metrics
from stream.catalogue import Catalogue
from stream.lanes import Lane, LaneLimits
from stream.names import Topics
from stream.publisher import Publisher
from stream.steps import Scored, StepMaker, Taking
from stream.store import RedisStore
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
REDIS_LOST_SECONDS = 2.0
SCORE_LINGER_SECONDS = 0.002


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

    def lag(self, partition: int, next_offset: int) -> int | None:
        """See `Position.lag`."""
        try:
            highwater = self._consumer.highwater(TP(self._topic, partition))
        except (AssertionError, AttributeError, KeyError):
            return None  # aiokafka knows no highwater before its first fetch
        return None if highwater is None else max(highwater - next_offset, 0)

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
        maker: StepMaker,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.model: Snapshot | None = None
        self.lanes: dict[int, Lane] = {}
        self._app = app
        self._settings = settings
        self._store = store
        self._catalogue = catalogue
        self._maker = maker
        self._clock_ms = clock_ms
        self._topics = Topics(settings.namespace)
        self._position = FaustPosition(app, self._topics.events)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._score: Together[Taking, Scored] = Together(
            self._score_all, linger_seconds=SCORE_LINGER_SECONDS
        )
        self._redis_answered = monotonic()
        self._known_version = 0

    @property
    def is_ready(self) -> bool:
        """Whether partitions are assigned, all their lanes are served, and Redis answers."""
        claimed = all(lane.is_serving for lane in self.lanes.values())
        return bool(self.lanes) and claimed and self._redis_lost_seconds < REDIS_LOST_SECONDS

    @property
    def _redis_lost_seconds(self) -> float:
        return monotonic() - self._redis_answered

    async def take(self, batches: AsyncIterable[RecordBatch]) -> None:
        """The agent: hand each batch to its lane; a full lane holds the others back."""
        async for batch in batches:
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
        metrics.PARTITIONS_ASSIGNED.set(len(partitions))

    async def quiesce(self) -> None:
        """Let the steps in flight end and tell Kafka how far the lanes are."""
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
            publisher=Publisher(self._app.producer, self._topics),
            position=self._position,
            model=lambda: self.model,
            score=self._score,
            limits=LaneLimits(
                batch_events=settings.batch_events,
                cache_profiles=max(settings.cache_profiles // count, 1),
                sweep_customers_per_second=settings.sweep_customers_per_second / count,
                fenced_pause_seconds=1.5 * settings.session_timeout_seconds,
            ),
            wall_ms=self._clock_ms,
        )

    async def _score_all(self, takings: Sequence[Taking]) -> list[Scored]:
        return self._maker.events(takings, self.model)

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
        """Timer: take over a newer model, and see whether Redis answers."""
        try:
            version = await self._catalogue.model_version(self._maker.segmentation)
            self._redis_answered = monotonic()
            if version > self._known_version:
                await self._load_model(version)
                self._known_version = version
            await self._learn_layouts()
            await self._count_customers()
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("Redis does not answer: %s", error)
        self._observe()

    async def _load_model(self, version: int) -> None:
        blob = await self._catalogue.model(version, self._maker.segmentation)
        try:
            model = Snapshot.from_json(blob or b"")
        except SnapshotError as error:
            log.error("model %d: %s", version, error)  # noqa: TRY400 - the message says it all
            return
        if model.feature_names != self._maker.schema.names:
            log.error(
                "model %d measures other features than this worker's segmentation.yaml: "
                "start the trainer with the same file",
                version,
            )
            return
        self.model = model
        log.info("model %d is in force: %d segments", version, len(model.segments))

    async def _learn_layouts(self) -> None:
        """Make profiles readable that a worker with another configuration has stored since."""
        for schema_id, layout in (await self._catalogue.schemas()).items():
            self._maker.schema.learn_layout(schema_id, layout)

    async def _count_customers(self) -> None:
        counts = await self._catalogue.sizes(list(self.lanes))
        metrics.CUSTOMERS.clear()
        for segment, count in counts.items():
            metrics.CUSTOMERS.labels(segment=segment).set(count)

    def _observe(self) -> None:
        metrics.PROFILES_CACHED.set(sum(len(lane.cache) for lane in self.lanes.values()))
        metrics.PARTITION_LAG.clear()
        for partition, lane in self.lanes.items():
            if lane.next_offset is not None:
                lag = self._position.lag(partition, lane.next_offset)
                if lag is not None:
                    metrics.PARTITION_LAG.labels(partition=str(partition)).set(lag)
        if self.model:
            metrics.MODEL_VERSION.set(self.model.version)
            metrics.MODEL_AGE_SECONDS.set((self._clock_ms() - self.model.created_ms) / 1000)
