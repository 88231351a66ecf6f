"""Topics are made as planned, compared when they exist, and described without being made."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from config.settings import Settings
from stream.connections import kafka_options
from stream.embedded import free_port
from stream.reach import UnreachableError, reach_kafka
from stream.topics import (
    CreatedTopic,
    TopicMismatchError,
    TopicRefusedError,
    _create,
    create_topics,
    describe,
    topic_plan,
)
from tests.apache_kafka import KafkaKind


async def make(settings: Settings, name: str, partitions: int, **config: str) -> None:
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    await admin.start()
    configs = {key.replace("_", "."): value for key, value in config.items()}
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
    async with asyncio.timeout(10):
        while True:
            if name in await admin.list_topics():
                break
            await asyncio.sleep(0.02)
    await admin.close()


def test_every_topic_is_planned_with_its_partitions_and_its_clean_up() -> None:
    plan = topic_plan(Settings(namespace="shop", partitions=8, replication=2))
    assert {spec.name: (spec.partitions, spec.config["cleanup.policy"]) for spec in plan} == {
        "shop.events": (8, "delete"),
        "shop.events.rejected": (8, "delete"),
        "shop.segment-changes": (8, "delete"),
        "shop.population": (1, "compact"),
        "shop.models": (1, "delete"),
    }
    kept = {spec.config["retention.ms"] for spec in plan if spec.partitions > 1}
    assert kept == {str(7 * 24 * 3600 * 1000)}
    assert plan[-1].config["retention.ms"] == str(365 * 24 * 3600 * 1000)
    assert {spec.replication for spec in plan} == {2}


@pytest.mark.parametrize(("replication", "wanted"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_three_replicas_ask_for_two_in_sync(replication: int, wanted: str | None) -> None:
    plan = topic_plan(Settings(replication=replication))
    assert {spec.config.get("min.insync.replicas") for spec in plan} == {wanted}


async def test_missing_topics_are_created_as_planned(settings: Settings) -> None:
    plan = topic_plan(settings)
    assert await create_topics(settings) == [
        CreatedTopic(spec.name, spec.partitions, created=True) for spec in plan
    ]
    async with reach_kafka(settings) as admin:
        asked = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in plan]
        answers = [a.to_object()["resources"] for a in await admin.describe_configs(asked)]
    for resource in [resource for resources in answers for resource in resources]:
        found = {e["config_names"]: e["config_value"] for e in resource["config_entries"]}
        spec = next(spec for spec in plan if spec.name == resource["resource_name"])
        assert found.items() >= dict(spec.config).items()
        assert found["max.message.bytes"] == "1048588"


async def test_creating_topics_again_changes_nothing(settings: Settings) -> None:
    await create_topics(settings)
    assert not any(topic.created for topic in await create_topics(settings))


async def test_only_what_is_missing_is_created(settings: Settings) -> None:
    await make(settings, f"{settings.namespace}.population", 1, cleanup_policy="compact")
    created = {
        t.name.removeprefix(settings.namespace): t.created for t in await create_topics(settings)
    }
    assert created == {
        ".events": True,
        ".events.rejected": True,
        ".segment-changes": True,
        ".population": False,
        ".models": True,
    }


async def test_two_who_create_at_once_both_succeed_and_each_topic_is_created_once(
    settings: Settings,
) -> None:
    both = await asyncio.gather(*(create_topics(settings) for _ in range(2)))
    made = [topic.name for topics in both for topic in topics if topic.created]
    assert sorted(made) == sorted(spec.name for spec in topic_plan(settings))


async def test_a_topic_that_sprang_up_meanwhile_does_not_count_as_created(
    settings: Settings,
) -> None:
    plan = topic_plan(settings)
    await make(settings, plan[0].name, 4)
    async with reach_kafka(settings) as admin:
        assert await _create(admin, plan) == {spec.name for spec in plan[1:]}


async def test_an_event_topic_with_other_partitions_is_refused_and_nothing_is_created(
    settings: Settings,
) -> None:
    events = f"{settings.namespace}.events"
    await make(settings, events, 1)
    with pytest.raises(TopicMismatchError) as caught:
        await create_topics(settings)
    error = caught.value
    assert str(error) == (
        f"topic {events} has 1 partition, settings say 4: "
        "set SHOAL_PARTITIONS=1, and if events were counted under another number, "
        f"run `shoal rebuild`; or run `kafka-topics.sh --bootstrap-server {settings.kafka} --alter "
        f"--topic {events} --partitions 4`"
    )
    assert (error.topic, error.found, error.expected) == (events, 1, 4)
    assert set((await describe(settings)).partitions) == {events}


@pytest.mark.parametrize(("name", "policy"), [("population", "compact"), ("models", "delete")])
async def test_a_topic_of_one_partition_must_have_one(
    settings: Settings, name: str, policy: str
) -> None:
    topic = f"{settings.namespace}.{name}"
    await make(settings, topic, 3, cleanup_policy=policy)
    message = f"topic {topic} has 3 partitions, it must have 1: delete this topic and run"
    with pytest.raises(TopicMismatchError, match=message):
        await create_topics(settings)


async def test_a_population_topic_that_forgets_is_refused(settings: Settings) -> None:
    population = f"{settings.namespace}.population"
    await make(settings, population, 1)
    message = f"{population} has cleanup.policy=delete, Shoal needs compact: run `kafka-configs.sh"
    with pytest.raises(TopicMismatchError, match=message) as caught:
        await create_topics(settings)
    assert (caught.value.found, caught.value.expected) == ("delete", "compact")


async def test_more_replicas_than_brokers_are_refused_in_kafkas_words(settings: Settings) -> None:
    three = settings.model_copy(update={"replication": 3})
    with pytest.raises(TopicRefusedError, match=r"only 1 broker.*SHOAL_REPLICATION") as caught:
        await create_topics(three)
    assert caught.value.topic.startswith(settings.namespace)


async def test_describing_what_does_not_exist_creates_nothing(settings: Settings) -> None:
    for _ in range(2):
        found = await describe(settings)
        assert found.cluster_id
        assert (found.partitions, found.policies, found.end_offsets) == ({}, {}, {})


async def test_offsets_are_those_of_the_event_topic(settings: Settings) -> None:
    await create_topics(settings)
    producer = AIOKafkaProducer(**kafka_options(settings))
    await producer.start()
    for _ in range(3):
        await producer.send_and_wait(f"{settings.namespace}.events", b"event", partition=2)
    await producer.send_and_wait(f"{settings.namespace}.population", b"x", key=b"k", partition=0)
    await producer.stop()
    found = await describe(settings)
    assert found.end_offsets == {0: 0, 1: 0, 2: 3, 3: 0}
    assert found.start_offsets == dict.fromkeys(range(4), 0)
    assert found.partitions == {spec.name: spec.partitions for spec in topic_plan(settings)}


async def test_a_dead_port_is_named_with_what_to_do(settings: Settings) -> None:
    dead = f"127.0.0.1:{free_port()}"
    away = settings.model_copy(update={"kafka": dead, "start_timeout_seconds": 0.3})
    message = f"^no Kafka broker answers at {dead}: start one, or set SHOAL_KAFKA$"
    for ask in (describe, create_topics):
        with pytest.raises(UnreachableError, match=message):
            await ask(away)


async def test_a_host_that_does_not_exist_is_no_broker(settings: Settings) -> None:
    away = settings.model_copy(
        update={"kafka": "nowhere.invalid:9092", "start_timeout_seconds": 0.3}
    )
    with pytest.raises(UnreachableError, match=r"no Kafka broker answers at nowhere\.invalid:9092"):
        await describe(away)


async def test_one_living_broker_of_several_is_enough(settings: Settings) -> None:
    some = settings.model_copy(update={"kafka": f"127.0.0.1:{free_port()},{settings.kafka}"})
    assert (await describe(some)).partitions == {}


async def test_a_port_where_nobody_speaks_kafka_is_given_up_in_time(settings: Settings) -> None:
    async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    silent: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    other = settings.model_copy(update={"kafka": address, "start_timeout_seconds": 0.3})
    async with asyncio.timeout(5):
        with pytest.raises(UnreachableError, match="no Kafka broker answers"):
            await describe(other)
    assert silent
    for writer in silent:
        writer.close()
    server.close()


async def test_a_broker_that_is_still_starting_is_waited_for(
    settings: Settings, kafka_kind: KafkaKind, tmp_path: Path
) -> None:
    server = kafka_kind(tmp_path, port=free_port())
    later = settings.model_copy(update={"kafka": server.address, "start_timeout_seconds": 60.0})
    describing = asyncio.create_task(describe(later))
    try:
        await asyncio.to_thread(server.start)
        assert (await describing).cluster_id
    finally:
        server.stop()


async def test_a_broker_that_goes_away_while_it_is_asked_is_named(
    settings: Settings, kafka_kind: KafkaKind, tmp_path: Path
) -> None:
    with kafka_kind(tmp_path) as server:
        dying = settings.model_copy(update={"kafka": server.address, "start_timeout_seconds": 1.0})

        async def ask() -> None:
            async with reach_kafka(dying) as admin:
                server.kill()
                await admin.describe_cluster()

        with pytest.raises(UnreachableError, match="answers, but does not do what it is asked"):
            await ask()
