"""What a lane keeps in Redis: its state machine, its profiles, the segments of its customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from models.errors import ShoalError
from models.identifiers import CustomerId, SegmentId
from stream import scripts
from stream.names import Keys
from stream.together import Together

GONE_TTL_MS = 7 * 86_400_000
SEGMENT_FIELDS = ("version", "id", "name", "confidence", "since", "previous", "model", "updated")
UNASSIGNED = "unassigned"

Command = tuple[Any, ...]


class Outcome(StrEnum):
    """What Redis made of a step."""

    APPLIED = "applied"
    FENCED = "epoch"
    OUT_OF_ORDER = "seq"
    ROLLED_BACK = "rolled_back"


class LaneFencedError(ShoalError):
    """Another worker has claimed the lane since."""

    def __init__(self, partition: int, epoch: int) -> None:
        super().__init__(f"lane {partition} was claimed by another worker (epoch {epoch})")
        self.partition = partition
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class LaneState:
    """A partition's state machine as a worker finds it when it claims the lane.

    `next_offset` is None before the first step. `rescored` is the version of the last model
    that every customer of the lane was scored by.
    """

    epoch: int
    seq: int
    next_offset: int | None
    clock: str
    pending: bytes
    rescored: int


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile to write: empty `blob` deletes it, `due_ms` None takes it off the due set."""

    customer: CustomerId
    blob: bytes
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One atomic move of a lane. `sizes` says by how much each segment's count changes."""

    partition: int
    epoch: int
    seq: int
    next_offset: int
    clock: str
    pending: bytes
    rescored: int
    profiles: Sequence[StoredProfile]
    sizes: Mapping[str, int]
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What a page reads of a customer; `id` None: the customer is in no segment any more."""

    customer: CustomerId
    version: int
    id: SegmentId | None
    name: str
    confidence: float
    since: str
    previous: str
    model: int
    updated: str

    def values(self) -> list[str | int]:
        """Values in the order of `SEGMENT_FIELDS`."""
        return [
            self.version,
            self.id or "",
            self.name,
            f"{self.confidence:.4f}",
            self.since,
            self.previous,
            self.model,
            self.updated,
        ]


class Store(Protocol):
    """What lanes, the sweep and the trainer need of the state."""

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        """Raise the lane's epoch and take it over for `owner`.

        With `unless_above`, only while nobody else did: an epoch above it that is not the
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

    async def write_segments(self, records: Sequence[SegmentRecord], segmentation: str) -> None:
        """Write each customer's segment unless a higher version is there."""


class RedisStore:
    """The state in Redis or Valkey."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self.redis: Any = redis
        self.keys = keys
        self._send: Together[Command, Any] = Together(self._send_all)
        self._shas: dict[str, str] = {}

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        """See `Store.claim`."""
        allowed = "" if unless_above is None else unless_above
        reply = await self._run(scripts.CLAIM, [self.keys.lane(partition)], [allowed, owner])
        if not reply[0]:
            raise LaneFencedError(partition, reply[1])
        _, epoch, seq, next_offset, clock, pending, rescored = reply + [None] * (7 - len(reply))
        return LaneState(
            epoch=int(epoch),
            seq=int(seq),
            next_offset=None if next_offset is None else int(next_offset),
            clock=(clock or b"").decode(),
            pending=pending or b"",
            rescored=int(rescored or 0),
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
            step.rescored,
            step.ttl_ms,
            len(prefix.encode()),
            len(step.sizes),
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
            args += (profile.blob, "" if profile.due_ms is None else profile.due_ms)
        outcome, epoch = await self._run(scripts.STEP, names, args)
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
        found: list[bytes | None] = await self._send(("MGET", *names))
        return found

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        """See `Store.due`."""
        found = await self.redis.zrange(
            self.keys.due(partition), "-inf", now_ms, byscore=True, offset=0, num=limit
        )
        return [CustomerId(name.decode()) for name in found]

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        """See `Store.scan`."""
        cursor, found = await self.redis.zscan(self.keys.due(partition), cursor, count=count)
        return int(cursor), [CustomerId(name.decode()) for name, _ in found]

    async def write_segments(self, records: Sequence[SegmentRecord], segmentation: str) -> None:
        """See `Store.write_segments`."""
        if not records:
            return
        args: list[Any] = [GONE_TTL_MS, len(SEGMENT_FIELDS), *SEGMENT_FIELDS]
        for record in records:
            args += record.values()
        names = [self.keys.segment(record.customer, segmentation) for record in records]
        await self._run(scripts.WRITE_SEGMENTS, names, args)

    async def _run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        command = (len(keys), *keys, *args)
        try:
            return await self._send(("EVALSHA", await self._sha(script), *command))
        except NoScriptError:  # a server that was started anew
            self._shas.pop(script, None)
            return await self._send(("EVALSHA", await self._sha(script), *command))

    async def _sha(self, script: str) -> str:
        if script not in self._shas:
            sha = await self.redis.script_load(script)
            self._shas[script] = sha.decode() if isinstance(sha, bytes) else sha
        return self._shas[script]

    async def _send_all(self, commands: Sequence[Command]) -> list[Any]:
        async with self.redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies


def connect(url: str, *, retries: int = 0) -> Redis:
    """A client of Redis; lanes want one that never retries, they know what may be sent again."""
    return Redis.from_url(
        url,
        decode_responses=False,
        retry=Retry(NoBackoff(), retries),
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=0,
    )
