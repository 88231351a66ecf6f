"""What must hold before a worker or a trainer starts; each finding names what to do about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from config.settings import Settings
from models.formats import FORMAT, FutureFormatError
from stream.catalogue import Catalogue
from stream.deployment import (
    REBUILDING,
    STORED_FORMAT,
    deployment,
    require_format,
    unfinished,
)
from stream.durability import check_durability
from stream.findings import Finding, PreflightError
from stream.groups import counted
from stream.names import Keys, Topics
from stream.reach import UnreachableError, reach_redis
from stream.sender import Sender
from stream.topics import ClusterInfo, describe, mismatch, topic_plan

__all__ = ["Finding", "PreflightError", "check", "reach_redis", "require", "require_topics"]

log = logging.getLogger(__name__)


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
            for name, value in deployment(settings, info.cluster_id).items():
                pipe.hsetnx(key, name, value)
            pipe.hgetall(key)
            stored = _text((await pipe.execute())[-1])
        _insist([_compare_deployment(stored, settings, info)])
        if int(stored.get(STORED_FORMAT, 0)) < FORMAT:
            # From here on no older version claims a lane, or starts.
            await redis.hset(key, STORED_FORMAT, FORMAT)


async def require_servers(settings: Settings) -> None:
    """Return if Kafka, its topics and Redis are as they must be, whatever state is there.

    Raises
    ------
    PreflightError
        They are not.
    """
    kafka, _ = await _look_at_kafka(settings)
    redis, _ = await _look_at_redis(settings)
    _insist(kafka + redis)


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
        if state.deployment or state.next_offsets:
            findings.append(_compare_deployment(state.deployment, settings, info))
        else:
            findings.append(await _look_for_lost_state(settings, info))
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
    keys, where = Keys(settings.namespace), str(settings.redis)
    try:
        async with reach_redis(settings) as redis:
            try:
                # They change nothing, but are refused wherever nothing may be changed or run.
                await redis.hdel(keys.deployment, "probe")
                await Sender(redis).run("return 0", [keys.deployment], [])
            except ResponseError as error:
                return [_unwritable(where, error)], None
            durability = await check_durability(redis, settings)
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


async def _look_for_lost_state(settings: Settings, info: ClusterInfo) -> Finding:
    try:
        events = await counted(settings, info.end_offsets)
    except UnreachableError as error:
        return _unreached(error)
    if not events:
        return Finding("state", ok=True, detail=f"none yet in namespace {settings.namespace}")
    return Finding(
        "state",
        ok=False,
        detail=(
            f"Redis holds no state of namespace {settings.namespace}, but Kafka says that "
            f"{events} events were counted"
        ),
        action=_or_rebuild("restore Redis"),
    )


def _compare_deployment(
    stored: Mapping[str, str], settings: Settings, info: ClusterInfo
) -> Finding:
    try:
        require_format(stored)
    except FutureFormatError as error:
        return Finding("state", ok=False, detail=error.problem, action=error.action)
    if REBUILDING in stored:
        problem, action = unfinished(settings.namespace)
        return Finding("state", ok=False, detail=problem, action=action)
    ours = deployment(settings, info.cluster_id)
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
        # The topic has as many partitions as the settings say: that cannot be taken back.
        back = "" if "partitions" in others else f"set SHOAL_PARTITIONER={others['partitioner']}"
    return Finding("state", ok=False, detail=detail, action=_or_rebuild(back))


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
                action=_or_rebuild(""),
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


def _or_rebuild(instead: str) -> str:
    return f"{instead}{', or ' if instead else ''}run `shoal rebuild`"


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
