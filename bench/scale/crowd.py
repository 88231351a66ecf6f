"""Customers as a real worker has stored them, as many copies of each as a shop is to be large."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs
from rich.console import Console

from bench.common import BenchError
from bench.load import fill
from bench.scale.sites import Site, open_site
from config.segmentation import DEFAULT, load_segmentation
from models.clock import EventClock
from models.identifiers import CustomerId, SegmentId
from models.labels import Label
from models.layout import DAY_MS
from models.profiles import ProfileSchema
from models.snapshots import Snapshot
from stream.connections import connect_redis
from stream.names import Keys
from stream.partitions import partitioner
from stream.redis_store import RedisStore
from stream.simulate import open_simulator
from stream.sources import SourceEvent, rfc3339
from stream.store import (
    Outcome,
    Reached,
    SegmentRecord,
    Step,
    StoredProfile,
    read_reached,
    size_field,
)

# More customers than are used: it would take long until the last has had enough events.
SPARE, ENOUGH, TEMPLATES = 1.5, 8, 6
# Of event time. A worker that is live takes a large shop's events at about this rate.
EVENTS_PER_SECOND = 40_000
TTL_MS = 800 * DAY_MS
OWNER = "fill"
# Nobody is looked at again for want of events while the bench runs.
QUIET_MS, SPREAD_MS = 20 * DAY_MS, 10 * DAY_MS


@dataclass(frozen=True, slots=True)
class Member:
    """A customer to copy: the stored profile, the segment, the page, the last events."""

    blob: bytes
    number: int
    page: SegmentRecord
    events: tuple[dict[str, object], ...]


class Crowd:
    """Customers to copy, the model that they were scored by, and their further events.

    A copy repeats what its original did last, under new event ids and at later times. Event time
    goes on slowly, so that nobody is due for a look and events alone are measured.
    """

    def __init__(
        self,
        members: Sequence[Member],
        model: bytes,
        reached: dict[str, Reached],
        schema: ProfileSchema,
        begin_ms: int,
    ) -> None:
        self.members = members
        self._model = model
        self._reached = reached
        self._schema = schema
        self._begin_ms = begin_ms
        self._serial = 0
        self._turn = 0

    def events(self, copies: Sequence[int], *, in_a_row: int = 1) -> list[SourceEvent]:
        """Of each customer of each copy so many events, one after the other.

        The order is the same in each copy: a batch sees nobody twice in two turns unless it is
        larger than the partition's part of a copy.
        """
        return list(self._events(copies, in_a_row))

    def _events(self, copies: Sequence[int], in_a_row: int) -> Iterator[SourceEvent]:
        for copy in copies:
            for number, member in enumerate(self.members):
                name = name_of(copy, number)
                for at in range(self._turn, self._turn + in_a_row):
                    self._serial += 1
                    time_ms = self._begin_ms + self._serial * 1_000 // EVENTS_PER_SECOND
                    event = member.events[at % len(member.events)] | {
                        "event_id": f"{name}-{self._serial}",
                        "customer_id": name,
                        "timestamp": rfc3339(time_ms),
                    }
                    yield SourceEvent(name, time_ms, json.dumps(event).encode())
            self._turn += in_a_row

    async def settle(self, site: Site, copies: int, *, misplaced: Sequence[int] = ()) -> None:
        """Write so many copies of everybody, their pages, and the model, into an empty site.

        Every third customer of the `misplaced` copies is in another segment than theirs, and
        leaves it with the next event.
        """
        settings = site.local.settings
        most = load_segmentation(settings.segmentation).training().sample_target
        customers = copies * len(self.members)
        await _publish(site, with_sample_of(Snapshot.from_json(self._model), customers, most))
        redis = connect_redis(settings)
        store = RedisStore(redis, Keys(settings.namespace))
        place = partitioner(settings.partitioner, settings.partitions)
        claims = [
            (state.epoch, state.seq)
            for state in [
                await store.claim(partition, owner=OWNER)
                for partition in range(settings.partitions)
            ]
        ]
        astray = self._misplaced()
        try:
            for copy in range(copies):
                members = astray if copy in misplaced else self.members
                owned: defaultdict[int, list[tuple[CustomerId, Member]]] = defaultdict(list)
                for number, member in enumerate(members):
                    name = name_of(copy, number)
                    owned[place(name.encode())].append((name, member))
                for partition, some in owned.items():
                    epoch, seq = claims[partition]
                    outcome = await store.step(self._step(partition, epoch, seq, some))
                    if outcome is not Outcome.APPLIED:
                        raise BenchError(f"profiles were not written: {outcome}")
                    claims[partition] = epoch, seq + 1
                pages = [
                    structs.replace(member.page, customer=name_of(copy, number))
                    for number, member in enumerate(members)
                ]
                for first in range(0, len(pages), 1_000):
                    await store.write_segments(pages[first : first + 1_000])
        finally:
            await redis.aclose()

    def _step(
        self, partition: int, epoch: int, seq: int, some: Sequence[tuple[CustomerId, Member]]
    ) -> Step:
        sizes: defaultdict[str, int] = defaultdict(int)
        for _, member in some:
            sizes[size_field(DEFAULT, member.number)] += 1
        return Step(
            partition=partition,
            epoch=epoch,
            owner=OWNER,
            seq=seq,
            next_offset=0,
            clock=EventClock(self._begin_ms).to_text(),
            pending=b"",
            reached=self._reached,
            profiles=[
                StoredProfile(
                    name,
                    member.blob,
                    self._begin_ms + QUIET_MS + SPREAD_MS * at // len(some),
                )
                for at, (name, member) in enumerate(some)
            ],
            sizes=sizes,
            ttl_ms=TTL_MS,
        )

    def _misplaced(self) -> list[Member]:
        rows = self._schema.decode([member.blob for member in self.members])
        numbers = np.array([s.number for s in Snapshot.from_json(self._model).segments])
        others = np.roll(numbers, 1)
        before = rows["segment"][:, 0]
        after = others[np.argmax(before[:, np.newaxis] == numbers, axis=1)]
        after = np.where(np.arange(before.size) % 3 == 0, after, before)
        rows["segment"][:, 0] = after
        return [
            replace(member, blob=blob, number=number)
            for member, blob, number in zip(
                self.members, self._schema.encode(rows), after.tolist(), strict=True
            )
        ]


async def _publish(site: Site, model: Snapshot) -> None:
    catalogue = site.local.observer.catalogue
    await catalogue.publish_model(
        model.to_json(),
        version=model.version,
        epoch=await catalogue.claim_training(DEFAULT),
        segments={},
        segmentation=DEFAULT,
    )


def with_sample_of(model: Snapshot, customers: int, most: int) -> Snapshot:
    """The model as a trainer publishes it that samples at most so many of these customers."""
    halvings = max(math.ceil(math.log2(customers / most)), 0)
    return replace(model, sample_threshold=min(model.sample_threshold, 0.5**halvings))


def name_of(copy: int, number: int) -> CustomerId:
    """Name of a copy of a customer; all of a length."""
    return CustomerId(f"c{copy:03}-{number:05}")


async def grow(console: Console, customers: int) -> Crowd:
    """So many customers, from what a worker and a trainer make of the simulated shop.

    Raises
    ------
    BenchError
        Somebody of them has no segment.
    """
    events: list[SourceEvent] = []
    last: defaultdict[CustomerId, list[SourceEvent]] = defaultdict(list)
    chosen: list[CustomerId] = []
    for event in open_simulator(seed=7, customers=round(customers * SPARE)):
        events.append(event)
        name = CustomerId(event.customer_id)
        last[name].append(event)
        if len(last[name]) == ENOUGH:
            chosen.append(name)
        if len(chosen) == customers:
            break
    async with open_site(console) as site:
        site.local.start_trainer()
        await site.start_workers(1)
        await fill(events, site.local.settings)
        await site.local.drain(len(events))
        settings, catalogue = site.local.settings, site.local.observer.catalogue
        model = await catalogue.newest_model(DEFAULT)
        if model is None:
            raise BenchError("the trainer published no model")
        place = partitioner(settings.partitioner, settings.partitions)
        owned: defaultdict[int, list[CustomerId]] = defaultdict(list)
        for name in chosen:
            owned[place(name.encode())].append(name)
        redis = connect_redis(settings)
        try:
            store = RedisStore(redis, Keys(settings.namespace))
            blobs = {
                name: blob
                for partition, names in owned.items()
                for name, blob in zip(names, await store.profiles(partition, names), strict=True)
            }
        finally:
            await redis.aclose()
        pages = {name: await catalogue.segment(name, DEFAULT) for name in blobs}
        (lane, *_) = await catalogue.lanes(site.local.observer.partitions)
    numbers = {str(segment.id): segment.number for segment in model.segments}
    members = []
    for name in chosen:
        blob, page = blobs[name], pages[name]
        if blob is None or page.get("id") not in numbers:
            raise BenchError(f"customer {name} is in no segment")
        templates = tuple(json.loads(event.value) for event in last[name][-TEMPLATES:])
        members.append(Member(blob, numbers[page["id"]], page_of(name, page), templates))
    schema = load_segmentation(settings.segmentation).profile_schema()
    return Crowd(
        members,
        model.to_json(),
        dict(read_reached(lane["reached"])),
        schema,
        events[-1].time_ms,
    )


def page_of(customer: CustomerId, fields: Mapping[str, str]) -> SegmentRecord:
    """What was written for a page to read."""
    return SegmentRecord(
        segmentation=DEFAULT,
        customer=customer,
        version=int(fields["version"]),
        id=SegmentId(fields["id"]),
        label=Label(fields["name"]),
        confidence=float(fields["confidence"]),
        since=fields["since"],
        previous=fields["previous"],
        model=int(fields["model"]),
        updated=fields["updated"],
    )
