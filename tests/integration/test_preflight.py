"""Nothing starts on servers that would lose, mix up or forget; one line says what is wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from redis.asyncio import Redis

from config.redis_url import RedisUrl
from config.settings import Settings
from models.formats import FORMAT
from stream.catalogue import Catalogue
from stream.connections import connect_node, kafka_options
from stream.embedded import EmbeddedRedis, free_port
from stream.names import Keys, Topics
from stream.preflight import Finding, PreflightError, check, require, require_topics
from stream.reach import reach_kafka
from stream.redis_store import RedisStore
from stream.store import Step
from stream.topics import create_topics

SECRET = "hunter2"  # noqa: S105 - of a server that lives for one test


@pytest.fixture
async def ready(settings: Settings) -> Settings:
    await create_topics(settings)
    return settings


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Redis whose configuration a test may spoil."""
    with EmbeddedRedis(tmp_path) as server:
        client = connect_node(Settings(redis=server.url))
        yield client
        await client.aclose()


def with_redis(settings: Settings, client: Redis, user: str = "") -> Settings:
    port = client.connection_pool.connection_kwargs["port"]
    return settings.model_copy(update={"redis": RedisUrl(f"redis://{user}127.0.0.1:{port}/0")})


def one(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


async def refusal(settings: Settings) -> str:
    """The line that a process shows instead of starting."""
    findings = await check(settings)
    with pytest.raises(PreflightError) as caught:
        await require(settings)
    bad = next(finding for finding in findings if not finding.ok)
    assert caught.value.finding == bad
    assert str(caught.value) == f"{bad.detail}: {bad.action}"
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def begin_lane(redis: Redis, namespace: str, partition: int, next_offset: int) -> None:
    store = RedisStore(redis, Keys(namespace))
    state = await store.claim(partition, owner="w")
    await store.step(
        Step(
            partition=partition,
            epoch=state.epoch,
            owner="w",
            seq=state.seq,
            next_offset=next_offset,
            clock="",
            pending=b"",
            reached={},
            profiles=[],
            sizes={},
            ttl_ms=1000,
        )
    )


async def produce(settings: Settings, partition: int, count: int) -> None:
    producer = AIOKafkaProducer(**kafka_options(settings))
    await producer.start()
    topic = Topics(settings.namespace).events
    for _ in range(count):
        await producer.send_and_wait(topic, b"event", partition=partition)
    await producer.stop()


async def commit(settings: Settings, partition: int, offset: int) -> None:
    topics = Topics(settings.namespace)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=topics.worker_group, enable_auto_commit=False
    )
    await consumer.start()
    part = TopicPartition(topics.events, partition)
    consumer.assign([part])
    await consumer.commit({part: offset})
    await consumer.stop()


async def test_with_everything_in_place_all_findings_are_good(ready: Settings) -> None:
    findings = await check(ready)
    names = ["kafka", "topics", "redis", "durability", "state", "lanes"]
    assert [finding.name for finding in findings] == names
    assert all(finding.ok and finding.detail and not finding.action for finding in findings)


async def test_the_first_start_is_remembered_and_the_second_finds_it(
    ready: Settings, redis: Redis
) -> None:
    await require(ready)
    stored = await redis.hgetall(Keys(ready.namespace).deployment)
    assert stored.keys() == {b"cluster_id", b"partitions", b"partitioner", b"format"}
    assert (stored[b"partitions"], stored[b"partitioner"]) == (b"4", b"murmur2")
    await require(ready)
    assert "belongs to this Kafka" in one(await check(ready), "state").detail
    assert await redis.hgetall(Keys(ready.namespace).deployment) == stored


async def test_checking_writes_nothing(ready: Settings, redis: Redis) -> None:
    await check(ready)
    assert [key async for key in redis.scan_iter(f"{ready.namespace}:*")] == []


async def test_what_is_refused_is_not_remembered(settings: Settings, redis: Redis) -> None:
    await refusal(settings)
    assert await redis.exists(Keys(settings.namespace).deployment) == 0


async def test_a_dead_broker_is_named(ready: Settings) -> None:
    dead = f"127.0.0.1:{free_port()}"
    away = ready.model_copy(update={"kafka": dead, "start_timeout_seconds": 0.3})
    expected = f"no Kafka broker answers at {dead}: start one, or set SHOAL_KAFKA"
    assert await refusal(away) == expected
    with pytest.raises(PreflightError, match=expected):
        await require_topics(away)
    assert [f.name for f in await check(away)] == ["kafka", "redis", "durability"]


