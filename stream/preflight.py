"""What must hold before a worker or a trainer starts; each finding names what to do about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from config.settings import Settings
from models.errors import ShoalError
from stream.catalogue import Catalogue
from stream.names import Keys, Topics
from stream.reach import UnreachableError, reach_redis, redact
from stream.topics import ClusterInfo, describe, mismatch, topic_plan

__all__ = ["Finding", "PreflightError", "check", "reach_redis", "require", "require_topics"]

log = logging.getLogger(__name__)

RELAXED = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
STRICT = RELAXED | {"appendfsync": "always"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok` with an `action` is a warning."""

    name: str
    ok: bool
    detail: str
    action: str = ""


class PreflightError(ShoalError):
    """Something that must hold before a process starts does not."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.detail}: {finding.action}")
        self.finding = finding


@dataclass(frozen=True, slots=True)
class StoredState:
    """What Redis says its state belongs to, and the next offset of each lane that has one."""

    deployment: Mapping[str, str]
    next_offsets: Mapping[int, int]


async def check(settings: Settings) -> list[Finding]:
    """Everything that can be found out, good and bad; changes nothing."""
    return (await _look(settings))[0]


async def require(settings: Settings) -> None:
    """Return if a worker or a trainer may start; Redis then remembers which Kafka it serves.

    Raises
    ------
    PreflightError
        Something does not hold: the first of what `check` finds.
    UnreachableError
        Redis went away meanwhile.
    """
    findings, info = await _look(settings)
    _insist(findings)
    assert info is not None  # noqa: S101 - else a finding was bad
    async with reach_redis(settings) as redis:
        key = Keys(settings.namespace).deployment
        # In one transaction: of two that start at once, both see what the first has written.
        async with redis.pipeline(transaction=True) as pipe:
            for name, value in _deployment(settings, info).items():
                pipe.hsetnx(key, name, value)
            pipe.hgetall(key)
            stored = (await pipe.execute())[-1]
    _insist([_compare_deployment(_text(stored), settings, info)])


async def require_topics(settings: Settings) -> None:
    """Return if Kafka answers and has the topics of this namespace.

    Raises
    ------
    PreflightError
        It does not, or not as the settings say.
    """
    _insist((await _look_at_kafka(settings))[0])


async def _look(settings: Settings) -> tuple[list[Finding], ClusterInfo | None]:
    # Redis first: a lane that moves on meanwhile must not seem to be beyond the end of the log.
    redis, state = await _look_at_redis(settings)
    kafka, info = await _look_at_kafka(settings)
    findings = kafka + redis
    if info is not None and state is not None:
        findings.append(_compare_deployment(state.deployment, settings, info))
        findings.append(_compare_lanes(state.next_offsets, settings, info))
    return findings, info


async def _look_at_kafka(settings: Settings) -> tuple[list[Finding], ClusterInfo | None]:
    try:
        info = await describe(settings)
    except UnreachableError as error:
        return [_unreached(error)], None
    answers = f"cluster {info.cluster_id} at {settings.kafka}"
    return [Finding("kafka", ok=True, detail=answers), _compare_topics(settings, info)], info


def _unreached(error: UnreachableError) -> Finding:
    return Finding(error.server, ok=False, detail=error.problem, action=error.action)


def _compare_topics(settings: Settings, info: ClusterInfo) -> Finding:
    plan = topic_plan(settings)
    missing = [spec.name for spec in plan if spec.name not in info.partitions]
    if missing:
        return Finding(
            "topics",
            ok=False,
            detail=f"Kafka at {settings.kafka} has no topic {', '.join(missing)}",
            action="run `shoal topics create`, or correct SHOAL_NAMESPACE",
        )
    for spec in plan:
        policy = info.policies.get(spec.name)
        if fault := mismatch(spec, info.partitions[spec.name], policy, settings):
            return Finding("topics", ok=False, detail=fault.problem, action=fault.action)
    events = Topics(settings.namespace).events
    return Finding("topics", ok=True, detail=f"{events} has {settings.partitions} partitions")


async def _look_at_redis(settings: Settings) -> tuple[list[Finding], StoredState | None]:
    keys, where = Keys(settings.namespace), redact(settings.redis)
    try:
        async with reach_redis(settings) as redis:
            try:
                # Changes nothing, but is refused wherever nothing may be changed.
                await redis.hdel(keys.deployment, "probe")
            except ResponseError as error:
                return [_unwritable(where, error)], None
            durability = await _durability(redis, settings)
            lanes = await Catalogue(redis, keys).lanes(range(settings.partitions))
            state = StoredState(
                _text(await redis.hgetall(keys.deployment)),
                _next_offsets(lanes),
            )
    except UnreachableError as error:
        return [_unreached(error)], None
    return [Finding("redis", ok=True, detail=f"{where} can be written to"), durability], state


def _next_offsets(lanes: list[dict[str, str]]) -> dict[int, int]:
    begun = {n: lane["next_offset"] for n, lane in enumerate(lanes) if "next_offset" in lane}
    return {partition: int(offset) for partition, offset in begun.items()}


def _unwritable(where: str, error: ResponseError) -> Finding:
    return Finding(
        "redis",
        ok=False,
        detail=f"Redis at {where} cannot be written to ({error})",
        action="set SHOAL_REDIS to the primary, as a user with the right to write",
    )


async def _durability(redis: Redis, settings: Settings) -> Finding:
    wanted = STRICT if settings.durability == "strict" else RELAXED
    described = ", ".join(f"{name} {value}" for name, value in wanted.items())
    try:
        # Two requests, because before version 7 CONFIG GET takes one pattern.
        found = _text(await redis.config_get("append*"))
        found |= _text(await redis.config_get("maxmemory-policy"))
    except ResponseError:
        return Finding(
            "durability",
            ok=True,
            detail="not checked, because Redis forbids CONFIG GET",
            action=f"see to it that it runs with {described}",
        )
    wrong = {name: value for name, value in wanted.items() if found.get(name) != value}
    if not wrong:
        return Finding("durability", ok=True, detail=f"{settings.durability}: {described}")
    faults = ", ".join(f"{name} {found.get(name, 'unknown')}" for name in wrong)
    needs = ", ".join(f"{name} {value}" for name, value in wrong.items())
    alternative = "" if wrong.keys() & RELAXED.keys() else ", or set SHOAL_DURABILITY=relaxed"
    return Finding(
        "durability",
        ok=False,
        detail=f"Redis runs with {faults}, durability {settings.durability} needs {needs}",
        action=f"set that in its configuration{alternative}",
    )


def _deployment(settings: Settings, info: ClusterInfo) -> dict[str, str]:
    return {
        "cluster_id": info.cluster_id,
        "partitions": str(settings.partitions),
        "partitioner": settings.partitioner,
    }


def _compare_deployment(
    stored: Mapping[str, str], settings: Settings, info: ClusterInfo
) -> Finding:
    if not stored:
        return Finding("state", ok=True, detail=f"none yet in namespace {settings.namespace}")
    ours = _deployment(settings, info)
    others = {name: stored[name] for name in ours if stored.get(name, ours[name]) != ours[name]}
    if not others:
        return Finding("state", ok=True, detail="belongs to this Kafka and its partitions")
    if other := others.get("cluster_id"):
        detail = f"Redis holds the state of another Kafka cluster ({other}, not {info.cluster_id})"
        back = "set SHOAL_KAFKA to that cluster"
    else:
        detail = "Redis holds the state of " + " and ".join(
            f"{name} {value}, settings say {ours[name]}" for name, value in others.items()
        )
        back = "set " + " and ".join(f"SHOAL_{k.upper()}={value}" for k, value in others.items())
    return Finding("state", ok=False, detail=detail, action=f"{back}, {_anew(settings)}")


def _compare_lanes(
    next_offsets: Mapping[int, int], settings: Settings, info: ClusterInfo
) -> Finding:
    topic = Topics(settings.namespace).events
    known = {n: at for n, at in next_offsets.items() if n in info.end_offsets}
    for partition, at in known.items():
        end = info.end_offsets[partition]
        if at > end:
            return Finding(
                "lanes",
                ok=False,
                detail=(
                    f"Redis has counted partition {partition} of {topic} up to offset {at}, but it "
                    f"ends at {end}, so the topic was made again or has lost records"
                ),
                action=_anew(settings),
            )
    gone = sum(max(info.start_offsets[n] - at, 0) for n, at in known.items())
    if gone:
        return Finding(
            "lanes",
            ok=True,
            detail=f"{gone} events of {topic} were deleted before a worker had read them",
            action="raise its retention.ms, or see that a worker always runs",
        )
    return Finding("lanes", ok=True, detail=f"{len(known)} of {settings.partitions} have begun")


def _anew(settings: Settings) -> str:
    return (
        "or begin anew: under another SHOAL_NAMESPACE, or after deleting the keys "
        f"{settings.namespace}:* in Redis"
    )


def _text(found: Mapping[Any, Any]) -> dict[str, str]:
    return {_decode(name): _decode(value) for name, value in found.items()}


def _decode(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _insist(findings: list[Finding]) -> None:
    for finding in findings:
        if not finding.ok:
            raise PreflightError(finding)
        if finding.action:
            log.warning("%s: %s: %s", finding.name, finding.detail, finding.action)
