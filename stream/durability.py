"""How safely Redis keeps what it is given: its configuration, and who could take over."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from config.settings import Settings
from stream.cluster import Cluster, RedisClient
from stream.findings import Finding

RELAXED = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
STRICT = RELAXED | {"appendfsync": "always"}


@dataclass(frozen=True, slots=True)
class Node:
    """One server: its configuration, empty where that is a secret; a primary's replicas."""

    name: str
    config: Mapping[str, str]
    replicas: int | None


async def check_durability(redis: RedisClient, settings: Settings) -> Finding:
    """Whether Redis, or every node of the cluster, keeps steps as the settings promise."""
    wanted = STRICT if settings.durability == "strict" else RELAXED
    described = ", ".join(f"{name} {value}" for name, value in wanted.items())
    nodes = await _nodes(redis)
    faults = [_misconfigured(node, wanted, settings) for node in nodes if node.config]
    if fault := next(filter(None, [*faults, _unfollowed(nodes, settings)]), None):
        return fault
    if not all(node.config for node in nodes):
        return Finding(
            "durability",
            ok=True,
            detail="not checked, because Redis forbids CONFIG GET",
            action=f"see to it that it runs with {described}",
        )
    followed = f", on {1 + settings.redis_replicas} nodes" if settings.redis_replicas else ""
    return Finding("durability", ok=True, detail=f"{settings.durability}: {described}{followed}")


async def _nodes(redis: RedisClient) -> list[Node]:
    if not isinstance(redis, Cluster):
        return [await _describe(redis, "Redis")]
    await redis.initialize()
    # A replica too must be fit to take over.
    return [
        await _describe(redis, f"Redis node {node.name}", target_nodes=node)
        for node in redis.get_nodes()
    ]


async def _describe(redis: Any, name: str, **target: Any) -> Node:
    config: dict[Any, Any] = {}
    replicas = None
    with suppress(ResponseError):
        # Two requests, because before version 7 CONFIG GET takes one pattern.
        config = await redis.config_get("append*", **target)
        config |= await redis.config_get("maxmemory-policy", **target)
    with suppress(ResponseError):
        info = await redis.info("replication", **target)
        replicas = int(info["connected_slaves"]) if info["role"] == "master" else None
    return Node(name, {_text(key): _text(value) for key, value in config.items()}, replicas)


def _misconfigured(node: Node, wanted: Mapping[str, str], settings: Settings) -> Finding | None:
    wrong = {name: value for name, value in wanted.items() if node.config.get(name) != value}
    if not wrong:
        return None
    faults = ", ".join(f"{name} {node.config.get(name, 'unknown')}" for name in wrong)
    needs = ", ".join(f"{name} {value}" for name, value in wrong.items())
    alternative = "" if wrong.keys() & RELAXED.keys() else ", or set SHOAL_DURABILITY=relaxed"
    return Finding(
        "durability",
        ok=False,
        detail=f"{node.name} runs with {faults}, durability {settings.durability} needs {needs}",
        action=f"set that in its configuration{alternative}",
    )


def _unfollowed(nodes: Sequence[Node], settings: Settings) -> Finding | None:
    for node in nodes:
        if node.replicas is not None and node.replicas < settings.redis_replicas:
            return Finding(
                "durability",
                ok=False,
                detail=(
                    f"{node.name} has {node.replicas} replicas, and "
                    f"SHOAL_REDIS_REPLICAS has every step wait for {settings.redis_replicas}"
                ),
                action="bring replicas back, or lower it",
            )
    may_fail_over = settings.redis_cluster and any(node.replicas for node in nodes)
    if may_fail_over and settings.durability == "strict" and not settings.redis_replicas:
        return Finding(
            "durability",
            ok=False,
            detail="a replica that takes over may lack steps that count, and durability is strict",
            action="set SHOAL_REDIS_REPLICAS=1, or SHOAL_DURABILITY=relaxed",
        )
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