async def test_a_dead_redis_is_named(ready: Settings) -> None:
    port = free_port()
    away = ready.model_copy(
        update={
            "redis": RedisUrl(f"redis://u:{SECRET}@127.0.0.1:{port}/3"),
            "start_timeout_seconds": 0.3,
        }
    )
    assert await refusal(away) == (
        f"Redis does not answer at redis://127.0.0.1:{port}/3: start it, or set SHOAL_REDIS"
    )
    assert [f.name for f in await check(away)] == ["kafka", "topics", "redis"]


async def test_missing_topics_name_the_command_that_makes_them(settings: Settings) -> None:
    line = await refusal(settings)
    assert f"has no topic {settings.namespace}.events, " in line
    assert "run `shoal topics create`" in line
    with pytest.raises(PreflightError, match="run `shoal topics create`"):
        await require_topics(settings)
    await create_topics(settings)
    await require_topics(settings)
    await require(settings)


async def test_another_partition_count_is_refused(ready: Settings) -> None:
    assert await refusal(ready.model_copy(update={"partitions": 8})) == (
        f"topic {ready.namespace}.events has 4 partitions, settings say 8: "
        "set SHOAL_PARTITIONS=4, and if events were counted under another number, "
        f"run `shoal rebuild`; or run `kafka-topics.sh --bootstrap-server {ready.kafka} --alter "
        f"--topic {ready.namespace}.events --partitions 8`"
    )


async def test_an_fsync_each_second_is_refused_unless_durability_is_relaxed(
    ready: Settings, own: Redis
) -> None:
    await own.config_set("appendfsync", "everysec")
    strict = with_redis(ready, own)
    assert await refusal(strict) == (
        "Redis runs with appendfsync everysec, durability strict needs appendfsync always: "
        "set that in its configuration, or set SHOAL_DURABILITY=relaxed"
    )
    await require(strict.model_copy(update={"durability": "relaxed"}))


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
@pytest.mark.parametrize(
    ("name", "value"), [("maxmemory-policy", "volatile-lru"), ("appendonly", "no")]
)
async def test_a_redis_that_evicts_or_keeps_nothing_is_always_refused(
    ready: Settings, own: Redis, durability: str, name: str, value: str
) -> None:
    await own.config_set(name, value)
    line = await refusal(with_redis(ready, own).model_copy(update={"durability": durability}))
    assert f"Redis runs with {name} {value}, durability {durability} needs {name}" in line
    assert "SHOAL_DURABILITY" not in line


async def test_every_wrong_option_is_named_at_once(ready: Settings, own: Redis) -> None:
    await own.config_set("appendfsync", "no")
    await own.config_set("maxmemory-policy", "allkeys-lfu")
    line = await refusal(with_redis(ready, own))
    assert "runs with maxmemory-policy allkeys-lfu, appendfsync no," in line


async def test_a_redis_that_hides_its_configuration_is_a_warning(
    ready: Settings, own: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = ["+@all", "-config"]
    await own.acl_setuser(
        "shop", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=allowed
    )
    managed = with_redis(ready, own, f"shop:{SECRET}@")
    found = one(await check(managed), "durability")
    assert found.ok
    assert "appendfsync always" in found.action
    with caplog.at_level(logging.WARNING, "stream.preflight"):
        await require(managed)
    assert "not checked, because Redis forbids CONFIG GET" in caplog.text
    assert SECRET not in caplog.text


async def test_a_read_only_redis_is_refused(ready: Settings, own: Redis) -> None:
    await own.replicaof("127.0.0.1", str(free_port()))
    line = await refusal(with_redis(ready, own))
    assert "cannot be written to" in line
    assert "set SHOAL_REDIS to the primary" in line


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("", "asks for a password: set SHOAL_REDIS_PASSWORD"),
        (":wrong-hunter2@", "refuses the user or the password: correct SHOAL_REDIS_USERNAME"),
        ("nobody:wrong-hunter2@", "refuses the user or the password: correct SHOAL_REDIS_USERNAME"),
    ],
)
async def test_a_wrong_password_is_refused_at_once_and_not_shown(
    ready: Settings, own: Redis, user: str, said: str
) -> None:
    await own.config_set("requirepass", SECRET)
    async with asyncio.timeout(5):
        line = await refusal(with_redis(ready, own, user))
    assert said in line
    assert SECRET not in line


async def test_the_right_password_is_not_shown_either(ready: Settings, own: Redis) -> None:
    await own.config_set("requirepass", SECRET)
    protected = with_redis(ready, own, f":{SECRET}@")
    await require(protected)
    assert SECRET not in str(await check(protected))


