"""A trainer's shell with everything around it in memory."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord
from faust.types import TP

from config.segmentation import FeatureConfig, ModelConfig, SegmentationConfig
from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.profiles import DAY_MS, ProfileSchema
from models.snapshots import Snapshot
from stream.catalogue import Catalogue, StaleTrainerError
from stream.training import Training
from stream.transport import BatchingConsumer, RecordBatch
from tests.stream.lane_kit import START_MS, record, until

POPULATION = TP("shoal.population", 0)
CONFIG = SegmentationConfig(
    features={
        "orders": FeatureConfig(kind=Kind.COUNT, events=("order_completed",)),
        "tenure": FeatureConfig(kind=Kind.TENURE),
    },
    model=ModelConfig(k=2, min_customers=10, publish_every_seconds=30, min_new_share=0.2),
)
OLDER = ProfileSchema((Feature("views", Kind.COUNT), *CONFIG.profile_schema().features))


class MemoryCatalogue(Catalogue):
    """What trainers share, in memory; while `fails` is set, nothing answers."""

    def __init__(self) -> None:
        self.epoch = 0
        self.version = 0
        self.models: dict[int, bytes] = {}
        self.cards: dict[str, str] = {}
        self.reports: list[dict[str, int]] = []
        self.layouts: dict[int, dict[str, list[str]]] = {}
        self.fails: Exception | None = None
        self.calls = 0

    def _answer(self) -> None:
        self.calls += 1
        if self.fails:
            raise self.fails

    async def claim_training(self, segmentation: str) -> int:
        self._answer()
        assert segmentation == "default"
        self.epoch += 1
        return self.epoch

    async def model_version(self, segmentation: str) -> int:  # noqa: ARG002 - there is one
        self._answer()
        return self.version

    async def model(self, version: int, segmentation: str) -> bytes | None:  # noqa: ARG002 - one
        self._answer()
        return self.models.get(version)

    async def publish_model(
        self,
        snapshot: bytes,
        *,
        version: int,
        epoch: int,
        segments: Mapping[str, str],
        segmentation: str,  # noqa: ARG002 - there is one
    ) -> None:
        self._answer()
        if epoch != self.epoch or version <= self.version:
            raise StaleTrainerError("another trainer has taken over")
        self.version, self.models[version], self.cards = version, snapshot, dict(segments)

    async def report_training(self, segmentation: str, **progress: int) -> None:  # noqa: ARG002 - one
        self._answer()
        self.reports.append(progress)

    async def schemas(self) -> dict[int, dict[str, list[str]]]:
        self._answer()
        return self.layouts


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

    def __init__(self, *, is_live: bool = True) -> None:
        self.catalogue = MemoryCatalogue()
        self.consumer = SeekingConsumer()
        self.crashes: list[BaseException] = []
        self.wall_ms = START_MS + 10 * DAY_MS
        self.schema = CONFIG.profile_schema()
        app: Any = SimpleNamespace(consumer=self.consumer, crash=self._crash)
        self.training = Training(
            app,
            topic=POPULATION.topic,
            catalogue=self.catalogue,
            segmentation=CONFIG,
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
    ) -> AsyncIterator[RecordBatch]:
        current = self.consumer._seeks[POPULATION]
        yield RecordBatch(0, records, current if seeks is None else seeks)

    @property
    def customers(self) -> set[CustomerId]:
        assert self.training._trainer is not None
        return set(self.training._trainer.population.customers)

    @property
    def published(self) -> Snapshot:
        return Snapshot.from_json(self.catalogue.models[self.catalogue.version])


def name(number: int) -> bytes:
    return b"c%d" % number


def named(*numbers: int) -> set[CustomerId]:
    return {CustomerId(f"c{number}") for number in numbers}
