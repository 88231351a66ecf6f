"""A lane: one partition's state machine, moved on by one fenced step after another.

A step is durable in Redis before anything is told. The next step waits until the changes of the
last one are with Kafka and with the pages that read them, so a crash anywhere repeats at most one
step's changes, byte for byte. Whatever goes wrong with a server ends in the same way: wait until
it answers, claim the lane again, tell what was pending, and read on from the lane's own offset.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from uuid import uuid4

import numpy as np
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from models.clock import EventClock
from models.columns import Rows, put
from models.editions import Edition, Editions
from models.identifiers import CustomerId
from models.profiles import UnknownProfileError
from stream import metrics
from stream.ahead import ReadAhead
from stream.batches import EventBatch, read_batch
from stream.cache import ProfileCache
from stream.changes import Change, read_change, segment_record, unpack
from stream.inbox import Inbox
from stream.intake import Intake
from stream.outbox import SampleOutbox
from stream.ports import Position, Teller
from stream.publisher import told
from stream.quiet import IDLE_SECONDS, QuietCustomers
from stream.records import Record
from stream.rounds import Rounds
from stream.steps import Scored, StepMaker, Taking
from stream.store import LaneFencedError, LaneState, Outcome, Reached, Step, Store
from stream.together import cancelled
from stream.waiting import Server, waiting

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 2.0
LAYOUT_SECONDS = 2.0
CATCHING_UP_MS = 60_000
# A step as large as this costs so much by its events that company would save nothing.
ENOUGH_FOR_ONE = 256

for _outcome in set(Outcome) - {Outcome.APPLIED}:
    metrics.STEPS_REFUSED.labels(cause=_outcome.value)


class StepRefusedError(Exception):
    """Redis has not applied a step; the lane must be claimed again."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much a lane takes on at once; for sweeps see `stream.quiet.QuietCustomers`."""

    batch_events: int
    cache_profiles: int
    sweep_customers_per_second: float
    fenced_pause_seconds: float
    sweep_every_seconds: float = IDLE_SECONDS


