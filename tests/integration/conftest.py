"""Servers of Redis' protocol: both families, and a cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from stream.embedded import EmbeddedRedis
from stream.topics import create_topics
from tests.integration.counting_shop import COUNTS
from tests.redis_cluster import ValkeyCluster


@pytest.fixture(scope="session")
def redis_itself(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """Redis, not Valkey."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    directory = tmp_path_factory.mktemp("redis-itself")
    with EmbeddedRedis(directory, program=Path(program)) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """A cluster that nobody harms; for harm a test starts one of its own."""
    with ValkeyCluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
async def counting(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a shop whose orders, views and money are counted, with its topics."""
    path = tmp_path / "segmentation.yaml"
    path.write_text(COUNTS, encoding="utf-8")
    chosen = settings.model_copy(update={"segmentation": path, "clock": "replay"})
    await create_topics(chosen)
    return chosen
