"""All of Shoal on servers that demand TLS, passwords and rights; what it prints shows no secret."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from stream.embedded import free_port
from stream.feeding import feed_source
from stream.observer import Observer
from tests.integration.counting_shop import COUNTS, Shop, counted, running, until
from tests.pages import quoted, rows_of
from tests.secure_servers import (
    NO_REDIS_SERVER,
    PASSWORD,
    REDIS_SERVER,
    SECURITY,
    Authority,
    SecureKafka,
    SecureRedis,
    listed_rights,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.apache,
    pytest.mark.skipif(REDIS_SERVER is None, reason=NO_REDIS_SERVER),
]

EVENTS, CUSTOMERS = 3_000, 120


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def secure_kafka(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("kafka"), authority) as server:
        yield server


@pytest.fixture
def secure_redis(authority: Authority, namespace: str, tmp_path: Path) -> Iterator[SecureRedis]:
    rules = listed_rights(namespace)
    with SecureRedis(tmp_path / "redis", authority, rules=rules) as server:
        yield server


@pytest.fixture
async def secured(
    request: pytest.FixtureRequest,
    secure_kafka: SecureKafka,
    secure_redis: SecureRedis,
    namespace: str,
    tmp_path: Path,
) -> Settings:
    """Settings of a user who may do what the page says, and no more."""
    for resource, (prefix, operations) in rows_of(SECURITY).items():
        start = quoted(prefix)[0].replace("shoal", namespace)
        for operation in quoted(operations):
            await secure_kafka.allow(resource, start, operation)
    path = tmp_path / "segmentation.yaml"
    path.write_text(COUNTS, encoding="utf-8")
    return Settings(
        kafka=secure_kafka.address,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism=getattr(request, "param", "PLAIN"),
        kafka_username="shoal",
        kafka_password=PASSWORD,
        kafka_ca_file=secure_kafka.ca,
        redis=secure_redis.url,
        redis_username="shoal",
        redis_password=PASSWORD,
        redis_ca_file=secure_kafka.ca,
        namespace=namespace,
        partitions=4,
        clock="replay",
        segmentation=path,
        log_level="debug",
        metrics_port=0,
        trainer_metrics_port=0,
    )


Outcome = subprocess.CompletedProcess[str]


async def shoal(settings: Settings, *arguments: str, module: str = "stream.cli") -> Outcome:
    """What the command prints; no secret is in it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    result = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", module, *arguments],
        env=plain | settings.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "hunter2" not in result.stdout + result.stderr
    return result


@pytest.mark.parametrize("secured", ["SCRAM-SHA-512", "PLAIN"], indirect=True)
async def test_everything_works_with_the_rights_that_the_page_lists(
    secured: Settings, secure_redis: SecureRedis, tmp_path: Path
) -> None:
    shop = Shop(EVENTS, customers=CUSTOMERS)
    created = await shoal(secured, "topics", "create")
    assert created.returncode == 0, created.stderr
    logs = tmp_path / "logs"
    logs.mkdir()
    async with running(secured, logs) as processes, Observer(secured) as observer:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        await processes.until_ready()
        await feed_source(shop, secured)

        async def is_done() -> bool:
            return await observer.handled() == EVENTS and await observer.is_settled()

        await until(is_done, processes)
        assert await counted(secured) == shop.truth()
        assert len(await observer.changes()) >= CUSTOMERS
        assert await processes.stop() == {"worker": 0, "trainer": 0}
    for words in (
        ["check"],
        ["segments"],
        ["customer", "c1"],
        ["tail", "--from-start", "--limit", "1"],
        ["rebuild", "--yes"],
        ["--help"],
        ["worker", "--help"],
    ):
        result = await shoal(secured, *words)
        assert result.returncode == 0, result.stderr
    told = "".join(path.read_text(encoding="utf-8") for path in logs.iterdir())
    assert "DEBUG" in told
    assert "hunter2" not in told
    denied: Any = secure_redis.admin().acl_log()
    # What redis-py calls itself, for CLIENT LIST: refused by a newer Redis, and no matter.
    assert {entry["object"] for entry in denied} <= {"client|setinfo"}


@pytest.mark.parametrize("module", ["stream.cli", "faust"])
@pytest.mark.parametrize("server", ["kafka", "redis"])
async def test_a_worker_without_the_right_password_ends_with_one_line(
    secured: Settings, module: str, server: str
) -> None:
    wrong = Settings(
        **vars(secured) | {f"{server}_password": "hunter2", "start_timeout_seconds": 5}
    )
    await shoal(secured, "topics", "create")
    words = ["worker"] if module == "stream.cli" else ["-A", "stream.app", "worker"]
    result = await shoal(wrong, *words, module=module)
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert f"SHOAL_{server.upper()}_PASSWORD" in line
    assert "Traceback" not in result.stderr