class Lane:
    """The steps of one partition, one at a time.

    Parameters
    ----------
    maker
        Makes steps of batches, by the configuration that all lanes share.
    editions
        Gives what is in force of each segmentation.
    informed
        Returns once that is known: before, events would put nobody into a segment.
    score
        Has a batch taken into profiles and scored, together with other lanes'.
    rounds
        Shared with the lanes that steps of events begin together with.
    wall_ms
        The wall clock.
    """

    def __init__(
        self,
        partition: int,
        *,
        store: Store,
        maker: StepMaker,
        publisher: Teller,
        position: Position,
        editions: Callable[[], Editions],
        informed: Callable[[], Awaitable[None]],
        score: Callable[[Taking], Awaitable[Scored]],
        limits: LaneLimits,
        rounds: Rounds,
        wall_ms: Callable[[], int],
    ) -> None:
        self.partition = partition
        self.inbox = Inbox(2 * limits.batch_events)
        self.next_offset: int | None = None
        self.is_serving = False
        self.cache = ProfileCache(maker.schema, limits.cache_profiles)
        self._store = store
        self._maker = maker
        self._publisher = publisher
        self._position = position
        self._editions = editions
        self._informed = informed
        self._score = score
        self._limits = limits
        self._rounds = rounds
        self._wall_ms = wall_ms
        self._stopped = asyncio.Event()
        self._owner = uuid4().hex
        self._epoch: int | None = None
        self._seq = 0
        self._intake = Intake(partition, self.inbox, position)
        self._clock = EventClock()
        self.reached: Mapping[str, Reached] = {}
        self._sample = SampleOutbox(publisher)
        self._quiet = QuietCustomers(
            self,
            store=store,
            maker=maker,
            editions=editions,
            customers_per_second=limits.sweep_customers_per_second,
            sweep_every_seconds=limits.sweep_every_seconds,
        )
        self._in_redis_ms = 0

    def stop(self) -> None:
        """Let the step in flight end, then come to rest."""
        self._stopped.set()
        self.inbox.close()

    async def run(self) -> None:
        """Serve the lane until it is stopped, through any failure of a server."""
        try:
            await self._run()
        finally:
            self.is_serving = False
            await self._sample.close()

    async def _run(self) -> None:
        pause = 0.1
        strange: set[int] = set()
        while not self._stopped.is_set():
            try:
                await self._informed()
                await self._claim()
                pause = 0.1
                await self._serve()
            except LaneFencedError as error:
                await self._rest_fenced(error)
            except StepRefusedError as refusal:
                metrics.STEPS_REFUSED.labels(cause=refusal.outcome.value).inc()
                log.warning("lane %d: step refused (%s)", self.partition, refusal.outcome)
                if refusal.outcome is Outcome.FENCED:
                    await self._rest_fenced(refusal)
            except UnknownProfileError as error:
                # Its layout was announced before it was stored, and is learned twice a second.
                if error.schema_id in strange:
                    raise
                strange.add(error.schema_id)
                await self._rest_waiting(error, LAYOUT_SECONDS)
            except (RedisError, KafkaError, OSError, TimeoutError) as error:
                await self._rest_waiting(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _rest_waiting(self, error: Exception, seconds: float) -> None:
        server: Server = "kafka" if isinstance(error, KafkaError) else "redis"
        errors = metrics.KAFKA_ERRORS if server == "kafka" else metrics.REDIS_ERRORS
        errors.inc()
        log.warning("lane %d waits for %s: %r", self.partition, server, error)
        with waiting(server):
            await self._rest(seconds)

    async def _rest_fenced(self, error: Exception) -> None:
        # Somebody else owns the lane. If that was a worker that did not know it had lost it,
        # this one is still assigned once that worker's session has ended, and claims again.
        log.warning("lane %d rests: %s", self.partition, error)
        self._epoch = None
        await self._rest(self._limits.fenced_pause_seconds)

    async def _rest(self, seconds: float) -> None:
        self.is_serving = False
        self.inbox.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def _claim(self) -> None:
        self.cache.clear()
        state = await self._store.claim(self.partition, owner=self._owner, unless_above=self._epoch)
        self._epoch, self._seq = state.epoch, state.seq
        self._clock = EventClock.from_text(state.clock)
        self.reached = state.reached
        self._quiet.restart()
        await self._tell_again(state)
        self.next_offset = (
            await self._position.earliest(self.partition)
            if state.next_offset is None
            else state.next_offset
        )
        await self._intake.start(self.next_offset)
        log.info("lane %d: epoch %d, offset %d", self.partition, self._epoch, self.next_offset)

    async def _tell_again(self, state: LaneState) -> None:
        pending = unpack(state.pending)
        changes = [read_change(change) for change in pending]
        await self._tell(changes, pending)
        metrics.CHANGES_REPUBLISHED.inc(len(changes))

    @property
    def is_busy(self) -> bool:
        """Whether so many events wait that none can be soon in Redis."""
        return len(self.inbox) >= ENOUGH_FOR_ONE

    @property
    def _offset(self) -> int:
        assert self.next_offset is not None  # noqa: S101 - set by the claim before any step
        return self.next_offset

    async def _serve(self) -> None:
        self.is_serving = True
        while not self._stopped.is_set():
            try:
                records = await self._next_records()
                parts = ReadAhead(records, self._limits.batch_events, self._read)
                while parts and not self._stopped.is_set():
                    await self._take(*parts.take(), parts)
            finally:
                self._rounds.end(self)
            await self._quiet.look()
            await self._sample.flush()
        await self._sample.drain()

    async def _next_records(self) -> list[Record]:
        """The records that come next, of all batches that are waiting."""
        if await self.inbox.arrival(self._quiet.patience()) and len(self.inbox) < ENOUGH_FOR_ONE:
            await self._rounds.begin(self)
        return await self._intake.take(self._offset)

    def _read(self, records: Sequence[Record]) -> EventBatch:
        started = perf_counter()
        batch = read_batch(
            records,
            partition=self.partition,
            now_ms=self._wall_ms(),
            known=self.cache,
            reading=self._maker.reading,
        )
        _observe("decode", started)
        return batch

    async def _take(self, records: Sequence[Record], batch: EventBatch, parts: ReadAhead) -> None:
        started = perf_counter()
        metrics.EVENTS_RECEIVED.inc(len(records))
        metrics.BATCH_SIZE.observe(len(records))
        if batch.rejected:
            await self._publisher.rejections(batch.rejected)
        rows = await self.load(batch.customers)
        started = _observe("load", started)
        times_ms = batch.times_ms
        clock = self._clock.advance(times_ms)
        now_ms = self._now(clock, max(times_ms, default=0))
        await self._rounds.meet(self)
        editions = self._editions()
        scored = await self._score(Taking(self.partition, batch, rows, now_ms))
        _observe("score", started)
        with parts.meanwhile():
            await self.step(
                scored,
                next_offset=records[-1].offset + 1,
                clock=clock,
                reached={e.segmentation.name: self._with_new(e) for e in editions},
            )
        metrics.EVENTS_PROCESSED.inc(len(batch))
        metrics.EVENTS_DUPLICATE.inc(scored.duplicates)
        for currency in batch.unknown_currencies:
            metrics.VALUES_WITHOUT_RATE.labels(currency=_label(currency)).inc()
        taken_ms = self._in_redis_ms - np.array(batch.received_ms, dtype=np.float64)
        metrics.EVENT_TO_REDIS_SECONDS.observe(np.maximum(taken_ms, 0) / 1000)

    def _with_new(self, edition: Edition) -> Reached:
        """How far all are when new customers were scored, and are shown, by this edition."""
        reached = self.reached.get(edition.segmentation.name, Reached())
        is_shown = reached.shown == edition.digest
        return Reached(min(reached.model, edition.version), edition.digest if is_shown else 0)

    def _now(self, clock: EventClock, newest_ms: int) -> int:
        """The time to score at: the wall clock unless the past is replayed or caught up with."""
        wall_ms = self._wall_ms()
        if not self._maker.is_live:
            return clock.now_ms or wall_ms
        is_late = newest_ms < wall_ms - CATCHING_UP_MS
        behind = (self._position.end(self.partition) or 0) - self._offset
        return clock.now_ms if is_late and behind > self._limits.batch_events else wall_ms

    def now_ms(self) -> int:
        """The time to score customers at of whom no event speaks."""
        return self._now(self._clock, 0)

    async def load(self, customers: Sequence[CustomerId]) -> Rows:
        """Profiles, from memory or from Redis."""
        rows, missing = self.cache.load(customers)
        if missing:
            names = [customers[at] for at in missing]
            metrics.PROFILES_LOADED.inc(len(names))
            blobs = await self._store.profiles(self.partition, names)
            put(rows, missing, self._maker.schema.decode(blobs))
        return rows

    async def step(
        self,
        scored: Scored,
        *,
        next_offset: int | None = None,
        clock: EventClock | None = None,
        reached: Mapping[str, Reached] | None = None,
    ) -> None:
        """Move the lane on and tell the changes; where not given, it stays where it is.

        Raises
        ------
        StepRefusedError
            Redis has not applied it.
        """
        assert self._epoch is not None  # noqa: S101 - set by the claim before any step
        started = perf_counter()
        step = Step(
            partition=self.partition,
            epoch=self._epoch,
            owner=self._owner,
            seq=self._seq,
            next_offset=self._offset if next_offset is None else next_offset,
            clock=(clock or self._clock).to_text(),
            pending=scored.pending,
            reached=self.reached if reached is None else reached,
            profiles=scored.profiles,
            sizes=scored.sizes,
            ttl_ms=self._maker.ttl_ms,
        )
        outcome = await self._store.step(step)
        if outcome is not Outcome.APPLIED:
            raise StepRefusedError(outcome)
        self._in_redis_ms = self._wall_ms()
        self._seq += 1
        self.next_offset, self.reached = step.next_offset, step.reached
        self._clock = clock or self._clock
        self.cache.keep(scored.customers, scored.rows)
        self._sample.add(self._maker.sampled(scored, self._editions()))
        started = _observe("step", started)
        self._rounds.end(self)
        await self._tell(scored.changes, unpack(scored.pending))
        told(scored.changes)
        _observe("publish", started)

    async def _tell(self, changes: Sequence[Change], pending: Sequence[bytes]) -> None:
        if not changes:
            return
        records = [segment_record(change) for change in changes]
        addressed = [(c.subject, data) for c, data in zip(changes, pending, strict=True)]
        telling = asyncio.create_task(self._publisher.changes(addressed))
        try:
            await self._store.write_segments(records)
            self._in_redis_ms = self._wall_ms()
            await telling
        finally:
            # Nothing is told behind the back of a lane that is claimed again, or lost.
            await cancelled(telling)


def _label(currency: str) -> str:
    """A currency as a label; whatever is no code shares one, so that labels stay few."""
    code = currency.strip().upper()
    return code if len(code) == 3 and code.isascii() and code.isalpha() else "other"  # noqa: PLR2004 - ISO 4217


def _observe(stage: metrics.Stage, started: float) -> float:
    ended = perf_counter()
    metrics.STAGE_SECONDS.labels(stage=stage).observe(ended - started)
    return ended
