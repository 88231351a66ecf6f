"""The topics of a namespace: what they must look like, making them, and seeing what is there."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from config.settings import Settings
from models.errors import ShoalError
from stream.connections import kafka_options
from stream.names import Topics
from stream.reach import reach_kafka, timeout_ms

RETENTION_MS = 7 * 86_400_000
# Models are few and small, and say what became of a segment that somebody remembers.
MODELS_RETENTION_MS = 365 * 86_400_000
POLICY = "cleanup.policy"
SHOWN_SECONDS = 0.02


class TopicMismatchError(ShoalError):
    """A topic exists, but not as Shoal needs it. `found` and `expected` are counts or policies."""

    def __init__(
        self, topic: str, *, found: int | str, expected: int | str, problem: str, action: str
    ) -> None:
        super().__init__(f"{problem}: {action}")
        self.topic = topic
        self.found = found
        self.expected = expected
        self.problem = problem
        self.action = action


class TopicRefusedError(ShoalError):
    """Kafka does not create a topic, for a reason of its own."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(
            f"Kafka refuses to create topic {topic}: {reason} "
            "Correct the setting that it names (SHOAL_REPLICATION, SHOAL_PARTITIONS) or its rights"
        )
        self.topic = topic
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be; `config` are Kafka's own names."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CreatedTopic:
    """A topic that exists as planned; `created` is False where it did before."""

    name: str
    partitions: int
    created: bool


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """What the brokers tell of a namespace.

    `partitions` and `policies` are by topic, of those that exist; a policy is left out where it
    may not be read. Offsets are of the event topic, by partition: of the oldest record that is
    kept, and of the next one to come; empty while there is no such topic.
    """

    cluster_id: str
    partitions: Mapping[str, int]
    policies: Mapping[str, str]
    start_offsets: Mapping[int, int]
    end_offsets: Mapping[int, int]


def topic_plan(settings: Settings) -> tuple[TopicSpec, ...]:
    """Every topic of the namespace: events, rejected events, changes, population, models."""
    topics = Topics(settings.namespace)
    # Three replicas of which two must have a record: one broker may be lost, and is not missed.
    common = {"min.insync.replicas": "2"} if settings.replication > 2 else {}  # noqa: PLR2004
    log = common | {POLICY: "delete", "retention.ms": str(RETENTION_MS)}
    latest = common | {POLICY: "compact"}
    history = log | {"retention.ms": str(MODELS_RETENTION_MS)}
    return (
        TopicSpec(topics.events, settings.partitions, settings.replication, log),
        TopicSpec(topics.rejected, settings.partitions, settings.replication, log),
        TopicSpec(topics.changes, settings.partitions, settings.replication, log),
        TopicSpec(topics.population, 1, settings.replication, latest),
        TopicSpec(topics.models, 1, settings.replication, history),
    )


async def create_topics(settings: Settings) -> list[CreatedTopic]:
    """Make the topics that are missing, until Kafka shows them; compare the others with the plan.

    Raises
    ------
    UnreachableError
        No broker answers.
    TopicMismatchError
        A topic exists with another partition count or clean-up; nothing was created.
    TopicRefusedError
        Kafka does not create one.
    """
    plan = topic_plan(settings)
    async with reach_kafka(settings) as admin:
        existing = await _existing(admin, settings)
        missing = [spec for spec in plan if spec.name not in existing]
        created = await _create(admin, missing)
        if missing:
            await _await_shown(admin, settings)
        if len(created) < len(missing):
            await _existing(admin, settings)  # somebody else made some meanwhile: compare these
    return [CreatedTopic(spec.name, spec.partitions, spec.name in created) for spec in plan]


async def describe(settings: Settings) -> ClusterInfo:
    """What the brokers tell of this namespace; creates nothing.

    Raises
    ------
    UnreachableError
        No broker answers.
    """
    events = Topics(settings.namespace).events
    async with reach_kafka(settings) as admin:
        cluster = await admin.describe_cluster()
        counts = await _partitions(admin, settings)
        policies = await _policies(admin, list(counts))
        starts, ends = await _offsets(settings, events, counts.get(events, 0))
    return ClusterInfo(str(cluster["cluster_id"]), counts, policies, starts, ends)


