"""What a lane needs of Kafka: someone who tells, and a position to read from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from models.identifiers import CustomerId
from stream.batches import Rejection


class Teller(Protocol):
    """Who brings what a lane has to tell to Kafka; each call ends once Kafka has it."""

    async def changes(self, changes: Sequence[tuple[CustomerId, bytes]]) -> None:
        """Changes of segment, in order."""

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        """Profiles of the trainer's sample; None for who is gone."""

    async def rejections(self, rejections: Sequence[Rejection]) -> None:
        """Records that cannot be counted."""


class Position(Protocol):
    """Where the consumer reads a partition."""

    async def seek(self, partition: int, offset: int) -> int:
        """Read on from `offset`; the number that batches from there on carry."""

    async def earliest(self, partition: int) -> int:
        """First offset that the log still holds."""

    async def latest(self, partition: int) -> int:
        """The offset that the next record will have, as Kafka says now."""

    def end(self, partition: int) -> int | None:
        """The same as of the last fetch, None before the first."""
