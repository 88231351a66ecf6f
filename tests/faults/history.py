"""Everything that was told through Kafka, read as it grows."""

import json
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from config.settings import Settings
from stream.connections import kafka_options
from stream.names import Topics

Place = tuple[str, str]
"""A segmentation, and a customer."""


@dataclass(frozen=True, slots=True)
class Said:
    """One change: a hash of its bytes, and the segments that the customer left and entered."""

    hash: bytes
    origin: str | None
    target: str | None


@dataclass(slots=True)
class Told:
    """The changes of a customer in a segmentation, by version.

    `reached` is the highest of each partition.
    """

    changes: dict[int, Said] = field(default_factory=dict)
    reached: Counter[int] = field(default_factory=Counter)

    @property
    def version(self) -> int:
        """The highest version, 0 before the first."""
        return max(self.changes, default=0)

    @property
    def segment(self) -> str | None:
        """Where the customer was told to be last."""
        return self.changes[self.version].target if self.changes else None

    @property
    def missing(self) -> list[int]:
        """Versions that were never told, although a later one was."""
        return [at for at in range(1, self.version) if at not in self.changes]

    @property
    def broken(self) -> list[int]:
        """Versions that leave another segment than the one before has entered."""
        before = {version + 1: said.target for version, said in self.changes.items()} | {1: None}
        return [
            version
            for version, said in self.changes.items()
            if version in before and said.origin != before[version]
        ]


class History:
    """Changes and rejections from the beginning of their topics.

    `conflicts` has a few words on every change that contradicts an earlier one: other bytes
    under a version that was told, or a new version after a higher one.

    Parameters
    ----------
    told
        What was told before, elsewhere.
    """

    def __init__(self, settings: Settings, told: dict[Place, Told] | None = None) -> None:
        topics = Topics(settings.namespace)
        self.told = told or {}
        self.conflicts: list[str] = []
        self.rejected: set[tuple[bytes, bytes]] = set()
        self.repeats = 0
        self._changes = topics.changes
        self._parts = [
            TopicPartition(topic, number)
            for topic in (topics.changes, topics.rejected)
            for number in range(settings.partitions)
        ]
        self._consumer = AIOKafkaConsumer(**kafka_options(settings), enable_auto_commit=False)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._parts)
        await self._consumer.seek_to_beginning(*self._parts)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Read on to where the topics end now."""
        ends = await self._consumer.end_offsets(self._parts)
        while any([await self._consumer.position(part) < ends[part] for part in self._parts]):
            fetched = await self._consumer.getmany(timeout_ms=500)
            for part, records in fetched.items():
                for record in records:
                    if part.topic == self._changes:
                        self._take(record)
                    else:
                        self._set_aside(record)

    def _take(self, record: ConsumerRecord[bytes, bytes]) -> None:
        change = json.loads(record.value)
        name, data = change["subject"], change["data"]
        told = self.told.setdefault((data["segmentation"], name), Told())
        version = data["version"]
        digest = blake2b(record.value, digest_size=16).digest()
        said = Said(digest, _id(data["from"]), _id(data["to"]))
        if version in told.changes:
            self.repeats += 1
            if told.changes[version] != said:
                self.conflicts.append(f"{name} version {version} was told in two ways")
            return
        # A topic that was widened has the customer's later changes in another partition.
        if version < told.reached[record.partition]:
            self.conflicts.append(
                f"{name} version {version} was told after {told.reached[record.partition]}"
            )
        told.reached[record.partition] = version
        told.changes[version] = said

    def _set_aside(self, record: ConsumerRecord[bytes, bytes]) -> None:
        headers = dict(record.headers)
        self.rejected.add((headers["partition"], headers["offset"]))


def _id(segment: dict[str, Any] | None) -> str | None:
    return segment["id"] if segment else None