def mismatch(
    spec: TopicSpec, found: int, policy: str | None, settings: Settings
) -> TopicMismatchError | None:
    """What is wrong with an existing topic of `found` partitions, None if nothing is."""
    if found != spec.partitions:
        topics = Topics(settings.namespace)
        is_fixed = spec.name in {topics.population, topics.models}
        wanted = "it must have 1" if is_fixed else f"settings say {spec.partitions}"
        return TopicMismatchError(
            spec.name,
            found=found,
            expected=spec.partitions,
            problem=f"topic {spec.name} has {found} partition{'s' * (found != 1)}, {wanted}",
            action=_other_count(spec, found, settings),
        )
    expected = spec.config[POLICY]
    if policy is not None and policy != expected:
        return TopicMismatchError(
            spec.name,
            found=policy,
            expected=expected,
            problem=f"topic {spec.name} has {POLICY}={policy}, Shoal needs {expected}",
            action=(
                f"run `kafka-configs.sh --bootstrap-server {settings.kafka} --alter --entity-type "
                f"topics --entity-name {spec.name} --add-config {POLICY}={expected}`"
            ),
        )
    return None


def _other_count(spec: TopicSpec, found: int, settings: Settings) -> str:
    ways = []
    topics = Topics(settings.namespace)
    if spec.name == topics.events:
        ways.append(
            f"set SHOAL_PARTITIONS={found}, and if events were counted under another number, run "
            "`shoal rebuild`"
        )
    if found < spec.partitions:
        ways.append(
            f"run `kafka-topics.sh --bootstrap-server {settings.kafka} --alter --topic {spec.name} "
            f"--partitions {spec.partitions}`"
        )
    return "; or ".join(ways) or "delete this topic and run `shoal topics create`"


async def _existing(admin: AIOKafkaAdminClient, settings: Settings) -> set[str]:
    counts = await _partitions(admin, settings)
    policies = await _policies(admin, list(counts))
    for spec in topic_plan(settings):
        if spec.name in counts and (
            fault := mismatch(spec, counts[spec.name], policies.get(spec.name), settings)
        ):
            raise fault
    return set(counts)


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[TopicSpec]) -> set[str]:
    """Create topics; those that did not spring up meanwhile."""
    created: set[str] = set()
    if not missing:
        return created
    answer = await admin.create_topics(
        [
            NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config))
            for spec in missing
        ]
    )
    for topic, code, reason in answer.topic_errors:
        error = for_code(code)
        if not code:
            created.add(topic)
        elif error is not TopicAlreadyExistsError:
            raise TopicRefusedError(topic, reason or error.__name__)
    return created


async def _await_shown(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    # The controller makes a topic; Kafka's brokers learn of it a moment later.
    planned = {spec.name for spec in topic_plan(settings)}
    async with asyncio.timeout(settings.start_timeout_seconds):
        while True:
            if planned <= (await _partitions(admin, settings)).keys():
                return
            await asyncio.sleep(SHOWN_SECONDS)


async def _partitions(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, int]:
    # Of all topics, never by name: a request that names a missing topic may create it.
    names = {spec.name for spec in topic_plan(settings)}
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if topic["topic"] in names
    }


async def _policies(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, str]:
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {POLICY: ""}) for name in topics]
    resources: list[dict[str, Any]] = [
        resource
        for answer in await admin.describe_configs(asked)
        for resource in answer.to_object()["resources"]
    ]
    return {
        resource["resource_name"]: entry["config_value"]
        for resource in resources
        for entry in resource["config_entries"]
        if not resource["error_code"] and entry["config_names"] == POLICY
    }


async def _offsets(
    settings: Settings, topic: str, partitions: int
) -> tuple[dict[int, int], dict[int, int]]:
    if not partitions:
        return {}, {}
    parts = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer = AIOKafkaConsumer(
        **kafka_options(settings),
        request_timeout_ms=timeout_ms(settings),
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign(parts)
        starts = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
    finally:
        await consumer.stop()
    return {p.partition: starts[p] for p in parts}, {p.partition: ends[p] for p in parts}
