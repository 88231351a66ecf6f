"""What Redis keeps of a customer, kind by kind."""

from typing import Any

from config.settings import Settings
from stream.connections import connect_node
from stream.names import Keys

SAMPLE = 500


async def bytes_by_kind(settings: Settings, customers: int) -> dict[str, float]:
    """Bytes a customer, as MEMORY USAGE says; keys of single customers are sampled.

    `profile` and `page` are whole keys with their names and what Redis adds, `profile value` is
    what is stored of a profile. The tables in which Redis finds keys and their expiry come on top.
    """
    keys = Keys(settings.namespace)
    # redis-py's types do not know these commands of a single node.
    redis: Any = connect_node(settings)
    try:
        profiles = await _some(redis, keys.profiles)
        due = [await redis.memory_usage(keys.due(n), samples=0) or 0 for n in _all(settings)]
        sizes = [await redis.memory_usage(keys.sizes(n), samples=0) or 0 for n in _all(settings)]
        values = [await redis.strlen(name) for name in profiles]
        pages = await _some(redis, f"{settings.namespace}:segment:*")
        return {
            "profile": await _mean_usage(redis, profiles),
            "profile value": round(sum(values) / max(len(values), 1), 1),
            "page": await _mean_usage(redis, pages),
            "due": round(sum(due) / customers, 1),
            "sizes": round(sum(sizes) / customers, 1),
        }
    finally:
        await redis.aclose()


def _all(settings: Settings) -> range:
    return range(settings.partitions)


async def _some(redis: Any, pattern: str) -> list[bytes]:
    found: list[bytes] = []
    async for name in redis.scan_iter(match=pattern, count=1_000):
        found.append(name)
        if len(found) == SAMPLE:
            break
    return found


async def _mean_usage(redis: Any, names: list[bytes]) -> float:
    used = [await redis.memory_usage(name, samples=0) or 0 for name in names]
    return round(sum(used) / max(len(used), 1), 1)
