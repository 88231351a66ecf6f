"""What a lane keeps in Redis: its state machine, its profiles, the segments of its customers."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from models.errors import ShoalError
from models.identifiers import CustomerId, SegmentId, segment_id
from models.labels import Label
from stream import scripts
from stream.cluster import RedisClient
from stream.deployment import require_standing
from stream.names import Keys
from stream.sender import Sender

GONE_TTL_MS = 7 * 86_400_000
UNASSIGNED = "unassigned"


class Outcome(StrEnum):
    """What Redis made of a step.

    A server that was started since the lane was claimed may have lost writes that its worker has
    read: it takes no step before the lane is claimed again.
    """

    APPLIED = "applied"
    FENCED = "epoch"
    OUT_OF_ORDER = "seq"
    ROLLED_BACK = "rolled_back"
    RESTARTED = "restarted"


class LaneFencedError(ShoalError):
    """Another worker has claimed the lane since."""

    def __init__(self, partition: int, epoch: int) -> None:
        super().__init__(f"lane {partition} was claimed by another worker (epoch {epoch})")
        self.partition = partition
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a lane has followed what is in force of a segmentation.

    Every customer was scored by version `model` or a later one, and is shown as the edition of
    that digest says.
    """

    model: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class LaneState:
    """A partition's state machine as a worker finds it when it claims the lane.

    `next_offset` is None before the first step. `reached` says of each segmentation, by name, how
    far all customers have followed it.
    """

    epoch: int
    seq: int
    next_offset: int | None
    clock: str
    pending: bytes
    reached: Mapping[str, Reached]


class StoredProfile(Struct, frozen=True, gc=False):
    """A profile to write, and when to look at its customer again.

    An empty `blob` deletes it, None leaves it as it is; `due_ms` None takes it off the due set.
    """

    customer: CustomerId
    blob: bytes | None
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One atomic move of a lane. `sizes` says by how much each segment's count changes.

    `epoch` and `owner` are those of the worker's claim. A server that has lost a claim may give
    the same epoch to somebody else.
    """

    partition: int
    epoch: int
    owner: str
    seq: int
    next_offset: int
    clock: str
    pending: bytes
    reached: Mapping[str, Reached]
    profiles: Sequence[StoredProfile]
    sizes: Mapping[str, int]
    ttl_ms: int


class SegmentRecord(Struct, frozen=True, gc=False):
    """What a page reads of a customer; `id` None: the customer is in no segment any more."""

    segmentation: str
    customer: CustomerId
    version: int
    id: SegmentId | None
    label: Label
    confidence: float
    since: str
    previous: str
    model: int
    updated: str

    def fields(self) -> dict[str, str]:
        """Fields of the page's hash; only the version where there is no segment."""
        if self.id is None:
            return {"version": str(self.version)}
        return {
            "version": str(self.version),
            "id": self.id,
            "confidence": f"{self.confidence:.4f}",
            "since": self.since,
            "previous": self.previous,
            "model": str(self.model),
            "updated": self.updated,
            **shown_fields(self.label),
        }


@dataclass(frozen=True, slots=True)
class Showing:
    """How the segment of a customer's current version is shown from now on."""

    segmentation: str
    customer: CustomerId
    version: int
    label: Label


def shown_fields(label: Label) -> dict[str, str]:
    """What a page's hash says of a label: its name, and of what is attached what there is."""
    attached = {
        "landing_page": label.landing_page,
        "offer": label.offer,
        "message": label.message,
        "tags": json.dumps(label.tags, ensure_ascii=False) if label.tags else "",
    }
    return {"name": label.name} | {name: text for name, text in attached.items() if text}


def size_field(segmentation: str, number: int) -> str:
    """Field that counts a segment's customers; 0 counts those without a segment.

    >>> size_field("value", 3), size_field("value", 0)
    ('value:s3', 'value:unassigned')
    """
    return f"{segmentation}:{segment_id(number) or UNASSIGNED}"


class Store(Protocol):
    """What lanes, the sweep and the trainer need of the state."""

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        """Raise the lane's epoch and take it over for `owner`.

        With `unless_above`, only while nobody else did: an epoch from there on that is not the
        owner's own (from a claim whose reply was lost) raises LaneFencedError.
        """

    async def step(self, step: Step) -> Outcome:
        """Apply a step, once, if the lane still has its epoch and seq."""

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        """Stored profiles, None where there is none."""

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        """Customers to look at again by now, the longest overdue first."""

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        """Some customers of a lane and the cursor to go on with, 0 at the end.

        Every customer who stays throughout is seen at least once.
        """

    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        """Write each customer's segment unless a higher version is there."""

    async def show_segments(self, showings: Sequence[Showing]) -> None:
        """Change how segments are shown, where a page still has the version that is spoken of."""


