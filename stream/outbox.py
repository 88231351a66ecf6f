"""Profiles of a lane's sampled customers on their way to the trainer."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from models.identifiers import CustomerId
from stream.ports import Teller
from stream.together import cancelled

FLUSH_SECONDS = 1.0
FLUSH_PROFILES = 2_000
MOST_UNSENT_PROFILES = 20_000


class SampleOutbox:
    """Sends the latest profile of each customer now and then, beside the steps of its lane.

    The trainer may hear of a customer late; what came between is of no use to it.
    """

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._unsent: dict[CustomerId, bytes | None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._next_flush = 0.0

    def add(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        """Keep these profiles for the trainer; None for who is gone."""
        self._unsent.update(profiles)

    async def flush(self) -> None:
        """Begin to send, once a second; waits only when Kafka has been away for too long."""
        if self._sending is not None:
            if not self._sending.done() and len(self._unsent) < MOST_UNSENT_PROFILES:
                return
            await self._sending
            self._sending = None
        if monotonic() >= self._next_flush or len(self._unsent) >= FLUSH_PROFILES:
            self._send()

    async def drain(self) -> None:
        """Return once Kafka has everything."""
        while self._sending is not None or self._unsent:
            if self._sending is not None:
                await self._sending
                self._sending = None
            self._send()

    async def close(self) -> None:
        """Send nothing more: a lost lane's profiles are its successor's business."""
        if self._sending is not None:
            await cancelled(self._sending)

    def _send(self) -> None:
        if self._unsent:
            profiles, self._unsent = self._unsent, {}
            self._sending = asyncio.create_task(self._teller.profiles(profiles))
            self._next_flush = monotonic() + FLUSH_SECONDS
