"""A lane with everything around it in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord

from models.accumulators import update
from models.editions import Edition, Editions
from models.features import Feature, Kind, Selector
from models.identifiers import CustomerId
from models.labels import NO_LABELS, LabelBook
from models.profiles import DAY_MS, ProfileSchema
from models.scaling import Scaler
from models.segmentation import Segmentation
from models.snapshots import Segment, Snapshot
from stream.batches import Reading, Rejection, columns_of, read_batch
from stream.change_maker import ChangeMaker
from stream.lanes import Lane, LaneLimits
from stream.money import Money
from stream.rounds import Rounds
from stream.steps import Scored, StepMaker, Taking
from stream.store import Store
from stream.transport import RecordBatch
from tests.memory_store import MemoryStore

START_MS = 1_500_000_000_000
ORDERS = Selector(("order_completed",))
SCHEMA = ProfileSchema(
    (
        Feature("orders", Kind.COUNT, ORDERS, scale="linear"),
        Feature("recency", Kind.RECENCY, ORDERS, scale="linear", cap_days=365),
    )
)
SEGMENTATION = Segmentation("default", SCHEMA, SCHEMA.features)


def maker(*, is_live: bool = False, partition: int = 0) -> StepMaker:
    return StepMaker(
        schema=SCHEMA,
        segmentations=(SEGMENTATION,),
        change_maker=ChangeMaker("/test/worker"),
        reading=Reading(Money("EUR"), dict(SCHEMA.types), lambda _: partition, correct_skew=False),
        expire_after_ms=100 * DAY_MS,
        is_live=is_live,
    )


def event(customer: str, number: int, *, time_ms: int | None = None, **changes: Any) -> bytes:
    content = {
        "event_id": f"{customer}-{number}",
        "customer_id": customer,
        "type": "order_completed",
        "timestamp": START_MS + number if time_ms is None else time_ms,
    }
    return json.dumps(content | changes).encode()


def record(offset: int, value: bytes | None, key: bytes | None = None) -> ConsumerRecord:
    return ConsumerRecord(
        topic="shoal.events",
        partition=0,
        offset=offset,
        timestamp=START_MS,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value or b""),
        headers=(),
    )


def two_segments(version: int = 1) -> Snapshot:
    """A model that puts customers with about one order in s1, with about five in s2."""
    rows = SCHEMA.empty(2)
    batch = read_batch(
        [record(0, event("few", 0)), *(record(i, event("many", i)) for i in range(1, 6))],
        partition=0,
        now_ms=START_MS,
        known=(),
        reading=maker().reading,
    )
    update(SCHEMA, rows, columns_of([batch], maker().reading))
    vectors = SCHEMA.vectors(rows, START_MS)
    scaler = Scaler.fit(SCHEMA.features, vectors)
    return Snapshot(
        segmentation="default",
        version=version,
        epoch=1,
        created_ms=START_MS,
        now_ms=START_MS,
        customers=2,
        algorithm="online_kmeans",
        river_version="0",
        scaler=scaler,
        centroids=scaler.transform(vectors),
        segments=(Segment(1, "Few orders", 0.5, 1), Segment(2, "Many orders", 0.5, 1)),
        next_number=3,
        sample_threshold=1.0,
        margin=0.1,
    )


@dataclass
class MemoryKafka:
    """What a lane tells, and where it reads."""

    told: list[tuple[CustomerId, bytes]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    sampled: dict[CustomerId, bytes | None] = field(default_factory=dict)
    sought: list[int] = field(default_factory=list)
    fail: Callable[[], None] | None = None
    log_end: int = 1_000_000

    async def changes(self, changes: Sequence[tuple[CustomerId, bytes]]) -> None:
        if self.fail:
            self.fail()
        self.told += changes

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        self.sampled |= profiles

    async def rejections(self, rejections: Sequence[Rejection]) -> None:
        self.rejected += rejections

    async def seek(self, partition: int, offset: int) -> int:  # noqa: ARG002 - one partition
        self.sought.append(offset)
        return len(self.sought)

    async def earliest(self, partition: int) -> int:  # noqa: ARG002 - one partition
        return 0

    async def latest(self, partition: int) -> int:  # noqa: ARG002 - one partition
        return self.log_end

    def end(self, partition: int) -> int | None:  # noqa: ARG002 - not known here
        return None

    def batch(self, *records: ConsumerRecord, read_from: int | None = None) -> RecordBatch:
        """Records as the consumer hands them over after its last seek."""
        read = records[0].offset if read_from is None else read_from
        return RecordBatch(0, list(records), len(self.sought), read)

    def events(self) -> list[dict[str, Any]]:
        """The changes, read."""
        return [json.loads(value) for _, value in self.told]


async def at_once() -> None:
    """Nothing has to be waited for."""


@dataclass
class Kit:
    """One lane and its surroundings."""

    store: Store
    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    model: Snapshot | None = None
    labels: LabelBook = NO_LABELS
    wall_ms: int = START_MS
    informed: Callable[[], Awaitable[None]] = at_once

    @property
    def editions(self) -> Editions:
        return (Edition(SEGMENTATION, self.model, self.labels),)

    def lane(
        self, step_maker: StepMaker | None = None, *, fenced_pause_seconds: float = 0.01
    ) -> Lane:
        return Lane(
            0,
            store=self.store,
            maker=step_maker or maker(),
            publisher=self.kafka,
            position=self.kafka,
            editions=lambda: self.editions,
            informed=self.informed,
            score=self._score(step_maker or maker()),
            rounds=Rounds(),
            limits=LaneLimits(
                batch_events=100,
                cache_profiles=1_000,
                sweep_customers_per_second=1e9,
                fenced_pause_seconds=fenced_pause_seconds,
            ),
            wall_ms=lambda: self.wall_ms,
        )

    def _score(self, step_maker: StepMaker) -> Callable[[Taking], Awaitable[Scored]]:
        async def score(taking: Taking) -> Scored:
            (scored,) = step_maker.events([taking], self.editions)
            return scored

        return score

    @asynccontextmanager
    async def running(self, step_maker: StepMaker | None = None) -> AsyncIterator[Lane]:
        lane = self.lane(step_maker)
        task = asyncio.create_task(lane.run())
        try:
            await until(lambda: lane.is_serving)
            yield lane
            lane.stop()
            await asyncio.wait_for(task, 5)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def orders(self) -> dict[str, float]:
        """Orders of each customer, as their profiles hold them."""
        assert isinstance(self.store, MemoryStore)
        profiles = self.store.lanes[0].profiles
        rows = SCHEMA.decode(list(profiles.values()))
        counts = SCHEMA.vectors(rows, START_MS)[:, 0]
        return {name: float(n) for name, n in zip(profiles, np.round(counts, 6), strict=True) if n}


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Return once the condition holds; fail when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of any kind
            await asyncio.sleep(0.001)