class RedisStore:
    """The state in Redis or Valkey, one server or a cluster.

    Parameters
    ----------
    replicas
        So many replicas must have what is written before it counts.
    layout
        What decides on a customer's partition; a claim then raises StateLostError where the state
        is gone, or not laid out like this any more.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        *,
        replicas: int = 0,
        layout: Mapping[str, str] | None = None,
    ) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self.redis: Any = redis
        self.keys = keys
        self._layout = layout
        self._send = Sender(redis, replicas=replicas)
        self._scanned: dict[int, bytes] = {}

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        """See `Store.claim`."""
        allowed = "" if unless_above is None else unless_above
        reply = await self._send.run(scripts.CLAIM, [self.keys.lane(partition)], [allowed, owner])
        if not reply[0]:
            raise LaneFencedError(partition, reply[1])
        if self._layout is not None:
            # After the claim: whoever takes the state away from here on is noticed by the step.
            await require_standing(self.redis, self.keys, self._layout)
        _, epoch, seq, next_offset, clock, pending, reached = reply + [None] * (7 - len(reply))
        return LaneState(
            epoch=int(epoch),
            seq=int(seq),
            next_offset=None if next_offset is None else int(next_offset),
            clock=(clock or b"").decode(),
            pending=pending or b"",
            reached=read_reached((reached or b"").decode()),
        )

    async def step(self, step: Step) -> Outcome:
        """See `Store.step`."""
        keys = self.keys
        prefix = keys.profile_prefix(step.partition)
        args: list[Any] = [
            step.epoch,
            step.seq,
            step.next_offset,
            step.clock,
            step.pending,
            _reached_text(step.reached),
            step.ttl_ms,
            len(prefix.encode()),
            len(step.sizes),
            step.owner,
        ]
        for name, by in step.sizes.items():
            args += (name, by)
        names: list[str] = [
            keys.lane(step.partition),
            keys.due(step.partition),
            keys.sizes(step.partition),
        ]
        for profile in step.profiles:
            names.append(prefix + profile.customer)
            blob = scripts.AS_IT_IS if profile.blob is None else profile.blob
            args += (blob, "" if profile.due_ms is None else profile.due_ms)
        outcome, epoch = await self._send.run(scripts.STEP, names, args)
        result = Outcome(outcome.decode())
        if result is Outcome.FENCED and int(epoch) < step.epoch:
            return Outcome.ROLLED_BACK
        return result

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        """See `Store.profiles`."""
        if not customers:
            return []
        prefix = self.keys.profile_prefix(partition)
        names = [prefix + name for name in customers]
        found: list[bytes | None] = await self._send("MGET", *names)
        return found

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        """See `Store.due`."""
        key = self.keys.due(partition)
        found = await self._send("ZRANGE", key, "-inf", now_ms, "BYSCORE", "LIMIT", 0, limit)
        return [CustomerId(name.decode()) for name in found]

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        """See `Store.scan`."""
        server = self._scanned.get(partition, b"")
        reply = await self._send.run(
            scripts.SCAN, [self.keys.due(partition)], [server, cursor, count]
        )
        self._scanned[partition], following, page = reply
        return int(following), [CustomerId(name.decode()) for name in page[::2]]

    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        """See `Store.write_segments`."""
        await self._write_pages(
            scripts.WRITE_SEGMENTS,
            [
                (self.keys.segment(record.customer, record.segmentation), record.fields())
                for record in records
            ],
        )

    async def show_segments(self, showings: Sequence[Showing]) -> None:
        """See `Store.show_segments`."""
        await self._write_pages(
            scripts.SHOW_SEGMENTS,
            [
                (
                    self.keys.segment(showing.customer, showing.segmentation),
                    {"version": str(showing.version)} | shown_fields(showing.label),
                )
                for showing in showings
            ],
        )

    async def _write_pages(
        self, script: str, pages: Sequence[tuple[str, Mapping[str, str]]]
    ) -> None:
        if not pages:
            return
        # Pages of different customers have different slots, and a script takes keys of one.
        shares = [[page] for page in pages] if self._send.is_cluster else [pages]
        await asyncio.gather(*(self._write_some(script, share) for share in shares))

    async def _write_some(
        self, script: str, pages: Sequence[tuple[str, Mapping[str, str]]]
    ) -> None:
        args: list[str | int] = [GONE_TTL_MS]
        for _, fields in pages:
            args.append(2 * len(fields))
            for pair in fields.items():
                args += pair
        await self._send.run(script, [key for key, _ in pages], args)


def read_reached(text: str) -> dict[str, Reached]:
    """How far a lane is with each segmentation, as its hash says it."""
    parts = [entry.split(":") for entry in text.split()]
    return {part[0]: Reached(int(part[1]), int(part[2], 16)) for part in parts}


def _reached_text(reached: Mapping[str, Reached]) -> str:
    return " ".join(f"{name}:{r.model}:{r.shown:x}" for name, r in reached.items())
