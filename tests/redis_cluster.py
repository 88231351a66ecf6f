"""A Redis Cluster on this machine: three real Valkey primaries with replicas that take over."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from stream.embedded import EmbeddedRedis
from stream.server_process import HOST

PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
PATIENCE_SECONDS = 30.0


class ValkeyCluster:
    """Nodes in cluster mode; the first three begin as primaries, the others as their replicas.

    Parameters
    ----------
    replicas
        How many each primary has; without one nothing can fail over.
    """

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int = 1,
        appendfsync: Literal["always", "everysec", "no"] = "always",
    ) -> None:
        self.nodes = [
            EmbeddedRedis(
                directory / f"node-{number}",
                appendfsync=appendfsync,
                options={
                    "cluster-enabled": "yes",
                    "cluster-port": str(_bus_port()),
                    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                    # A replica takes over however long it has not heard of its primary.
                    "cluster-replica-validity-factor": "0",
                    "repl-diskless-sync-delay": "0",
                },
            )
            for number in range(PRIMARIES * (1 + replicas))
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """For SHOAL_REDIS: a node that answers."""
        return self._alive[0].url

    def start(self) -> Self:
        """Start and join the nodes; return once every slot is served and has its replicas."""
        for node in self.nodes:
            self._stack.enter_context(node)
        for epoch, node in enumerate(self.nodes, start=1):
            ask(node, "CLUSTER SET-CONFIG-EPOCH", epoch)
        for number, primary in enumerate(self.nodes[:PRIMARIES]):
            first, end = (SLOTS * n // PRIMARIES for n in (number, number + 1))
            ask(primary, "CLUSTER ADDSLOTSRANGE", first, end - 1)
        for node in self.nodes[1:]:
            bus = ask(node, "CONFIG GET", "cluster-port")["cluster-port"]
            ask(self.nodes[0], "CLUSTER MEET", HOST, node.port, bus)
        until(lambda: all(_knows(node, len(self.nodes)) for node in self.nodes))
        for number, replica in enumerate(self.nodes[PRIMARIES:]):
            primary = self.nodes[number % PRIMARIES]
            ask(replica, "CLUSTER REPLICATE", ask(primary, "CLUSTER MYID"))
        self.until_ok()
        # A client finds the nodes by asking any of them, which may not have heard of a replica yet.
        ports = {node.port for node in self.nodes}
        until(lambda: all(_listed(node) == ports for node in self.nodes))
        return self

    def stop(self) -> None:
        """End all nodes."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def primary_of(self, key: str) -> EmbeddedRedis:
        """The node that serves a key now."""
        port = _owner(self._alive[0], key_slot(key.encode()))
        return next(node for node in self.nodes if node.port == port)

    def replicas_of(self, primary: EmbeddedRedis) -> list[EmbeddedRedis]:
        """Nodes that follow a primary now and hold what it held a moment ago."""
        return [node for node in self._alive if _follows(node, primary.port)]

    def fail_over(self, primary: EmbeddedRedis) -> EmbeddedRedis:
        """Have a replica take over in agreement with its primary; the new primary."""
        until(lambda: bool(self.replicas_of(primary)))
        replica = self.replicas_of(primary)[0]
        ask(replica, "CLUSTER FAILOVER")
        self.until_replaced(primary)
        return replica

    def until_replaced(self, primary: EmbeddedRedis) -> None:
        """Return once all others know who serves the slots of what was a primary."""

        def is_replaced() -> bool:
            others = [node for node in self._alive if node is not primary]
            return all(_is_ok(node) and primary.port not in _owners(node) for node in others)

        until(is_replaced)

    def until_ok(self) -> None:
        """Return once all that answer serve all slots, and every replica is in step."""

        def is_ok() -> bool:
            alive = self._alive
            owners = {port for node in alive for port in _owners(node)}
            return all(
                _is_ok(node)
                and (node.port in owners or any(_follows(node, port) for port in owners))
                for node in alive
            )

        until(is_ok)

    @property
    def _alive(self) -> list[EmbeddedRedis]:
        return [node for node in self.nodes if node.pid is not None and _answers(node)]


def ask(node: EmbeddedRedis, command: str, *arguments: object) -> Any:
    """What a node itself answers to a command."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis(
        host=HOST, port=node.port, decode_responses=True, socket_timeout=1, retry=once
    ) as client:
        return client.execute_command(command, *arguments)


def until(condition: Callable[[], bool]) -> None:
    """Return once a condition holds; a node that does not answer is asked again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        time.sleep(0.02)
    raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s")


def _bus_port() -> int:
    """A free port below those that clients are given, so that it is still free after a restart."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _answers(node: EmbeddedRedis) -> bool:
    try:
        return bool(ask(node, "PING"))
    except redis.RedisError:
        return False


def _is_ok(node: EmbeddedRedis) -> bool:
    return bool(ask(node, "CLUSTER INFO")["cluster_state"] == "ok")


def _knows(node: EmbeddedRedis, count: int) -> bool:
    return int(ask(node, "CLUSTER INFO")["cluster_known_nodes"]) == count


def _owners(node: EmbeddedRedis) -> set[int]:
    return {primary[1] for _, _, primary, *_ in ask(node, "CLUSTER SLOTS")}


def _listed(node: EmbeddedRedis) -> set[int]:
    """Ports of all that serve slots or follow those who do, by what a node tells clients."""
    slots = ask(node, "CLUSTER SLOTS")
    return {int(server[1]) for _, _, *servers in slots for server in servers}


def _owner(node: EmbeddedRedis, slot: int) -> int:
    return next(
        int(primary[1])
        for first, last, primary, *_ in ask(node, "CLUSTER SLOTS")
        if first <= slot <= last
    )


def _follows(node: EmbeddedRedis, port: int) -> bool:
    found = ask(node, "INFO", "replication")
    return bool(
        found["role"] == "slave"
        and found["master_port"] == port
        and found["master_link_status"] == "up"
    )
