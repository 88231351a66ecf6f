"""Signs of life of real servers."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from config.redis_url import RedisUrl
from config.settings import Settings
from stream.connections import connect_redis, kafka_options
from stream.embedded import EmbeddedRedis, free_port
from stream.pulse import CALL_SECONDS, PATIENCE_SECONDS, KafkaSign, RedisSign, Sign
from tests.apache_kafka import KafkaKind
from tests.redis_cluster import ValkeyCluster

pytestmark = pytest.mark.slow


def redis_sign(settings: Settings) -> RedisSign:
    return RedisSign(connect_redis(settings, timeout_seconds=CALL_SECONDS))


async def ask_in_time(sign: Sign) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sign.ask()


async def answers(sign: Sign) -> bool:
    try:
        await ask_in_time(sign)
    except (RedisError, TimeoutError):
        return False
    return True


async def test_a_redis_that_is_frozen_or_dead_gives_no_sign_and_then_one_again(
    tmp_path: Path,
) -> None:
    with EmbeddedRedis(tmp_path) as server:
        sign = redis_sign(Settings(redis=RedisUrl(server.url)))
        await sign.ask()
        server.freeze()
        with pytest.raises(RedisError):
            await ask_in_time(sign)
        server.thaw()
        await sign.ask()
        server.kill()
        with pytest.raises(RedisError):
            await ask_in_time(sign)
        server.start()
        await sign.ask()
        await sign.close()


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_cluster_gives_no_sign_until_all_its_primaries_do(
    fault: str, tmp_path: Path
) -> None:
    with ValkeyCluster(tmp_path) as cluster:
        sign = redis_sign(Settings(redis=RedisUrl(cluster.url), redis_cluster=True))
        await sign.ask()
        primary = cluster.primary_of("shoal:lane:{0}")
        getattr(primary, fault)()
        assert not await answers(sign)
        await asyncio.to_thread(cluster.until_replaced, primary)
        async with asyncio.timeout(10):
            while not await answers(sign):
                pass
        await sign.close()


async def test_a_kafka_that_is_frozen_or_dead_gives_no_sign_and_then_one_again(
    kafka_kind: KafkaKind, tmp_path: Path
) -> None:
    with kafka_kind(tmp_path) as server:
        sign = KafkaSign(**kafka_options(Settings(kafka=server.address)))
        await sign.ask()
        server.freeze()
        with pytest.raises(TimeoutError):
            await ask_in_time(sign)
        server.thaw()
        await sign.ask()
        server.kill()
        with pytest.raises(KafkaError):
            await ask_in_time(sign)
        server.start()
        await sign.ask()
        await sign.close()


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_one_broker_of_several_that_goes_away_is_not_the_end_of_kafka(
    fault: str, kafka_kind: KafkaKind, tmp_path: Path
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with kafka_kind(tmp_path / "one") as one, kafka_kind(tmp_path / "two") as two:
        brokers = f"{nobody},{one.address},{two.address}"
        sign = KafkaSign(**kafka_options(Settings(kafka=brokers)))
        for server in (one, two):
            getattr(server, fault)()
            await ask_in_time(sign)
            server.thaw()
            server.start()
            await ask_in_time(sign)
        await sign.close()


async def test_asking_a_dead_kafka_again_and_again_logs_nothing_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign = KafkaSign(**kafka_options(Settings(kafka=f"127.0.0.1:{free_port()}")))
    for _ in range(3):
        with pytest.raises(KafkaError):
            await ask_in_time(sign)
    assert caplog.records == []
