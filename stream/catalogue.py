"""What all processes share in Redis: models, segments, feature schemas; counts of all lanes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from models.errors import ShoalError
from models.identifiers import CustomerId
from stream import scripts
from stream.names import Keys

EVERYBODY_PPM = 1_000_000
KEPT_MODELS = 50


class StaleTrainerError(ShoalError):
    """Another trainer took over, or a newer model is in force."""


class Catalogue:
    """Models and what is known of segments; an overview of the lanes for people."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self.redis: Any = redis
        self.keys = keys
        self._publish_model = redis.register_script(scripts.PUBLISH_MODEL)

    async def model_version(self, segmentation: str) -> int:
        """Version of the model in force, 0 before the first."""
        return int(await self.redis.get(self.keys.model_current(segmentation)) or 0)

    async def model(self, version: int, segmentation: str) -> bytes | None:
        """A published model."""
        found: bytes | None = await self.redis.get(self.keys.model(version, segmentation))
        return found

    async def claim_training(self, segmentation: str) -> int:
        """A new epoch for a trainer; every trainer with an older one is fenced."""
        return int(await self.redis.hincrby(self.keys.training(segmentation), "epoch", 1))

    async def publish_model(
        self,
        snapshot: bytes,
        *,
        version: int,
        epoch: int,
        segments: Mapping[str, str],
        segmentation: str,
    ) -> None:
        """Put a model in force, with what is known of its segments; the last 50 models are kept.

        A publication that is sent again because its reply was lost has succeeded.

        Raises
        ------
        StaleTrainerError
            The epoch is not the trainer's any more, or the version does not go up.
        """
        args: list[Any] = [epoch, version, snapshot]
        for pair in segments.items():
            args += pair
        published, at_epoch, at_version = await self._publish_model(
            keys=[
                self.keys.training(segmentation),
                self.keys.model_current(segmentation),
                self.keys.model(version, segmentation),
                self.keys.segments(segmentation),
                self.keys.model(version - KEPT_MODELS, segmentation),
            ],
            args=args,
        )
        if not published:
            raise StaleTrainerError(
                f"model {version} of epoch {epoch} was refused: epoch {at_epoch} and model "
                f"{at_version} are in force; another trainer has taken over"
            )

    async def report_training(self, segmentation: str, **progress: int) -> None:
        """Tell how far the trainer is, for people and the demo."""
        mapping = {name: str(value) for name, value in progress.items()}
        await self.redis.hset(self.keys.training(segmentation), mapping=mapping)

    async def training(self, segmentation: str) -> dict[str, int]:
        """What the trainer last told: its epoch, customers, needed, sampled_ppm, offset."""
        found = await self.redis.hgetall(self.keys.training(segmentation))
        return {name.decode(): int(value) for name, value in found.items()}

    async def segments(self, segmentation: str) -> dict[str, dict[str, Any]]:
        """What is known of each segment in force, by id."""
        found = await self.redis.hgetall(self.keys.segments(segmentation))
        return {name.decode(): json.loads(value) for name, value in found.items()}

    async def add_schema(self, schema_id: int, layout: Mapping[str, Sequence[str]]) -> None:
        """Keep a profile layout for whoever reads these profiles under another configuration."""
        await self.redis.hset(self.keys.schemas, f"{schema_id:08x}", json.dumps(layout))

    async def schemas(self) -> dict[int, dict[str, list[str]]]:
        """Every layout that a stored profile may have, by schema id."""
        found = await self.redis.hgetall(self.keys.schemas)
        return {int(name, 16): json.loads(value) for name, value in found.items()}

    async def sizes(self, partitions: Iterable[int]) -> dict[str, int]:
        """Customers per segment id over all lanes; `unassigned` are those without one."""
        total: dict[str, int] = {}
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.hgetall(self.keys.sizes(partition))
            for counts in await pipe.execute():
                for name, count in counts.items():
                    total[name.decode()] = total.get(name.decode(), 0) + int(count)
        return {name: count for name, count in total.items() if count}

    async def customers(self, partitions: Iterable[int]) -> int:
        """How many customers have a living profile."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.zcard(self.keys.due(partition))
            return sum(await pipe.execute())

    async def lanes(self, partitions: Iterable[int]) -> list[dict[str, str]]:
        """Fields of every lane but `pending`, by partition; empty where no worker ever was."""
        names = ("epoch", "seq", "next_offset", "clock", "rescored")
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.hmget(self.keys.lane(partition), names)
            return [
                {n: v.decode() for n, v in zip(names, values, strict=True) if v is not None}
                for values in await pipe.execute()
            ]

    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]:
        """What a page reads; empty where the customer is in no segment."""
        found = await self.redis.hgetall(self.keys.segment(customer, segmentation))
        return {name.decode(): value.decode() for name, value in found.items()}
