"""What Redis remembers of the Kafka that its state was counted from."""

from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from models.errors import ShoalError
from models.formats import FORMAT, FutureFormatError
from stream.cluster import RedisClient
from stream.names import Keys
from stream.partitions import partitioner

REBUILDING = "rebuilding"
FORMER = "former"
STORED_FORMAT = "format"


class StateLostError(ShoalError):
    """The state that a process works on is gone from Redis, or is not the one it began with."""


def deployment(settings: Settings, cluster_id: str) -> dict[str, str]:
    """What must not change under existing state."""
    return {"cluster_id": cluster_id} | layout(settings)


def layout(settings: Settings) -> dict[str, str]:
    """What decides on a customer's partition."""
    return {"partitions": str(settings.partitions), "partitioner": settings.partitioner}


def unfinished(namespace: str) -> tuple[str, str]:
    """What is wrong while a rebuild has not ended, and what to do about it."""
    return f"the state of namespace {namespace} is being rebuilt", "finish `shoal rebuild`"


def require_format(stored: Mapping[str, str]) -> None:
    """Return if what is stored was stored by this version, or by an older one.

    Raises
    ------
    FutureFormatError
        A newer version has been at work.

    >>> require_format({"format": "1"})
    """
    found = int(stored.get(STORED_FORMAT, 0))
    if found > FORMAT:
        raise FutureFormatError("the state in Redis", found)


async def load(redis: RedisClient, keys: Keys) -> dict[str, str]:
    """What Redis remembers; empty where there is no state.

    Raises
    ------
    FutureFormatError
        A newer version has begun to work on it.
    """
    # redis-py cannot tell its types that nothing is decoded here.
    found: Any = await redis.hgetall(keys.deployment)
    stored = {name.decode(): value.decode() for name, value in found.items()}
    require_format(stored)
    return stored


async def require_standing(redis: RedisClient, keys: Keys, ours: Mapping[str, str]) -> None:
    """Return if the state is there, and still laid out as this process took it to be.

    Raises
    ------
    StateLostError
        Redis was emptied, is being rebuilt, or was rebuilt for another layout.
    FutureFormatError
        A newer version has begun to work on it.
    """
    stored = await load(redis, keys)
    if REBUILDING in stored:
        raise StateLostError(": ".join(unfinished(keys.namespace)))
    if not stored:
        raise StateLostError(
            f"Redis does not hold the state of namespace {keys.namespace} any more: "
            "restore it, or run `shoal rebuild`"
        )
    for name, value in ours.items():
        if stored.get(name, value) != value:
            raise StateLostError(
                f"the state was rebuilt for {name} {stored[name]}, this process has {value}: "
                f"start it with SHOAL_{name.upper()}={stored[name]}"
            )


def former_layouts(stored: Mapping[str, str], settings: Settings) -> list[str]:
    """Layouts that the log may hold events of, besides the settings': count and partitioner.

    >>> stored = {"partitions": "8", "partitioner": "crc32", "former": "4:crc32"}
    >>> former_layouts(stored, Settings(partitions=16))
    ['4:crc32', '8:crc32']
    """
    found = stored.get(FORMER, "").split()
    if "partitions" in stored:
        found.append(f"{stored['partitions']}:{stored['partitioner']}")
    now = f"{settings.partitions}:{settings.partitioner}"
    return [text for text in dict.fromkeys(found) if text != now]


def placed_by(text: str) -> Callable[[bytes], int]:
    """Where a former layout put keys.

    >>> placed_by("8:crc32")(b"c000001")
    5
    """
    count, _, name = text.partition(":")
    chosen: Any = name
    return partitioner(chosen, int(count))
