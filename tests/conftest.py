"""Real servers for the tests that need them, started once; each test has its own namespace."""

import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from config.settings import Settings
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.store import connect

# A loaded machine is no fault of an example.
hypothesis_settings.register_profile("shoal", deadline=None)
hypothesis_settings.load_profile("shoal")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("SHOAL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def namespace() -> str:
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def settings(kafka: EmbeddedKafka, redis_server: EmbeddedRedis, namespace: str) -> Settings:
    return Settings(
        kafka=kafka.address,
        redis=redis_server.url,
        namespace=namespace,
        partitions=4,
        metrics_port=0,
        trainer_metrics_port=0,
    )


@pytest.fixture
async def redis(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    client = connect(redis_server.url)
    yield client
    await client.aclose()
