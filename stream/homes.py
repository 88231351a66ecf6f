"""Profiles in the partitions where their customers belong by today's layout."""

import asyncio
from collections.abc import Sequence

from models.identifiers import CustomerId
from stream.cluster import RedisClient
from stream.names import Keys
from stream.redis_store import RedisStore
from stream.sender import Sender
from stream.steps import StepMaker
from stream.store import StoredProfile


class Homes:
    """Reads and writes profiles outside steps, while every lane is fenced.

    Parameters
    ----------
    maker
        Knows where customers belong, and how long a profile is kept.
    replicas
        So many replicas must have what is written before it counts.
    """

    def __init__(
        self, redis: RedisClient, keys: Keys, maker: StepMaker, *, replicas: int = 0
    ) -> None:
        self.store = RedisStore(redis, keys, replicas=replicas)
        self.send = Sender(redis, replicas=replicas)
        self.maker = maker
        self._keys = keys

    def of(self, customer: CustomerId) -> int:
        """The partition that a customer belongs to."""
        return self.maker.reading.partition_of(customer.encode())

    def grouped(self, customers: Sequence[CustomerId]) -> dict[int, list[int]]:
        """Indices of these customers, by the partition that each belongs to."""
        groups: dict[int, list[int]] = {}
        for at, customer in enumerate(customers):
            groups.setdefault(self.of(customer), []).append(at)
        return groups

    async def write(self, partition: int, profiles: Sequence[StoredProfile]) -> None:
        """Write profiles, as `StoredProfile` has it, and when to look at them again."""
        keys, send = self._keys, self.send
        due, undue, writes = [], [], []
        for profile in profiles:
            key = keys.profile(partition, profile.customer)
            if profile.blob:
                writes.append(send("SET", key, profile.blob, "PX", self.maker.ttl_ms))
            elif profile.blob is not None:
                writes.append(send("UNLINK", key))
            if profile.due_ms is None:
                undue.append(profile.customer)
            else:
                due += [profile.due_ms, profile.customer]
        if due:
            writes.append(send("ZADD", keys.due(partition), *due))
        if undue:
            writes.append(send("ZREM", keys.due(partition), *undue))
        await asyncio.gather(*writes)
