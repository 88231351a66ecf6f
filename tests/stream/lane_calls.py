"""What a lane asks of the outside, held back: somebody else decides what becomes of each call."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from redis.exceptions import ConnectionError as RedisConnectionError

from models.identifiers import CustomerId
from stream.batches import Rejection
from stream.store import LaneFencedError, LaneState, Outcome, SegmentRecord, Showing, Step
from stream.transport import RecordBatch
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import MemoryKafka

T = TypeVar("T")
ALL = 3
REDIS, KAFKA, ITSELF = "redis", "kafka", "itself"
LOST: dict[str, tuple[type[Exception], ...]] = {
    REDIS: (RedisConnectionError, TimeoutError, OSError),
    KAFKA: (KafkaConnectionError, TimeoutError, OSError),
}


class Fate(StrEnum):
    """What may become of a call, but for a reply."""

    LOST = "lost"
    LATE = "given up, arrives late"
    TWICE = "sent twice"


@dataclass(eq=False)
class Call:
    """A call on its way to a server.

    `pieces` have not arrived yet. Each is applied when it arrives, whether the caller still
    waits or not; the caller hears nothing before there is a reply.
    """

    name: str
    server: str
    pieces: list[Callable[[], None]]
    reply: "asyncio.Future[None]"
    refusal: LaneFencedError | None = None
    sent: tuple[Callable[[], None], ...] = ()

    def __post_init__(self) -> None:
        self.sent = tuple(self.pieces)

    def arrive(self, pieces: int = ALL) -> None:
        """Apply the next pieces, or all that there are."""
        count = pieces if pieces < ALL else len(self.pieces)
        arriving, self.pieces = self.pieces[:count], self.pieces[count:]
        for piece in arriving:
            try:
                piece()
            except LaneFencedError as refusal:
                self.refusal = refusal

    def answer(self) -> None:
        """Apply what has not arrived, and let the caller go on."""
        self.arrive()
        if self.refusal is not None:
            self.reply.set_exception(self.refusal)
        else:
            self.reply.set_result(None)

    def fail(self, kind: int = 0) -> None:
        """Let the caller believe that the call was lost, by one of several errors."""
        errors = LOST[self.server]
        self.reply.set_exception(errors[kind % len(errors)]("connection lost"))

    def meet(self, fate: Fate, *, arrived: int, kind: int) -> None:
        """Fail, after so many pieces have arrived; or arrive twice."""
        if fate is Fate.TWICE:
            self.arrive()
            self.pieces = list(self.sent)
            self.answer()
            return
        self.arrive(arrived)
        if fate is Fate.LOST:
            self.pieces.clear()
        self.fail(kind)


@dataclass
class Line:
    """The calls of one process; what its callers leave behind on the way goes to `adrift`."""

    adrift: list[Call]
    calls: list[Call] = field(default_factory=list)
    is_cut: bool = False

    @property
    def waiting(self) -> list[Call]:
        """Calls without a reply, the oldest first."""
        return [call for call in self.calls if not call.reply.done()]

    async def ask(self, name: str, server: str, *pieces: Callable[[], T]) -> T:
        """What the last of the pieces returned, once there is a reply."""
        if self.is_cut:
            raise asyncio.CancelledError  # the process is dead
        results: list[T] = []
        steps = [partial(_keep, results, piece) for piece in pieces]
        call = Call(name, server, [*steps], asyncio.get_running_loop().create_future())
        self.calls.append(call)
        try:
            await call.reply
            return results[-1]
        finally:
            self.calls.remove(call)
            if not self.is_cut:
                self._leave(call)

    def cut(self) -> None:
        """Ask nothing more; what was sent is on its way."""
        if not self.is_cut:
            self.is_cut = True
            for call in self.calls:
                self._leave(call)

    def _leave(self, call: Call) -> None:
        if call.pieces and call.server != ITSELF:
            self.adrift.append(call)


def _keep(results: list[T], piece: Callable[[], T]) -> None:
    results.append(piece())


def _at_once(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        ask().send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


@dataclass(frozen=True)
class FarStore:
    """The state at the other end of a line; pages arrive one by one."""

    line: Line
    store: MemoryStore

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        def claim() -> Coroutine[Any, Any, LaneState]:
            return self.store.claim(partition, owner=owner, unless_above=unless_above)

        return await self._ask("claim", claim)

    async def step(self, step: Step) -> Outcome:
        return await self._ask("step", lambda: self.store.step(step))

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        return await self._ask("profiles", lambda: self.store.profiles(partition, customers))

    async def due(self, partition: int, now_ms: int, limit: int) -> list[CustomerId]:
        return await self._ask("due", lambda: self.store.due(partition, now_ms, limit))

    async def scan(self, partition: int, cursor: int, count: int) -> tuple[int, list[CustomerId]]:
        return await self._ask("scan", lambda: self.store.scan(partition, cursor, count))

    async def write_segments(self, records: Sequence[SegmentRecord]) -> None:
        pages = [partial(self.store.write_segments, [record]) for record in records]
        await self._ask("write_segments", *pages)

    async def show_segments(self, showings: Sequence[Showing]) -> None:
        pages = [partial(self.store.show_segments, [showing]) for showing in showings]
        await self._ask("show_segments", *pages)

    async def _ask(self, name: str, *pieces: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self.line.ask(name, REDIS, *[partial(_at_once, piece) for piece in pieces])


@dataclass
class FarKafka:
    """Kafka at the other end of a line: who tells, and a consumer's position in the log."""

    line: Line
    kafka: MemoryKafka
    log: list[ConsumerRecord]
    fetched: deque[RecordBatch] = field(default_factory=deque)
    position: int = 0
    seeks: int = 0
    highwater: int | None = None

    async def changes(self, changes: Sequence[tuple[CustomerId, bytes]]) -> None:
        await self._ask("changes", *[partial(self.kafka.changes, [change]) for change in changes])

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        await self._ask("samples", partial(self.kafka.profiles, profiles))

    async def rejections(self, rejections: Sequence[Rejection]) -> None:
        pieces = [partial(self.kafka.rejections, [rejection]) for rejection in rejections]
        await self._ask("rejections", *pieces)

    async def _ask(self, name: str, *pieces: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self.line.ask(name, KAFKA, *[partial(_at_once, piece) for piece in pieces])

    async def seek(self, partition: int, offset: int) -> int:  # noqa: ARG002 - one partition
        return await self.line.ask("seek", KAFKA, partial(self._move, offset))

    def _move(self, offset: int) -> int:
        self.position = offset
        self.seeks += 1
        return self.seeks

    async def earliest(self, partition: int) -> int:  # noqa: ARG002 - one partition
        return await self.line.ask("earliest", KAFKA, lambda: 0)

    async def latest(self, partition: int) -> int:  # noqa: ARG002 - one partition
        return await self.line.ask("latest", KAFKA, self._end)

    def _end(self) -> int:
        return self.log[-1].offset + 1 if self.log else 0

    def end(self, partition: int) -> int | None:  # noqa: ARG002 - one partition
        return self.highwater

    def fetch(self, limit: int) -> None:
        """Read on in the log; nobody has the records yet."""
        self.highwater = self._end()
        records = [record for record in self.log if record.offset >= self.position][:limit]
        if records:
            self.fetched.append(RecordBatch(0, records, self.seeks, self.position))
            self.position = records[-1].offset + 1
