"""Servers of Redis' protocol: both families, and a cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.embedded import EmbeddedRedis
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
