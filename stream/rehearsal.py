"""The whole segmenter in memory: what a worker and a trainer would make of a log, without servers.

A rehearsal lives in the time of its events, as a replay does. Nothing in it waits, and nothing
depends on the machine: the same events and the same configuration give the same models, segments
and changes.
"""

import heapq
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from aiokafka import ConsumerRecord

from config.segmentation import SegmentationConfig
from config.settings import Settings
from models.clock import EventClock
from models.columns import Rows
from models.editions import versions
from models.identifiers import CustomerId
from models.snapshots import Snapshot
from models.trainer import Trainer
from stream.app import step_maker
from stream.batches import Rejection, read_batch
from stream.cache import ProfileCache
from stream.sources import SourceEvent
from stream.steps import Scored, Taking
from stream.worker import wall_ms

HOUR_MS = 3_600_000
OUTGROWN = 1.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How finely a rehearsal divides the time of its events.

    A step has at most `batch_events`, and ends once event time has moved by `step_ms`. A
    segmentation has at most one model in `publish_ms`, but for a sample that has outgrown its
    model by half.
    """

    batch_events: int = 1_000
    step_ms: int = HOUR_MS
    publish_ms: int = 6 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened in one step, up to `now_ms`.

    `scored` are the steps that a worker would have made, in order: of events, of customers whom a
    new model moves, of those who are due. `published` are the new models. `news` are the profiles
    that trainers were shown, shape (n,), in order; one of nobody tells that somebody is gone.
    """

    now_ms: int
    scored: tuple[Scored, ...]
    published: tuple[Snapshot, ...]
    news: Rows


