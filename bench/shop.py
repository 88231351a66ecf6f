"""Customers of a shop as profiles, and a model of them: what a state would hold, made at once."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Self

import numpy as np

from bench.common import BenchError
from config.segmentation import DEFAULT, SegmentationConfig
from config.settings import Settings
from models.columns import Ints, Rows
from models.editions import Edition, Editions
from models.foresight import next_change
from models.identifiers import CustomerId
from models.layout import DAY_MS
from models.profiles import ProfileSchema
from models.scoring import score
from models.trainer import Trainer
from stream.connections import connect_redis
from stream.names import Keys
from stream.partitions import partitioner
from stream.redis_store import RedisStore
from stream.store import Outcome, Reached, Step, StoredProfile, size_field

SAMPLE = 20_000
OWNER = "fill"
_APPROACHES, _CHOICE, _NEVER_MS = 3, 40, 1 << 60


@dataclass(frozen=True)
class Shop:
    """What is in force, and how long a customer is remembered."""

    schema: ProfileSchema
    editions: Editions
    expire_after_ms: int

    @classmethod
    def of(cls, config: SegmentationConfig, now_ms: int, seed: int = 7) -> "Shop":
        """A shop whose one model was learned from some of its customers just now."""
        schema = config.profile_schema()
        segmentation = config.groupings(schema)[0]
        trainer = Trainer(segmentation, config.training(DEFAULT))
        names = [CustomerId(f"sampled{number}") for number in range(SAMPLE)]
        trainer.observe(names, made_up(schema, SAMPLE, now_ms, seed), now_ms)
        model = trainer.train(now_ms=now_ms, created_ms=round(time() * 1000), epoch=1)
        expire_after_ms = round(config.expire_after_days * DAY_MS)
        return cls(schema, (Edition(segmentation, model),), expire_after_ms)

    def customers(self, n: int, now_ms: int, seed: int) -> Rows:
        """Profiles of so many customers, as the model scored them now."""
        return self.scored(made_up(self.schema, n, now_ms, seed), now_ms)

    def scored(self, rows: Rows, now_ms: int) -> Rows:
        """The profiles, scored now, in place."""
        for edition in self.editions:
            if edition.model:
                vectors = self.schema.vectors(rows, now_ms)
                score(edition.segmentation, edition.model, rows, vectors, now_ms)
        return rows

    def ends_ms(self, rows: Rows) -> Ints:
        """When each customer is forgotten."""
        ends: Ints = rows["last_ms"] + self.expire_after_ms
        return ends

    def changes_ms(self, rows: Rows, now_ms: int) -> Ints:
        """When each customer changes segment or is forgotten."""
        return next_change(self.editions, rows, now_ms, self.ends_ms(rows))

    def moving(self, n: int, now_ms: int, begin_ms: int, end_ms: int, seed: int) -> Rows:
        """At most n customers who change segment between two times from now on."""
        rows = self.customers(_CHOICE * n, now_ms, seed)
        changes = self.changes_ms(rows, now_ms)
        # Forgotten is not moved.
        soonest = np.argsort(np.where(changes < self.ends_ms(rows), changes, _NEVER_MS))[:n]
        rows, changes = rows[soonest], changes[soonest]
        wanted = np.linspace(begin_ms, end_ms, rows.size).astype(np.int64)
        # As if each had come earlier by just so much; not quite, for windows do not move along.
        for _ in range(_APPROACHES):
            by = changes - wanted
            rows["first_ms"] -= by
            rows["last_ms"] -= by
            rows["times"] -= by[:, np.newaxis]
            for at, slot in enumerate(self.schema.distinct_slots):
                rows["window"][:, at] = rows["last_ms"] // slot.window_ms
            changes = self.changes_ms(rows, now_ms)
        return rows[(begin_ms <= changes) & (changes < end_ms)]


class Filling:
    """Writes profiles into the lanes, as a worker would have that followed the shop's model."""

    def __init__(self, settings: Settings, shop: Shop) -> None:
        self._place = partitioner(settings.partitioner, settings.partitions)
        self._shop = shop
        self._redis = connect_redis(settings)
        self._store = RedisStore(self._redis, Keys(settings.namespace))
        self._claims: dict[int, tuple[int, int]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def write(self, prefix: str, rows: Rows, due_ms: Ints) -> None:
        """Profiles of customers whose names are the prefix and a number, and when they are due."""
        owned: defaultdict[int, list[StoredProfile]] = defaultdict(list)
        numbers: defaultdict[int, list[int]] = defaultdict(list)
        segments = rows["segment"][:, 0].tolist()
        for number, blob in enumerate(self._shop.schema.encode(rows)):
            name = f"{prefix}{number}"
            partition = self._place(name.encode())
            owned[partition].append(StoredProfile(CustomerId(name), blob, int(due_ms[number])))
            numbers[partition].append(segments[number])
        for partition, profiles in owned.items():
            await self._step(partition, profiles, Counter(numbers[partition]))

    async def _step(
        self, partition: int, profiles: Sequence[StoredProfile], sizes: Mapping[int, int]
    ) -> None:
        if partition not in self._claims:
            state = await self._store.claim(partition, owner=OWNER)
            self._claims[partition] = state.epoch, state.seq
        epoch, seq = self._claims[partition]
        outcome = await self._store.step(
            Step(
                partition=partition,
                epoch=epoch,
                owner=OWNER,
                seq=seq,
                next_offset=0,
                clock="",
                pending=b"",
                reached={
                    edition.segmentation.name: Reached(edition.version, edition.digest)
                    for edition in self._shop.editions
                },
                profiles=profiles,
                sizes={size_field(DEFAULT, number): by for number, by in sizes.items()},
                ttl_ms=2 * self._shop.expire_after_ms,
            )
        )
        if outcome is not Outcome.APPLIED:
            raise BenchError(f"a profile was not written ({outcome}): nobody else may use Redis")
        self._claims[partition] = epoch, seq + 1


def made_up(schema: ProfileSchema, n: int, now_ms: int, seed: int) -> Rows:
    """Profiles of customers who came last about two months ago."""
    random = np.random.default_rng(seed)
    rows = schema.empty(n)
    rows["last_ms"] = now_ms - random.exponential(60 * DAY_MS, n).astype(np.int64) % (700 * DAY_MS)
    rows["first_ms"] = rows["last_ms"] - random.exponential(200 * DAY_MS, n).astype(np.int64)
    rows["times"] = rows["last_ms"][:, np.newaxis]
    activity = random.lognormal(0, 1, (n, 1))
    rows["sums"] = activity * random.lognormal(0, 0.7, rows["sums"].shape)
    for at, slot in enumerate(schema.distinct_slots):
        rows["window"][:, at] = rows["last_ms"] // slot.window_ms
    rows["bits"] = random.integers(0, 1 << 12, rows["bits"].shape)
    rows["ids"] = random.integers(1, 1 << 62, rows["ids"].shape)
    return rows
