"""What a worker has told and counted, against what it should have."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bench.common import BenchError
from bench.feed import Feed
from bench.timeline import Template, decayed
from config.segmentation import load_segmentation
from models.columns import Floats
from models.features import Feature, Kind, Selector
from models.identifiers import CustomerId
from stream.connections import connect_redis, kafka_options
from stream.local import Local
from stream.names import Keys, Topics
from stream.redis_store import RedisStore

SAMPLE = 200
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Told:
    """A change, or a model, that Kafka was told of at `at_ms`."""

    at_ms: int
    partition: int
    id: str
    who: str
    time: str
    reason: str
    model: int

    @classmethod
    def of(cls, record: ConsumerRecord[bytes, bytes]) -> Self:
        """From what a topic of CloudEvents holds."""
        change = json.loads(record.value or b"")
        data = change["data"]
        return cls(
            at_ms=record.timestamp,
            partition=record.partition,
            id=change["id"],
            who=change["subject"],
            time=change["time"],
            reason=data["reason"],
            model=data["model_version"] if "model_version" in data else data["version"],
        )


@dataclass(frozen=True, slots=True)
class Telling:
    """What was told.

    `twice` are changes by events of which a later one of the same customer was told in the same
    step. `outdated` are those by an older model than one that was in force before the worker was
    started, or that it had used before this step began. `followed_ms` is how long after a model
    was announced the first change by it was told, at most.
    """

    changes: int
    by_events: int
    again: int
    twice: int
    outdated: int
    models: int
    followed_ms: int


def judge(changes: Iterable[Told], models: Sequence[Told], since_ms: int) -> Telling:
    """Look at what a worker that was started then has told."""
    announced = {model.model: model.at_ms for model in models}
    newest = max((number for number, at in announced.items() if at < since_ms), default=0)
    ids, moments = set[str](), set[tuple[str, str]]()
    # When a model is first used, each lane may have one step on its way that was scored before.
    on_its_way: dict[int, str] | None = None
    again = twice = outdated = by_events = followed_ms = 0
    for change in sorted(changes, key=lambda told: told.at_ms):
        if change.at_ms < since_ms:
            continue
        if change.id in ids:
            again += 1  # by a claim: the same change, byte for byte
            continue
        ids.add(change.id)
        if change.model > newest:
            newest, on_its_way = change.model, {}
            waited_ms = change.at_ms - announced.get(newest, change.at_ms)
            followed_ms = max(followed_ms, waited_ms)
        elif change.model < newest:
            is_late = on_its_way is None or (
                on_its_way.setdefault(change.partition, change.time) != change.time
            )
            outdated += is_late
        if change.reason == "event":
            by_events += 1
            twice += (change.who, change.time) in moments
            moments.add((change.who, change.time))
    published = sum(at >= since_ms for at in announced.values())
    return Telling(len(ids), by_events, again, twice, outdated, published, followed_ms)


async def telling(local: Local, since_ms: int) -> Telling:
    """What the topics of changes and of models hold from a moment on."""
    topics = Topics(local.settings.namespace)
    models = [told async for told in _told(local, topics.models, range(1))]
    changes = [told async for told in _told(local, topics.changes, local.observer.partitions)]
    return judge(changes, models, since_ms)


async def _told(local: Local, topic: str, partitions: range) -> AsyncIterator[Told]:
    consumer = AIOKafkaConsumer(**kafka_options(local.settings), enable_auto_commit=False)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in partitions]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    yield Told.of(record)
    finally:
        await consumer.stop()


@dataclass(frozen=True, slots=True)
class Act:
    """What a customer does each time the circle comes around."""

    type: str
    value: float
    times_ms: list[int]

    @classmethod
    def of(cls, template: Template, times_ms: list[int]) -> Self:
        """An event that happened at these times."""
        event = template.fields
        value = event["properties"].get("revenue", 0.0)
        return cls(event["type"], value, times_ms)


async def largest_error(local: Local, feed: Feed) -> float:
    """How far decayed counts and sums are from those made of the events' own times.

    Of a sample of customers: the largest difference, relative to what it should be.

    Raises
    ------
    BenchError
        It is more than rounding.
    """
    features = load_segmentation(local.settings.segmentation).profile_schema().features
    known = list(feed.customers)
    names = known[:: max(len(known) // SAMPLE, 1)]
    acts = acts_of(feed, names)
    now_ms = feed.timeline.time_ms(feed.sent)
    wanted = np.array([[expected(acts[n], f, now_ms) for f in features] for n in names])
    counted = await _vectors(local, feed, names, now_ms)
    plain = ~np.isnan(wanted)
    off = np.abs(counted[plain] - wanted[plain]) / np.maximum(wanted[plain], 1.0)
    error = float(off.max())
    # As no NaN is.
    if not error <= TOLERANCE:
        raise BenchError(f"a decayed sum is {error:.2g} off what the times of its events make it")
    return error


async def _vectors(local: Local, feed: Feed, names: Sequence[str], now_ms: int) -> Floats:
    schema = load_segmentation(local.settings.segmentation).profile_schema()
    redis = connect_redis(local.settings)
    try:
        store = RedisStore(redis, Keys(local.settings.namespace))
        found = [await store.profiles(feed.customers[n][0], [CustomerId(n)]) for n in names]
    finally:
        await redis.aclose()
    return schema.vectors(schema.decode([blob for (blob,) in found]), now_ms)


def acts_of(feed: Feed, names: Sequence[str]) -> dict[str, list[Act]]:
    """What these customers have done until now."""
    acts: dict[str, list[Act]] = {name: [] for name in names}
    for at, template in enumerate(feed.timeline.circle):
        if template.customer_id in acts:
            times_ms = feed.timeline.times_of(at, feed.sent)
            acts[template.customer_id].append(Act.of(template, times_ms))
    return acts


def expected(acts: Sequence[Act], feature: Feature, now_ms: int) -> float:
    """A decayed count or sum, one event after the other; NaN for features of another kind."""
    types = feature.selector.events
    if feature.kind not in {Kind.COUNT, Kind.SUM} or feature.selector != Selector(types):
        return float("nan")
    return sum(
        decayed(act.times_ms, now_ms, feature.half_life_days or inf)
        * (act.value if feature.kind is Kind.SUM else 1.0)
        for act in acts
        if act.type in types
    )