class Rehearsal:
    """Takes events one by one; workers' steps and trainers' models come of them.

    Parameters
    ----------
    settings
        Where things run does not matter here; the clock is the events'.
    config
        What is measured, and how customers are grouped.

    Attributes
    ----------
    maker
        Makes the steps; its `schema` and `segmentations` are those of the profiles.
    editions
        The model in force of each segmentation.
    now_ms
        Event time of the last step, 0 before the first.
    events, rejected
        Events taken in, and those of them that were set aside, by reason.
    """

    def __init__(
        self, settings: Settings, config: SegmentationConfig, pace: Pace | None = None
    ) -> None:
        alone = settings.model_copy(update={"clock": "replay", "partitions": 1})
        self.maker = step_maker(alone, config)
        self.editions = self.maker.nothing_yet
        self.now_ms = 0
        self.events = 0
        self.rejected: Counter[str] = Counter()
        self._pace = pace or Pace()
        self._trainers = tuple(
            Trainer(
                segmentation,
                config.training(segmentation.name),
                seed=config.model_of(segmentation.name).seed,
            )
            for segmentation in self.maker.segmentations
        )
        self._profiles = ProfileCache(self.maker.schema, capacity=sys.maxsize)
        self._due_ms: dict[CustomerId, int] = {}
        self._agenda: list[tuple[int, CustomerId]] = []
        self._waiting: list[ConsumerRecord] = []
        self._news: list[Rows] = []
        self._ahead = EventClock()
        self._clock = EventClock()
        self._until_ms = 0

    @property
    def customers(self) -> list[CustomerId]:
        """Who is a customer now, in the order of `rows`."""
        return list(self._due_ms)

    @property
    def rows(self) -> Rows:
        """Their profiles, shape (n_customers,): copies."""
        return self._profiles.load(self.customers)[0]

    def run(self, events: Iterable[SourceEvent]) -> Iterator[Moment]:
        """What happens in each step, until and including the end."""
        for event in events:
            if moment := self.take(event):
                yield moment
        yield self.finish()

    def take(self, event: SourceEvent) -> Moment | None:
        """Take in an event; what happened, when a step ended with it."""
        self._waiting.append(_record(self.events, event))
        self.events += 1
        if event.time_ms:
            self._ahead = self._ahead.advance([event.time_ms])
        is_time = self._ahead.now_ms >= self._until_ms
        return self._step() if is_time or len(self._waiting) >= self._pace.batch_events else None

    def finish(self) -> Moment:
        """The last step: everyone as they would be at the end, by models of that moment."""
        scored = self._count()
        published = self._publish(pause_ms=0)
        scored += [*self._follow(published), *self._look_again(self.customers)]
        return self._moment(scored, published)

    def _step(self) -> Moment:
        scored = self._count()
        published = self._publish(self._pace.publish_ms)
        scored += [*self._follow(published), *self._look_again(self._fall_due())]
        self._until_ms = self._ahead.now_ms + self._pace.step_ms
        return self._moment(scored, published)

    def _moment(self, scored: Sequence[Scored], published: tuple[Snapshot, ...]) -> Moment:
        news = np.concatenate([self.maker.schema.empty(0), *self._news])
        self._news = []
        return Moment(self.now_ms, tuple(scored), published, news)

    def _count(self) -> list[Scored]:
        """Take the waiting events into profiles, and score those."""
        batch = read_batch(
            self._waiting,
            partition=0,
            now_ms=wall_ms(),
            known=self._due_ms,
            reading=self.maker.reading,
        )
        self._waiting = []
        self.rejected.update(_reasons(batch.rejected))
        self._clock = self._clock.advance(batch.times_ms)
        self.now_ms = self._clock.now_ms
        if not batch.customers:
            return []
        rows, _ = self._profiles.load(batch.customers)
        taking = Taking(0, batch, rows, self.now_ms)
        return [self._keep(scored) for scored in self.maker.events([taking], self.editions)]

    def _publish(self, pause_ms: int) -> tuple[Snapshot, ...]:
        published = []
        for at, trainer in enumerate(self._trainers):
            if not (self._is_time(trainer, pause_ms) and trainer.due(self.now_ms)):
                continue
            model = trainer.train(now_ms=self.now_ms, created_ms=self.now_ms, epoch=1)
            edition = replace(self.editions[at], model=model)
            self.editions = (*self.editions[:at], edition, *self.editions[at + 1 :])
            published.append(model)
        return tuple(published)

    def _is_time(self, trainer: Trainer, pause_ms: int) -> bool:
        before = trainer.snapshot
        if before is None or trainer.customers >= OUTGROWN * before.customers:
            return True
        return self.now_ms - before.now_ms >= pause_ms

    def _follow(self, published: Sequence[Snapshot]) -> list[Scored]:
        """Score everyone by new models."""
        if not published:
            return []
        customers, rows = self.customers, self.rows
        old = (rows["model"] < versions(self.editions)).any(axis=1)
        chosen = [customers[at] for at in np.flatnonzero(old).tolist()]
        return [self._again(chosen, rows[old], "model")]

    def _look_again(self, customers: Sequence[CustomerId]) -> list[Scored]:
        if not customers:
            return []
        return [self._again(customers, self._profiles.load(customers)[0], "time")]

    def _again(
        self, customers: Sequence[CustomerId], rows: Rows, reason: Literal["model", "time"]
    ) -> Scored:
        scored = self.maker.again(
            0, customers, rows, editions=self.editions, now_ms=self.now_ms, reason=reason
        )
        return self._keep(scored)

    def _fall_due(self) -> list[CustomerId]:
        """Who is to be looked at again by now."""
        found = []
        while self._agenda and self._agenda[0][0] <= self.now_ms:
            due_ms, customer = heapq.heappop(self._agenda)
            if self._due_ms.get(customer) == due_ms:
                found.append(customer)
        return list(dict.fromkeys(found))

    def _keep(self, scored: Scored) -> Scored:
        self._profiles.keep(scored.customers, scored.rows)
        for profile in scored.profiles:
            if profile.due_ms is None:
                self._due_ms.pop(profile.customer, None)
            elif self._due_ms.get(profile.customer) != profile.due_ms:
                self._due_ms[profile.customer] = profile.due_ms
                heapq.heappush(self._agenda, (profile.due_ms, profile.customer))
        sampled = self.maker.sampled(scored, self.editions)
        chosen = [at for at, customer in enumerate(scored.customers) if customer in sampled]
        if chosen:
            names, rows = [scored.customers[at] for at in chosen], scored.rows[chosen]
            self._news.append(rows)
            for trainer in self._trainers:
                trainer.observe(names, rows, self.now_ms)
        return scored


def _record(offset: int, event: SourceEvent) -> ConsumerRecord:
    """The event as Kafka would hand it out; without a key where there is no customer."""
    key, value = event.customer_id.encode() or None, event.value
    return ConsumerRecord("", 0, offset, 0, 0, key, value, None, len(key or b""), len(value), ())


def _reasons(rejected: Sequence[Rejection]) -> list[str]:
    return [str(rejection.reason) for rejection in rejected]
