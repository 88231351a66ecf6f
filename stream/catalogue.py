"""What all processes share in Redis: models, segments, feature schemas; counts of all lanes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.errors import ShoalError
from models.identifiers import CustomerId
from models.snapshots import Snapshot
from stream import scripts
from stream.cluster import RedisClient
from stream.deployment import require_standing
from stream.names import Keys
from stream.sender import Sender

EVERYBODY_PPM = 1_000_000
KEPT_MODELS = 50


class StaleTrainerError(ShoalError):
    """Another trainer took over, or a newer model is in force."""


class Catalogue:
    """Models and what is known of segments; an overview of the lanes for people.

    Parameters
    ----------
    replicas
        So many replicas must have a model before it is published.
    layout
        What decides on a customer's partition, where a trainer insists on the state.
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

    async def model_version(self, segmentation: str) -> int:
        """Version of the model in force, 0 before the first."""
        return int(await self.redis.get(self.keys.model_current(segmentation)) or 0)

    async def model(self, version: int, segmentation: str) -> bytes | None:
        """A published model."""
        found: bytes | None = await self.redis.get(self.keys.model(version, segmentation))
        return found

    async def models(self, segmentation: str) -> dict[int, bytes]:
        """Every model that is kept, by version, the oldest first."""
        last = await self.model_version(segmentation)
        versions = range(max(last - KEPT_MODELS, 0) + 1, last + 1)
        if not versions:
            return {}
        keys = [self.keys.model(version, segmentation) for version in versions]
        found = await self._send("MGET", *keys)
        return {at: blob for at, blob in zip(versions, found, strict=True) if blob is not None}

    async def newest_model(self, segmentation: str) -> Snapshot | None:
        """The model in force, None before the first."""
        version = await self.model_version(segmentation)
        blob = await self.model(version, segmentation) if version else None
        return Snapshot.from_json(blob) if blob else None

    async def claim_training(self, segmentation: str) -> int:
        """A new epoch for a trainer; every trainer with an older one is fenced.

        Raises
        ------
        StateLostError
            The state is gone from Redis, or is being rebuilt.
        """
        epoch = int(await self._send("HINCRBY", self.keys.training(segmentation), "epoch", 1))
        if self._layout is not None:
            await require_standing(self.redis, self.keys, self._layout)
        return epoch

    async def publish_model(
        self,
        snapshot: bytes,
        *,
        version: int,
        epoch: int,
        segments: Mapping[str, str],
        segmentation: str,
        previous: int | None = None,
        hold: int = 0,
    ) -> None:
        """Put a model in force, with what is known of its segments.

        Models more than 50 versions back are deleted; `previous` is the version before, where that
        is not one less. With `hold`, a number of the operator's own, the trainer is fenced by an
        epoch above, and no trainer publishes before `release`. A publication that is sent again
        because its reply was lost has succeeded.

        Raises
        ------
        StaleTrainerError
            The epoch is not the trainer's any more, or the version does not go up.
        """
        args: list[Any] = [epoch, version, snapshot, *((epoch + 1, hold) if hold else ("", ""))]
        for pair in segments.items():
            args += pair
        keys = [
            self.keys.training(segmentation),
            self.keys.model_current(segmentation),
            self.keys.model(version, segmentation),
            self.keys.segments(segmentation),
        ]
        last = version - 1 if previous is None else previous
        outdated = range(max(last - KEPT_MODELS + 1, 1), min(last, version - KEPT_MODELS) + 1)
        keys += [self.keys.model(old, segmentation) for old in outdated]
        published, at_epoch, at_version = await self._send.run(scripts.PUBLISH_MODEL, keys, args)
        if not published:
            raise StaleTrainerError(
                f"model {version} of epoch {epoch} was refused: epoch {at_epoch} and model "
                f"{at_version} are in force; another trainer has taken over"
            )

    async def release(self, segmentation: str) -> bool:
        """Let the trainer publish again; whether it was held."""
        return bool(await self._send("HDEL", self.keys.training(segmentation), "hold"))

    async def report_training(self, segmentation: str, **progress: int) -> None:
        """Tell how far the trainer is, for people and the demo."""
        mapping = {name: str(value) for name, value in progress.items()}
        await self.redis.hset(self.keys.training(segmentation), mapping=mapping)

    async def training(self, segmentation: str) -> dict[str, int]:
        """What the trainer last told: customers, needed, sampled_ppm, offset, announced; its epoch.

        `hold` is the epoch that a rollback has raised, and missing unless models are held; `holder`
        is the number of who was the last to do so.
        """
        found = await self.redis.hgetall(self.keys.training(segmentation))
        return {name.decode(): int(value) for name, value in found.items()}

    async def segments(self, segmentation: str) -> dict[str, dict[str, Any]]:
        """What is known of each segment in force, by id."""
        found = await self.redis.hgetall(self.keys.segments(segmentation))
        return {name.decode(): json.loads(value) for name, value in found.items()}

    async def add_schema(self, schema_id: int, layout: Mapping[str, Sequence[str]]) -> None:
        """Keep a profile layout for whoever reads these profiles under another configuration."""
        await self._send("HSET", self.keys.schemas, f"{schema_id:08x}", json.dumps(layout))

    async def schemas(self) -> dict[int, dict[str, list[str]]]:
        """Every layout that a stored profile may have, by schema id."""
        found = await self.redis.hgetall(self.keys.schemas)
        return {int(name, 16): json.loads(value) for name, value in found.items()}

    async def sizes(self, partitions: Iterable[int], segmentation: str) -> dict[str, int]:
        """Customers per segment id over all lanes; `unassigned` are those without one."""
        prefix = f"{segmentation}:"
        total: dict[str, int] = {}
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.hgetall(self.keys.sizes(partition))
            for counts in await pipe.execute():
                for field, count in counts.items():
                    if field.decode().startswith(prefix):
                        name = field.decode().removeprefix(prefix)
                        total[name] = total.get(name, 0) + int(count)
        return {name: count for name, count in total.items() if count}

    async def customers(self, partitions: Iterable[int]) -> int:
        """How many customers have a living profile."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.zcard(self.keys.due(partition))
            return sum(await pipe.execute())

    async def lanes(self, partitions: Iterable[int]) -> list[dict[str, str]]:
        """Fields of every lane but `pending`, by partition; empty where no worker ever was."""
        names = ("epoch", "seq", "next_offset", "clock", "reached")
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
