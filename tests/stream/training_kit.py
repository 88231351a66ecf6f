"""A trainer's shell with everything around it in memory."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord
from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError

from config.features import FeatureConfig
from config.segmentation import ModelConfig, SegmentationConfig
from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.labels import LabelBook
from models.profiles import DAY_MS, ProfileSchema
from models.snapshots import Snapshot
from models.trainer import Trainer
from stream.cards import Cards
from stream.catalogue import Catalogue, StaleTrainerError
from stream.history import History, _bring_back
from stream.labels import Labels
from stream.names import Topics
from stream.training import Training
from stream.transport import BatchingConsumer, RecordBatch
from tests.stream.lane_kit import START_MS, record, until
from tests.stream.test_publisher import FailingProducer

POPULATION = TP("shoal.population", 0)
CONFIG = SegmentationConfig(
    features={
        "orders": FeatureConfig(kind=Kind.COUNT, events=("order_completed",)),
        "tenure": FeatureConfig(kind=Kind.TENURE),
    },
    model=ModelConfig(k=2, min_customers=10, publish_every_seconds=30, min_new_share=0.2),
)
OLDER = ProfileSchema((Feature("views", Kind.COUNT), *CONFIG.profile_schema().features))


@dataclass
class Shelf:
    """What trainers share of one segmentation."""

    version: int = 0
    blobs: dict[int, bytes] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    training: dict[str, int] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        return self.training.get("epoch", 0)

    @property
    def published(self) -> Snapshot:
        return Snapshot.from_json(self.blobs[self.version])


class MemoryCatalogue(Catalogue):
    """What trainers share, in memory; while `fails` is set, nothing answers."""

    def __init__(self) -> None:
        self.shelves: defaultdict[str, Shelf] = defaultdict(Shelf)
        self.layouts: dict[int, dict[str, list[str]]] = {}
        self.fails: Exception | None = None
        self.calls = 0

    def _answer(self) -> None:
        self.calls += 1
        if self.fails:
            raise self.fails

    async def claim_training(self, segmentation: str) -> int:
        self._answer()
        shelf = self.shelves[segmentation]
        shelf.training["epoch"] = shelf.epoch + 1
        return shelf.epoch

    async def model_version(self, segmentation: str) -> int:
        self._answer()
        return self.shelves[segmentation].version

    async def model(self, version: int, segmentation: str) -> bytes | None:
        self._answer()
        return self.shelves[segmentation].blobs.get(version)

    async def publish_model(
        self,
        snapshot: bytes,
        *,
        version: int,
        epoch: int,
        segments: Mapping[str, str],
        segmentation: str,
        previous: int | None = None,
        hold: int = 0,
    ) -> None:
        self._answer()
        shelf = self.shelves[segmentation]
        if epoch != shelf.epoch or version <= shelf.version:
            raise StaleTrainerError("another trainer has taken over")
        assert previous == shelf.version
        if hold:
            shelf.training |= {"epoch": epoch + 1, "hold": epoch + 1}
        shelf.version, shelf.blobs[version], shelf.cards = version, snapshot, dict(segments)

    async def release(self, segmentation: str) -> bool:
        return self.shelves[segmentation].training.pop("hold", None) is not None

    async def report_training(self, segmentation: str, **progress: int) -> None:
        self._answer()
        self.shelves[segmentation].training |= progress

    async def training(self, segmentation: str) -> dict[str, int]:
        self._answer()
        return dict(self.shelves[segmentation].training)

    async def schemas(self) -> dict[int, dict[str, list[str]]]:
        self._answer()
        return self.layouts


class MemoryLabels(Labels):
    """What operators call segments, in memory."""

    def __init__(self) -> None:
        self.books: dict[str, LabelBook] = {}

    async def load(self, segmentation: str) -> LabelBook:
        return self.books.get(segmentation, LabelBook())


class MemoryCards(Cards):
    """Cards that are refreshed, by segmentation."""

    def __init__(self) -> None:
        self.refreshed: list[str] = []
        self.fails = False

    async def refresh(self, segmentation: str) -> bool:
        if self.fails:
            raise RedisConnectionError("gone")
        self.refreshed.append(segmentation)
        return True


class SeekingConsumer(BatchingConsumer):
    """A consumer without Kafka, that remembers where it was sent."""

    def __init__(self) -> None:
        self._seeks = defaultdict(int)
        self._sought = {}
        self.positions: list[dict[TP, int]] = []

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.positions.append(dict(partitions))


class TrainingKit:
    """A trainer and its surroundings."""

    def __init__(
        self, *, is_live: bool = True, config: SegmentationConfig = CONFIG, name: str = "default"
    ) -> None:
        self.name = name
        self.config = config
        self.catalogue = MemoryCatalogue()
        self.labels = MemoryLabels()
        self.cards = MemoryCards()
        self.consumer = SeekingConsumer()
        self.producer = FailingProducer()
        self.crashes: list[BaseException] = []
        self.wall_ms = START_MS + 10 * DAY_MS
        self.schema = config.profile_schema()
        app: Any = SimpleNamespace(
            consumer=self.consumer,
            producer=self.producer,
            crash=self._crash,
            end=self.crashes.append,
        )
        self.training = Training(
            app,
            topics=Topics("shoal"),
            catalogue=self.catalogue,
            labels=self.labels,
            cards=self.cards,
            segmentation=config,
            schema=self.schema,
            wall_ms=lambda: self.wall_ms,
            is_live=is_live,
        )
        self.offset = 0

    async def _crash(self, error: BaseException) -> None:
        self.crashes.append(error)

    async def assign(self, *assigned: TP) -> None:
        await self.training.assign(assigned or (POPULATION,))
        await until(lambda: self.training.is_ready)

    def profiles(self, numbers: Sequence[int], schema: ProfileSchema | None = None) -> list[bytes]:
        made = schema or self.schema
        rows = made.empty(len(numbers))
        rows["first_ms"], rows["last_ms"] = START_MS, START_MS + np.array(numbers)
        rows["sums"][:, 0] = np.array(numbers) % 2 * 20 + 1
        return made.encode(rows)

    async def send(self, numbers: Sequence[int]) -> None:
        await self.tell(list(zip(map(name, numbers), self.profiles(numbers), strict=True)))

    async def tell(
        self, profiles: Sequence[tuple[bytes, bytes | None]], seeks: int | None = None
    ) -> None:
        records = [record(self.offset + i, blob, key) for i, (key, blob) in enumerate(profiles)]
        self.offset += len(records)
        await self.training.take(self._one(records, seeks))

    async def _one(
        self, records: list[ConsumerRecord], seeks: int | None
    ) -> AsyncIterator[list[RecordBatch]]:
        current = self.consumer._seeks[POPULATION]
        yield [RecordBatch(0, records, current if seeks is None else seeks, records[0].offset)]

    @property
    def trainer(self) -> Trainer:
        (line,) = (line for line in self.training._lines if line.name == self.name)
        return line.trainer

    @property
    def customers(self) -> set[CustomerId]:
        return set(self.trainer.population.customers)

    @property
    def shelf(self) -> Shelf:
        return self.catalogue.shelves[self.name]

    @property
    def published(self) -> Snapshot:
        return self.shelf.published

    @property
    def events(self) -> list[dict[str, Any]]:
        """What Kafka was told of models."""
        assert {topic for topic, _, _, _ in self.producer.sent} <= {"shoal.models"}
        return [json.loads(value or b"") for value in self.producer.values]

    async def roll_back(self, version: int) -> Snapshot:
        """Do what `shoal models rollback` does."""
        history = History(
            next(g for g in self.config.groupings(self.schema) if g.name == self.name),
            {at: Snapshot.from_json(blob) for at, blob in self.shelf.blobs.items()},
            self.shelf.training,
        )
        brought = _bring_back(history, version)
        await self.catalogue.publish_model(
            brought.to_json(),
            version=brought.version,
            epoch=self.shelf.epoch,
            segments={},
            segmentation=self.name,
            previous=brought.lineage.previous,
            hold=7,
        )
        return brought


def name(number: int) -> bytes:
    return b"c%d" % number


def named(*numbers: int) -> set[CustomerId]:
    return {CustomerId(f"c{number}") for number in numbers}
