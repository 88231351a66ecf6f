"""Records of Kafka, as far as Shoal reads them."""

from typing import Protocol

from msgspec import Struct


class Record(Protocol):
    """A record, aiokafka's or our own; `timestamp` in epoch ms, not above 0 where it has none."""

    @property
    def topic(self) -> str:
        """Where it stands."""

    @property
    def partition(self) -> int:
        """Where in the topic."""

    @property
    def offset(self) -> int:
        """Where in the partition."""

    @property
    def timestamp(self) -> int:
        """When the broker had it, or its producer made it."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """What it says."""


class FetchedRecord(Struct, gc=False):
    """See `Record`. aiokafka's is a frozen dataclass, and takes three times as long to make."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
