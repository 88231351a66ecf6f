"""The trainer's shell: profiles of the sample in, models of every segmentation out.

The population topic has one partition, so Kafka gives it to one trainer and keeps the others as
stand-bys. A trainer reads it from the start and needs no state of its own; the epochs that it
takes on assignment fence whoever trained before.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from faust.types import TP
from redis.exceptions import RedisError

from config.segmentation import SegmentationConfig
from models.errors import ShoalError
from models.identifiers import CustomerId
from models.profiles import ProfileSchema, UnknownProfileError
from stream import metrics
from stream.cards import Cards
from stream.catalogue import Catalogue, StaleTrainerError
from stream.labels import Labels
from stream.model_line import ModelLine
from stream.names import Topics
from stream.publisher import Publisher
from stream.together import cancelled
from stream.transport import BatchingApp, BatchingConsumer, RecordBatch, crash_on_error
from stream.waiting import waiting

log = logging.getLogger(__name__)

STALE_REST_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 5.0

Answer = TypeVar("Answer")
Lines = tuple[ModelLine, ...]


class Training:
    """One trainer process: it learns from what it reads, and publishes when that is worthwhile."""

    def __init__(
        self,
        app: BatchingApp,
        *,
        topics: Topics,
        catalogue: Catalogue,
        labels: Labels,
        cards: Cards,
        segmentation: SegmentationConfig,
        schema: ProfileSchema,
        wall_ms: Callable[[], int],
        is_live: bool,
    ) -> None:
        self._app = app
        self._topics = topics
        self._catalogue = catalogue
        self._labels = labels
        self._cards = cards
        self._config = segmentation
        self._schema = schema
        self._wall_ms = wall_ms
        self._is_live = is_live
        self._lines: Lines = ()
        self._seeks = -1
        self._offset = 0
        self._claiming: asyncio.Task[None] | None = None
        self._stands_by = False
        # Nobody touches a trainer while a thread trains it.
        self._at_work = asyncio.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether this trainer is the one that publishes, or stands by for it."""
        return self._stands_by or bool(self._lines)

    async def take(self, fetches: AsyncIterable[Sequence[RecordBatch]]) -> None:
        """The agent: learn from each batch of profiles, all of one partition."""
        async for (batch,) in fetches:
            async with self._at_work:
                if not self._lines or batch.seeks != self._seeks:
                    continue
                try:
                    await self._learn(self._lines, batch)
                except ShoalError as error:
                    self._end(error)
                    continue
                except Exception as error:
                    # Faust would go on with the next batch, and this one would never be learned.
                    await self._app.crash(error)
                    raise
                self._offset = batch.records[-1].offset + 1

    async def assign(self, assigned: Iterable[TP]) -> None:
        """Become the trainer, or a stand-by."""
        await self.quiesce()
        if any(tp.topic == self._topics.population for tp in assigned):
            self._begin()
        else:
            self._stands_by = True

    async def quiesce(self) -> None:
        """Stop publishing."""
        self._stands_by = False
        self._lines = ()
        if self._claiming:
            await cancelled(self._claiming)
            self._claiming = None

    def _begin(self, *, rest_seconds: float = 0.0) -> None:
        self._claiming = asyncio.create_task(self._claim(rest_seconds), name="trainer-claim")
        self._claiming.add_done_callback(crash_on_error(self._app))

    def _end(self, error: ShoalError) -> None:
        # Nothing is published any more while the process ends.
        self._lines = ()
        self._app.end(error)

    async def _claim(self, rest_seconds: float) -> None:
        await asyncio.sleep(rest_seconds)
        lines = self._make_lines()
        for line in lines:
            await until_redis_answers(line.begin)
        consumer = self._app.consumer
        assert isinstance(consumer, BatchingConsumer)  # noqa: S101 - our transport made it
        self._offset = 0
        self._seeks = await consumer.seek_lane(TP(self._topics.population, 0), 0)
        self._lines = lines
        log.info("training, %s", ", ".join(f"{x.name} in epoch {x.epoch}" for x in lines))

    def _make_lines(self) -> Lines:
        producer: Any = self._app.producer  # a DurableProducer, which our transport makes
        publisher = Publisher(producer, self._topics, lambda keys: [0] * len(keys))
        return tuple(
            ModelLine(
                grouping,
                self._config,
                catalogue=self._catalogue,
                labels=self._labels,
                publisher=publisher,
                source=f"/{self._topics.namespace}/trainer",
            )
            for grouping in self._config.groupings(self._schema)
        )

    async def _learn(self, lines: Lines, batch: RecordBatch) -> None:
        latest: dict[CustomerId, bytes | None] = {
            CustomerId((record.key or b"").decode()): record.value or None
            for record in batch.records
        }
        gone = [name for name, blob in latest.items() if blob is None]
        known = {name: blob for name, blob in latest.items() if blob is not None}
        try:
            rows = self._schema.decode(list(known.values()))
        except UnknownProfileError:
            # Workers announce a schema before they store under it: it is in Redis by now.
            layouts = await until_redis_answers(self._catalogue.schemas)
            for schema_id, layout in layouts.items():
                self._schema.learn_layout(schema_id, layout)
            rows = self._schema.decode(list(known.values()))
        for line in lines:
            line.trainer.forget(gone)
            line.trainer.observe(list(known), rows)
        metrics.TRAINER_UPDATES.inc(len(known))

    async def work(self) -> None:
        """Timer: publish what is worthwhile, and tell how far the sample is."""
        lines = self._lines
        try:
            for line in lines:
                await self._work_on(line, lines)
            for line in lines:
                if self._lines is lines:
                    await line.announce()
        except StaleTrainerError as error:
            if self._lines is not lines:
                return  # taken away meanwhile
            # Still assigned, so either Kafka has not told us yet, or Redis came back older.
            log.warning("%s; resting", error)
            self._lines = ()
            self._begin(rest_seconds=STALE_REST_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("Redis does not answer: %s", error)
        except ShoalError as error:
            self._end(error)

    async def refresh_cards(self) -> None:
        """Timer: show what operators and events say since the models were published."""
        try:
            for line in self._lines:
                await self._cards.refresh(line.name)
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("Redis does not answer: %s", error)

    async def _work_on(self, line: ModelLine, lines: Lines) -> None:
        wall_ms = self._wall_ms()
        await line.follow()
        async with self._at_work:
            if self._lines is not lines:
                return
            now_ms = wall_ms if self._is_live else line.trainer.latest_ms
            if line.is_free():
                await line.train(now_ms, wall_ms)
        if self._lines is lines:
            await line.publish()
            await line.report(self._offset)


async def until_redis_answers(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What Redis answers, however long it takes until it does."""
    pause = 0.1
    while True:
        try:
            return await ask()
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("the trainer waits for Redis: %r", error)
            with waiting("redis"):
                await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