async def test_the_state_of_another_cluster_is_refused(ready: Settings, redis: Redis) -> None:
    await require(ready)
    await redis.hset(Keys(ready.namespace).deployment, "cluster_id", "elsewhere")
    line = await refusal(ready)
    assert "Redis holds the state of another Kafka cluster (elsewhere, not " in line
    assert line.endswith(": set SHOAL_KAFKA to that cluster, or run `shoal rebuild`")


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        ("partitions", "8", "partitions 8, settings say 4: run `shoal rebuild`"),
        (
            "partitioner",
            "crc32",
            (
                "partitioner crc32, settings say murmur2: "
                "set SHOAL_PARTITIONER=crc32, or run `shoal rebuild`"
            ),
        ),
    ],
)
async def test_state_that_was_partitioned_otherwise_is_refused(
    ready: Settings, redis: Redis, name: str, value: str, way_out: str
) -> None:
    await require(ready)
    await redis.hset(Keys(ready.namespace).deployment, name, value)
    assert await refusal(ready) == f"Redis holds the state of {way_out}"


async def test_the_state_of_a_newer_version_is_refused(ready: Settings, redis: Redis) -> None:
    await require(ready)
    await redis.hset(Keys(ready.namespace).deployment, "format", FORMAT + 1)
    assert await refusal(ready) == (
        f"the state in Redis has format {FORMAT + 1}, this Shoal reads {FORMAT}: "
        "run the version that wrote it, or a newer one"
    )


async def test_a_newer_version_shuts_older_ones_out(
    ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await require(ready)
    for module in ("stream.preflight", "stream.deployment"):
        monkeypatch.setattr(f"{module}.FORMAT", FORMAT + 1)
    await require(ready)
    monkeypatch.undo()
    assert f"has format {FORMAT + 1}" in await refusal(ready)


async def test_beginning_anew_under_another_namespace_works(ready: Settings, redis: Redis) -> None:
    await redis.hset(Keys(ready.namespace).deployment, "cluster_id", "elsewhere")
    fresh = ready.model_copy(update={"namespace": f"{ready.namespace}-b"})
    await create_topics(fresh)
    await require(fresh)


async def test_an_empty_redis_is_refused_once_events_were_counted(
    ready: Settings, redis: Redis
) -> None:
    await produce(ready, partition=2, count=3)
    await require(ready)
    await commit(ready, 2, 3)
    await require(ready)
    await redis.delete(*[key async for key in redis.scan_iter(f"{ready.namespace}:*")])
    assert await refusal(ready) == (
        f"Redis holds no state of namespace {ready.namespace}, but Kafka says that 3 events were "
        "counted: restore Redis, or run `shoal rebuild`"
    )


async def test_a_rebuild_that_has_not_ended_is_refused(ready: Settings, redis: Redis) -> None:
    await redis.hset(Keys(ready.namespace).deployment, "rebuilding", "somebody")
    assert await refusal(ready) == (
        f"the state of namespace {ready.namespace} is being rebuilt: finish `shoal rebuild`"
    )


async def test_of_two_that_start_at_once_with_other_settings_one_is_refused(
    ready: Settings,
) -> None:
    other = ready.model_copy(update={"partitioner": "crc32"})
    results = await asyncio.gather(require(ready), require(other), return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], PreflightError)
    assert refused[0].finding.name == "state"


async def test_a_lane_beyond_the_end_of_the_log_is_refused(ready: Settings, redis: Redis) -> None:
    await produce(ready, partition=2, count=3)
    await begin_lane(redis, ready.namespace, 2, 4)
    line = await refusal(ready)
    assert (
        f"Redis has counted partition 2 of {ready.namespace}.events up to offset 4, "
        "but it ends at 3" in line
    )
    assert line.endswith(": run `shoal rebuild`")


async def test_a_lane_at_the_end_of_the_log_is_good(ready: Settings, redis: Redis) -> None:
    await produce(ready, partition=2, count=3)
    await begin_lane(redis, ready.namespace, 2, 3)
    await require(ready)
    assert one(await check(ready), "lanes").detail == "1 of 4 have begun"


async def test_a_lane_that_moves_on_while_it_is_looked_at_is_good(
    ready: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Catalogue.lanes

    async def then_more_arrives(self: Catalogue, partitions: range) -> list[dict[str, str]]:
        await produce(ready, partition=0, count=1)
        await begin_lane(redis, ready.namespace, 0, 1)
        return await seen(self, partitions)

    monkeypatch.setattr(Catalogue, "lanes", then_more_arrives)
    assert one(await check(ready), "lanes").ok


async def test_events_deleted_before_they_were_read_are_a_warning(
    ready: Settings, redis: Redis
) -> None:
    await produce(ready, partition=2, count=5)
    await begin_lane(redis, ready.namespace, 2, 1)
    async with reach_kafka(ready) as admin:
        part = TopicPartition(Topics(ready.namespace).events, 2)
        await admin.delete_records({part: RecordsToDelete(before_offset=4)})
    await require(ready)
    found = one(await check(ready), "lanes")
    assert found.ok
    assert "3 events of" in found.detail
    assert "retention.ms" in found.action
