"""The state of lanes and pages in Redis, written by scripts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from models.identifiers import CustomerId
from stream import scripts
from stream.cluster import RedisClient
from stream.deployment import require_standing
from stream.names import Keys
from stream.sender import Sender
from stream.store import (
    LaneFencedError,
    LaneState,
    Outcome,
    SegmentRecord,
    Showing,
    Step,
    reached_text,
    read_reached,
    shown_fields,
)

GONE_TTL_MS = 7 * 86_400_000


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
            reached_text(step.reached),
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
