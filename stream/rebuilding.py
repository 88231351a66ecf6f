"""A namespace's state made anew, from its event log and from what it has told."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from rich.progress import Progress

from config.segmentation import load_segmentation
from config.settings import Settings
from models.clock import EventClock
from models.errors import ShoalError
from models.identifiers import CustomerId
from models.population import in_sample
from models.scoring import present
from stream import scripts
from stream.app import step_maker
from stream.catalogue import Catalogue
from stream.changes import read_change, segment_record, unpack
from stream.cluster import RedisClient
from stream.deployment import FORMER, REBUILDING, deployment, former_layouts, load, placed_by
from stream.homes import Homes
from stream.log import log_ends, read_log
from stream.names import Keys, Topics
from stream.partitions import partitioner_of_many
from stream.producing import Message, send_batch
from stream.publisher import Publisher
from stream.recount import Recount
from stream.remains import Remains
from stream.store import size_field
from stream.topics import ClusterInfo
from stream.worker import wall_ms

AT_ONCE = 1_000
LANE_FIELDS = ("owner", "seq", "next_offset", "clock", "pending", "reached")


class RebuildRefusedError(ShoalError):
    """A rebuild cannot begin, or must not go on; what it has done so far does no harm."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild has done; `kept` customers have no event in the log."""

    events: int
    rejected: int
    customers: int
    kept: int
    unreadable: int

    def __str__(self) -> str:
        odd = f"; {self.unreadable} messages of the change topic could not be read"
        return (
            f"{self.events} events of {self.customers} customers counted, {self.rejected} set "
            f"aside; {self.kept} customers without an event stay in their segment"
            f"{odd if self.unreadable else ''}. Start the workers and the trainer."
        )


