"""The trainer's shell: profiles of the sample in, models out.

The population topic has one partition, so Kafka gives it to one trainer and keeps the others as
stand-bys. A trainer reads it from the start and needs no state of its own; the epoch that it
takes on assignment fences whoever trained before.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from time import monotonic, perf_counter
from typing import TypeVar

from faust.types import TP
from redis.exceptions import RedisError

from config.segmentation import SegmentationConfig
from models.identifiers import CustomerId
from models.profiles import ProfileSchema, UnknownProfileError
from models.snapshots import Snapshot
from models.trainer import Trainer
from stream import metrics
from stream.cards import segment_cards
from stream.catalogue import EVERYBODY_PPM, Catalogue, StaleTrainerError
from stream.transport import BatchingApp, BatchingConsumer, RecordBatch, crash_on_error

log = logging.getLogger(__name__)

OUTGROWN = 1.5
STALE_REST_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 5.0

Answer = TypeVar("Answer")


class Training:
    """One trainer process: it learns from what it reads, and publishes when that is worthwhile."""

    def __init__(
        self,
        app: BatchingApp,
        *,
        topic: str,
        catalogue: Catalogue,
        segmentation: SegmentationConfig,
        schema: ProfileSchema,
        wall_ms: Callable[[], int],
        is_live: bool,
    ) -> None:
        self._app = app
        self._topic = topic
        self._catalogue = catalogue
        self._config = segmentation
        self._schema = schema
        self._wall_ms = wall_ms
        self._is_live = is_live
        self._trainer: Trainer | None = None
        self._epoch = 0
        self._seeks = -1
        self._offset = 0
        self._published_at = -float("inf")
        self._unpublished: Snapshot | None = None
        self._claiming: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether this trainer is the one that publishes."""
        return self._trainer is not None

    async def take(self, batches: AsyncIterable[RecordBatch]) -> None:
        """The agent: learn from each batch of profiles."""
        async for batch in batches:
            if self._trainer is None or batch.seeks != self._seeks:
                continue
            try:
                await self._learn(self._trainer, batch)
            except Exception as error:
                # Faust would go on with the next batch, and this one would never be learned.
                await self._app.crash(error)
                raise
            self._offset = batch.records[-1].offset + 1

    async def assign(self, assigned: Iterable[TP]) -> None:
        """Become the trainer, or a stand-by."""
        await self.quiesce()
        if any(tp.topic == self._topic for tp in assigned):
            self._begin()

    async def quiesce(self) -> None:
        """Stop publishing."""
        self._trainer = None
        if self._claiming:
            self._claiming.cancel()
            await asyncio.gather(self._claiming, return_exceptions=True)
            self._claiming = None

    def _begin(self, *, rest_seconds: float = 0.0) -> None:
        self._claiming = asyncio.create_task(self._claim(rest_seconds), name="trainer-claim")
        self._claiming.add_done_callback(crash_on_error(self._app))

    async def _claim(self, rest_seconds: float) -> None:
        await asyncio.sleep(rest_seconds)
        self._unpublished = None
        self._epoch = await until_redis_answers(
            lambda: self._catalogue.claim_training(self._config.name)
        )
        trainer = await until_redis_answers(self._restore)
        consumer = self._app.consumer
        assert isinstance(consumer, BatchingConsumer)  # noqa: S101 - our transport made it
        self._offset = 0
        self._seeks = await consumer.seek_lane(TP(self._topic, 0), 0)
        self._trainer = trainer
        log.info("training, epoch %d", self._epoch)

    async def _restore(self) -> Trainer:
        trainer = Trainer(self._schema, self._config.training(), seed=self._config.model.seed)
        version = await self._catalogue.model_version(self._config.name)
        if version:
            blob = await self._catalogue.model(version, self._config.name)
            trainer.resume(Snapshot.from_json(blob or b""))
        return trainer

    async def _learn(self, trainer: Trainer, batch: RecordBatch) -> None:
        latest: dict[CustomerId, bytes | None] = {
            CustomerId(record.key.decode()): record.value or None for record in batch.records
        }
        trainer.forget([name for name, blob in latest.items() if blob is None])
        known = {name: blob for name, blob in latest.items() if blob is not None}
        try:
            rows = self._schema.decode(list(known.values()))
        except UnknownProfileError:
            # Workers announce a schema before they store under it: it is in Redis by now.
            layouts = await until_redis_answers(self._catalogue.schemas)
            for schema_id, layout in layouts.items():
                self._schema.learn_layout(schema_id, layout)
            rows = self._schema.decode(list(known.values()))
        trainer.observe(list(known), rows)
        metrics.TRAINER_UPDATES.inc(len(known))

    async def work(self) -> None:
        """Timer: publish when that is worthwhile, and tell how far the sample is."""
        trainer = self._trainer
        if trainer is None:
            return
        try:
            wall_ms = self._wall_ms()
            now_ms = wall_ms if self._is_live else trainer.latest_ms
            is_time = monotonic() - self._published_at >= self._pause(trainer)
            if self._unpublished is None and is_time and trainer.due(now_ms):
                self._unpublished = self._train(trainer, now_ms, wall_ms)
            if self._unpublished is not None:
                await self._publish(self._unpublished)
                self._unpublished = None
            metrics.TRAINER_CUSTOMERS.set(trainer.customers)
            await self._catalogue.report_training(
                self._config.name,
                customers=trainer.customers,
                needed=trainer.needed,
                sampled_ppm=round(trainer.threshold * EVERYBODY_PPM),
                offset=self._offset,
            )
        except StaleTrainerError as error:
            if self._trainer is not trainer:
                return  # taken away meanwhile
            # Still assigned, so either Kafka has not told us yet, or Redis came back older.
            log.warning("%s; resting", error)
            self._trainer = None
            self._begin(rest_seconds=STALE_REST_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("Redis does not answer: %s", error)

    def _pause(self, trainer: Trainer) -> float:
        """Seconds between models; a sample that has outgrown its model is not kept waiting."""
        pause = self._config.model.publish_every_seconds
        before = trainer.snapshot
        is_outgrown = before is not None and trainer.customers >= OUTGROWN * before.customers
        return pause / 10 if is_outgrown else pause

    def _train(self, trainer: Trainer, now_ms: int, wall_ms: int) -> Snapshot:
        started = perf_counter()
        snapshot = trainer.train(now_ms=now_ms, created_ms=wall_ms, epoch=self._epoch)
        metrics.TRAINING_SECONDS.observe(perf_counter() - started)
        return snapshot

    async def _publish(self, snapshot: Snapshot) -> None:
        await self._catalogue.publish_model(
            snapshot.to_json(),
            version=snapshot.version,
            epoch=self._epoch,
            segments=segment_cards(snapshot, self._schema),
            segmentation=self._config.name,
        )
        self._published_at = monotonic()
        metrics.MODELS_PUBLISHED.inc()
        log.info(
            "model %d of %d customers: %s",
            snapshot.version,
            snapshot.customers,
            ", ".join(f"{s.name} ({s.share:.0%})" for s in snapshot.segments),
        )


async def until_redis_answers(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What Redis answers, however long it takes until it does."""
    pause = 0.1
    while True:
        try:
            return await ask()
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("the trainer waits for Redis: %r", error)
            await asyncio.sleep(pause)
            metrics.WAITING_SECONDS.labels(server="redis").inc(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
