"""Real servers for the tests that need them, started once; each test has its own namespace."""

import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from config.settings import Settings
from stream.connections import connect_node
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.server_process import EmbeddedError, EmbeddedServer
from tests.apache_kafka import ApacheKafka, KafkaKind, java_with_kafka

# A loaded machine is no fault of an example. CI tries the same examples every time, as Hypothesis
# does there by default: what others have changed must not fail by luck. Any other run looks anew.
hypothesis_settings.register_profile("shoal", deadline=None, derandomize="CI" in os.environ)
hypothesis_settings.load_profile("shoal")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=["embedded", "apache"],
        default="embedded",
        help="the broker to test with; apache needs Java 17 and Maven",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--kafka") == "apache":
        try:
            java_with_kafka()
        except EmbeddedError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--kafka") != "apache":
        for item in items:
            if item.get_closest_marker("apache"):
                item.add_marker(pytest.mark.skip(reason="about Apache Kafka: make test-kafka"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("SHOAL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def kafka_kind(pytestconfig: pytest.Config) -> KafkaKind:
    """The broker that --kafka names, for tests that start one of their own."""
    return ApacheKafka if pytestconfig.getoption("--kafka") == "apache" else EmbeddedKafka


@pytest.fixture(scope="session")
def kafka(
    kafka_kind: KafkaKind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    with kafka_kind(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def namespace() -> str:
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def settings(kafka: EmbeddedServer, redis_server: EmbeddedRedis, namespace: str) -> Settings:
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
    client = connect_node(Settings(redis=redis_server.url))
    yield client
    await client.aclose()
