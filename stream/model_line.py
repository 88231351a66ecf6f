"""One segmentation's models, from a trainer to Redis and to Kafka."""

import asyncio
import logging
from time import monotonic, perf_counter

from config.segmentation import SegmentationConfig
from models.labels import NO_LABELS
from models.lineage import REASONS
from models.segmentation import Segmentation
from models.snapshots import Snapshot
from models.trainer import Trainer
from stream import metrics
from stream.cards import segment_cards
from stream.catalogue import EVERYBODY_PPM, KEPT_MODELS, Catalogue, StaleTrainerError
from stream.labels import Labels
from stream.model_events import model_event_bytes
from stream.publisher import Publisher

log = logging.getLogger(__name__)

OUTGROWN = 1.5


class ModelLine:
    """Trains and publishes the models of one segmentation, each the successor of the last.

    Nothing is published under an epoch that was passed, nor while an operator holds the models.
    A rollback passes the epoch by one, and the line goes on under it from the model that was
    brought back; whatever else passes it is another trainer.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        config: SegmentationConfig,
        *,
        catalogue: Catalogue,
        labels: Labels,
        publisher: Publisher,
        source: str,
    ) -> None:
        self.name = segmentation.name
        model = config.model_of(self.name)
        self.trainer = Trainer(segmentation, config.training(self.name), seed=model.seed)
        self.epoch = 0
        self.is_held = False
        self._schema = segmentation.schema
        self._pause_seconds = model.publish_every_seconds
        self._catalogue = catalogue
        self._labels = labels
        self._book = NO_LABELS
        self._publisher = publisher
        self._source = source
        self._published_at = -float("inf")
        self._unpublished: Snapshot | None = None
        self._version = 0
        self._announced = 0
        for reason in REASONS:
            metrics.MODELS_PUBLISHED.labels(segmentation=self.name, reason=reason)

    async def begin(self) -> None:
        """Claim an epoch, and go on from the model in force."""
        self.epoch = await self._catalogue.claim_training(self.name)
        await self._resume(await self._catalogue.training(self.name))

    async def _resume(self, told: dict[str, int]) -> None:
        self.trainer.begin_above(told.get("told_model", 0), told.get("told_segment", 0))
        self._unpublished = None
        self._version = await self._catalogue.model_version(self.name)
        if self._version:
            blob = await self._catalogue.model(self._version, self.name)
            self.trainer.resume(Snapshot.from_json(blob or b""))
        # Of models from before there were events only the last is told.
        self._announced = told.get("announced", self._version - 1)
        self._hold(told)

    def _hold(self, told: dict[str, int]) -> None:
        self.is_held = "hold" in told
        metrics.MODELS_HELD.labels(segmentation=self.name).set(self.is_held)

    async def follow(self) -> None:
        """Take notice of what operators did.

        Raises
        ------
        StaleTrainerError
            Another trainer has taken over.
        """
        told = await self._catalogue.training(self.name)
        epoch = told.get("epoch", 0)
        if epoch == self.epoch:
            self._hold(told)
        elif epoch == told.get("hold") == self.epoch + 1:
            await self._resume(told)
            self.epoch = epoch
            log.info("%s goes on from model %d, which was brought back", self.name, self._version)
        else:
            raise StaleTrainerError(
                f"epoch {self.epoch} of {self.name} was passed by {epoch}: another trainer has "
                "taken over"
            )

    def is_free(self) -> bool:
        """Whether the time of a new model has come, should one be wanted."""
        is_time = monotonic() - self._published_at >= self._pause()
        return is_time and not self.is_held and self._unpublished is None

    def _pause(self) -> float:
        """Seconds between models; a sample that has outgrown its model is not kept waiting."""
        before, customers = self.trainer.snapshot, self.trainer.customers
        is_outgrown = before is not None and customers >= OUTGROWN * before.customers
        return self._pause_seconds / 10 if is_outgrown else self._pause_seconds

    async def train(self, now_ms: int, created_ms: int) -> None:
        """Train a model if one is wanted, in a thread; nobody may touch the trainer meanwhile."""
        reason = self.trainer.due(now_ms)
        if reason is None:
            return
        self._book = await self._labels.load(self.name)
        self.trainer.reserved = self._book.names
        started = perf_counter()
        # A while for a large sample: health checks and Kafka are answered meanwhile.
        self._unpublished = await asyncio.to_thread(
            self.trainer.train,
            now_ms=now_ms,
            created_ms=created_ms,
            epoch=self.epoch,
            reason=reason,
        )
        metrics.TRAINING_SECONDS.observe(perf_counter() - started)

    async def publish(self) -> None:
        """Put in force what was trained.

        Raises
        ------
        StaleTrainerError
            The epoch was passed meanwhile.
        """
        if (snapshot := self._unpublished) is None:
            return
        await self._catalogue.publish_model(
            snapshot.to_json(),
            version=snapshot.version,
            epoch=self.epoch,
            segments=segment_cards(snapshot, self._schema, self._book),
            segmentation=self.name,
            previous=self._version,
        )
        self._unpublished, self._version = None, snapshot.version
        self._published_at = monotonic()
        metrics.MODELS_PUBLISHED.labels(segmentation=self.name, reason=snapshot.reason).inc()
        log.info(
            "%s: model %d of %d customers (%s): %s",
            self.name,
            snapshot.version,
            snapshot.customers,
            snapshot.reason,
            ", ".join(f"{s.name} ({s.share:.0%})" for s in snapshot.segments),
        )

    async def report(self, offset: int) -> None:
        """Tell people how far the trainer is; `offset` is the next one of the population."""
        trainer = self.trainer
        metrics.TRAINER_CUSTOMERS.labels(segmentation=self.name).set(trainer.customers)
        metrics.TRAINER_DISTANCE.labels(segmentation=self.name).set(trainer.distance)
        await self._catalogue.report_training(
            self.name,
            customers=trainer.customers,
            needed=trainer.needed,
            sampled_ppm=round(trainer.threshold * EVERYBODY_PPM),
            offset=offset,
        )

    async def announce(self) -> None:
        """Tell Kafka of the models that it was not told of, the oldest first.

        Only what is durable is told. One who dies before it has said so is followed by one who
        tells the same again.
        """
        if self._announced >= self._version:
            return
        first = max(self._announced, self._version - KEPT_MODELS) + 1
        for version in range(first, self._version + 1):
            blob = await self._catalogue.model(version, self.name)
            if blob is not None:
                event = model_event_bytes(Snapshot.from_json(blob), self._source)
                await self._publisher.models([(self.name, event)])
        await self._catalogue.report_training(self.name, announced=self._version)
        self._announced = self._version