class _Sender:
    """A producer of aiokafka's, for `Publisher`."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> tuple[int, Awaitable[Any]]:
        """See `stream.producing.Producer`."""
        return await send_batch(self._producer, topic, partition, messages)


class Rebuild:
    """One run. Every phase may be cut short: the next run begins with what is left."""

    def __init__(
        self,
        settings: Settings,
        info: ClusterInfo,
        redis: RedisClient,
        producer: AIOKafkaProducer,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._info = info
        self._progress = progress
        self._run = uuid4().hex
        self._topics = Topics(settings.namespace)
        self._keys = Keys(settings.namespace)
        # redis-py cannot tell its types that nothing is decoded here.
        self._redis: Any = redis
        self._catalogue = Catalogue(redis, self._keys)
        places = partitioner_of_many(settings.partitioner, settings.partitions)
        self._publisher = Publisher(_Sender(producer), self._topics, places)
        self._maker = step_maker(settings, load_segmentation(settings.segmentation))
        self._homes = Homes(redis, self._keys, self._maker, replicas=settings.redis_replicas)
        self._send = self._homes.send
        self._remains = Remains(self._keys, self._homes)

    async def run(self) -> Rebuilt:
        """Everything, in an order in which nothing that was told is ever forgotten."""
        stored = await load(self._redis, self._keys)
        former = former_layouts(stored, self._settings)
        await self._send("HSET", self._keys.deployment, REBUILDING, self._run)
        await self._catalogue.add_schema(self._maker.schema.id, self._maker.schema.layout)
        lanes = await self._fence()
        await self._keep_profiles()
        await self._keep_changes()
        recount = Recount(
            self._homes, self._publisher, [placed_by(text) for text in former], wall_ms
        )
        await self._count(recount)
        await self._empty_sample()
        people: Counter[bool] = Counter()
        for partition in range(self._settings.partitions):
            people += await self._open(partition, recount.clocks[partition])
        for partition in lanes - set(range(self._settings.partitions)):
            await self._send("HDEL", self._keys.lane(partition), *LANE_FIELDS)
        await self._end(former)
        return Rebuilt(
            recount.events, recount.rejected, people[True], people[False], self._remains.unreadable
        )

    async def _still_ours(self) -> None:
        found = await self._redis.hget(self._keys.deployment, REBUILDING)
        if found != self._run.encode():
            raise RebuildRefusedError(
                "another `shoal rebuild` has begun meanwhile: wait until it ends"
            )

    async def _fence(self) -> set[int]:
        """Shut out whoever still holds a lane or trains, and tell what they had not told yet."""
        settings, keys = self._settings, self._keys
        names = [name.decode() async for name in self._redis.scan_iter(keys.lanes, AT_ONCE)]
        lanes = {keys.place(name)[0] for name in names} | set(range(settings.partitions))
        for partition in sorted(lanes):
            pending = unpack(await self._shut_out(keys.lane(partition)) or b"")
            changes = [read_change(change) for change in pending]
            pages = [segment_record(change) for change in changes]
            await self._homes.store.write_segments(pages)
            told = [(c.subject, data) for c, data in zip(changes, pending, strict=True)]
            await self._publisher.changes(told)
            await self._send("UNLINK", keys.due(partition), keys.sizes(partition))
        for segmentation in self._maker.segmentations:
            await self._shut_out(keys.training(segmentation.name))
        return lanes

    async def _shut_out(self, key: str) -> bytes | None:
        # A clock is ahead of every epoch that was counted up from 1, also where Redis forgot it.
        pending: bytes | None = await self._send.run(scripts.FENCE, [key], [wall_ms()])
        return pending

    async def _keep_profiles(self) -> None:
        task = self._progress.add_task("profiles", total=None)
        names: list[str] = []
        async for name in self._redis.scan_iter(self._keys.profiles, AT_ONCE):
            names.append(name.decode())
            if len(names) == AT_ONCE:
                await self._still_ours()
                await self._remains.keep_profiles(names)
                self._progress.advance(task, len(names))
                names = []
        await self._remains.keep_profiles(names)
        self._progress.advance(task, len(names))

    async def _keep_changes(self) -> None:
        topic = self._topics.changes
        ends = await log_ends(self._settings, topic, range(self._info.partitions[topic]))
        task = self._progress.add_task("changes", total=None)
        async for _, records in read_log(self._settings, topic, ends):
            await self._still_ours()
            await self._remains.keep_changes(records)
            self._progress.advance(task, len(records))
        # A trainer without a model goes on counting from these.
        for segmentation, (model, number) in self._remains.told.items():
            await self._catalogue.report_training(
                segmentation, told_model=model, told_segment=number
            )

    async def _count(self, recount: Recount) -> None:
        ends, starts = self._info.end_offsets, self._info.start_offsets
        total = sum(ends.values()) - sum(starts.values())
        task = self._progress.add_task("events", total=total)
        async for partition, records in read_log(self._settings, self._topics.events, dict(ends)):
            await self._still_ours()
            await recount.take(partition, records)
            self._progress.advance(task, len(records))

    async def _empty_sample(self) -> None:
        topic = self._topics.population
        ends = await log_ends(self._settings, topic, [0])
        async for _, records in read_log(self._settings, topic, ends):
            gone = {CustomerId(record.key.decode()) for record in records if record.value}
            await self._publisher.profiles(dict.fromkeys(gone))

    async def _open(self, partition: int, clock: EventClock) -> Counter[bool]:
        """Let workers go on behind what was counted; customers by whether they have an event."""
        await self._still_ours()
        keys, schema, threshold = self._keys, self._maker.schema, await self._threshold()
        sizes: Counter[str] = Counter()
        people: Counter[bool] = Counter()
        at = 0
        while found := await self._redis.zrange(keys.due(partition), at, at + AT_ONCE - 1):
            at += len(found)
            names = [CustomerId(name.decode()) for name in found]
            blobs = await self._homes.store.profiles(partition, names)
            rows = schema.decode(blobs)
            known = present(rows)
            for grouping in self._maker.segmentations:
                numbers = grouping.numbers(rows[known]).tolist()
                sizes.update(size_field(grouping.name, number) for number in numbers)
            people.update((rows["first_ms"][known] > 0).tolist())
            sampled = {
                name: blob
                for name, blob, first_ms in zip(names, blobs, rows["first_ms"], strict=True)
                if first_ms and in_sample(name, threshold)
            }
            await self._publisher.profiles(sampled)
        counts = [x for pair in sizes.items() for x in pair]
        await self._send("UNLINK", keys.sizes(partition))
        if counts:
            await self._send("HSET", keys.sizes(partition), *counts)
        end = self._info.end_offsets[partition]
        lane = ("seq", 0, "next_offset", end, "clock", clock.to_text(), "reached", "")
        await self._send("HDEL", keys.lane(partition), "owner", "pending")
        await self._send("HSET", keys.lane(partition), *lane)
        return people

    async def _threshold(self) -> float:
        names = [segmentation.name for segmentation in self._maker.segmentations]
        models = [await self._catalogue.newest_model(name) for name in names]
        return max(model.sample_threshold if model else 1.0 for model in models)

    async def _end(self, former: list[str]) -> None:
        await self._still_ours()
        fields = deployment(self._settings, self._info.cluster_id) | {FORMER: " ".join(former)}
        key = self._keys.deployment
        await self._send("HSET", key, *[x for pair in fields.items() for x in pair])
        await self._send("HDEL", key, REBUILDING)
