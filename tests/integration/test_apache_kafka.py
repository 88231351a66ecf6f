"""Apache Kafka in the tests is the real one: it keeps what it acknowledged and expires the dead."""

import asyncio
import inspect
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from config.settings import Settings
from stream.embedded import EmbeddedError
from stream.server_process import EmbeddedServer
from stream.topics import create_topics, describe
from tests import apache_kafka
from tests.apache_kafka import POM, ApacheKafka, classpath

apache = pytest.mark.apache

SESSION_MS = 2_000
MEMBER = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer
async def main():
    consumer = AIOKafkaConsumer(
        "events", bootstrap_servers=sys.argv[1], group_id="group",
        session_timeout_ms=int(sys.argv[2]), heartbeat_interval_ms=200,
    )
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.05)
    print("owns", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
OFFLINE = "<settings><offline>true</offline></settings>"


@asynccontextmanager
async def producing(server: EmbeddedServer) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=server.address, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def create_topic(server: EmbeddedServer, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1)])
    await admin.close()


async def values(server: EmbeddedServer, tp: TopicPartition) -> list[bytes]:
    """Everything in a partition, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=server.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[bytes] = []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


@apache
async def test_what_was_acknowledged_outlives_a_kill_and_clients_go_on(tmp_path: Path) -> None:
    with ApacheKafka(tmp_path) as server:
        address, first = server.address, server.pid
        await create_topic(server, "events", 1)
        sent = [b"event %d" % number for number in range(3_000)]
        async with producing(server) as producer:
            for batch in (sent[:1_500], sent[1_500:]):
                await asyncio.gather(
                    *[await producer.send("events", value, partition=0) for value in batch]
                )
                server.kill()
                await asyncio.to_thread(server.start)
        assert await values(server, TopicPartition("events", 0)) == sent
        assert server.address == address
        assert server.pid not in {first, None}


@apache
async def test_a_member_that_died_expires_and_another_takes_over(tmp_path: Path) -> None:
    with ApacheKafka(tmp_path) as server:
        await create_topic(server, "events", 2)
        with subprocess.Popen(  # noqa: ASYNC220, S603 - our own script
            [sys.executable, "-c", MEMBER, server.address, str(SESSION_MS)], stdout=subprocess.PIPE
        ) as member:
            assert member.stdout is not None
            assert await asyncio.to_thread(member.stdout.readline) == b"owns\n"
            member.kill()
        heir = AIOKafkaConsumer("events", bootstrap_servers=server.address, group_id="group")
        async with asyncio.timeout(SESSION_MS / 1000 + 10):
            await heir.start()
            while len(heir.assignment()) < 2:
                await heir.getmany(timeout_ms=50)
        await heir.stop()


@apache
async def test_each_directory_is_a_cluster_of_its_own_and_stays_it(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two", "one"):
        with ApacheKafka(tmp_path / name) as server:
            settings = Settings(kafka=server.address, partitions=2)
            await create_topics(settings)
            found.append((await describe(settings)).cluster_id)
    assert found[0] == found[2] != found[1]


@apache
async def test_a_broker_that_was_frozen_for_long_goes_on_by_itself(tmp_path: Path) -> None:
    with ApacheKafka(tmp_path) as server:
        await create_topic(server, "events", 1)
        async with producing(server) as producer:
            await producer.send_and_wait("events", b"before", partition=0)
            server.freeze()
            waiting = asyncio.create_task(producer.send_and_wait("events", b"while", partition=0))
            # Longer than the session that the broker keeps with its own controller.
            done, _ = await asyncio.wait({waiting}, timeout=3)
            assert not done
            server.thaw()
            await waiting
        assert await values(server, TopicPartition("events", 0)) == [b"before", b"while"]


@apache
def test_a_broker_that_cannot_be_formatted_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"cannot format its data directory: .*process\.roles"):
        ApacheKafka(tmp_path, extra={"process.roles": "nonsense"}).start()


@apache
def test_a_download_that_fails_names_what_maven_must_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apache_kafka, "POM", Path(shutil.copy(POM, tmp_path)))
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(OFFLINE, encoding="utf-8")
    monkeypatch.setenv("MAVEN_OPTS", f"-Duser.home={tmp_path}")
    with pytest.raises(
        EmbeddedError, match=r"Maven cannot get Apache Kafka \(\[ERROR\] .*Maven Central"
    ):
        inspect.unwrap(classpath)()


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = "needs java and mvn: apt-get install openjdk-17-jre-headless maven$"
    with pytest.raises(EmbeddedError, match=message):
        ApacheKafka(tmp_path / "kafka").start()
