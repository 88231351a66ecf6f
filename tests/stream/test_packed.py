"""Commands are packed as redis-py packs them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection, Redis, SSLConnection

from stream.packed import PackedConnection, PackedTlsConnection, packing

WORDS = st.binary(max_size=8) | st.text(max_size=8) | st.integers(-(2**63), 2**63) | st.floats()
NAMES = st.sampled_from(["GET", "EVALSHA", "CLUSTER INFO"])
Command = tuple[str | bytes | float, ...]
COMMANDS = st.tuples(NAMES, st.lists(WORDS, max_size=5)).map(lambda made: (made[0], *made[1]))


@given(st.lists(COMMANDS, max_size=4))
def test_the_bytes_are_those_of_redis_py(commands: list[Command]) -> None:
    ours, theirs = PackedConnection(), Connection()
    together = b"".join(ours.pack_commands(commands))
    assert together == b"".join(theirs.pack_commands(commands))
    assert together == b"".join(b"".join(ours.pack_command(*command)) for command in commands)


@pytest.mark.parametrize(
    ("url", "kind", "was"),
    [
        ("redis://127.0.0.1", PackedConnection, Connection),
        ("rediss://127.0.0.1", PackedTlsConnection, SSLConnection),
    ],
)
def test_a_client_keeps_to_its_way_of_connecting(
    url: str, kind: type[Connection], was: type[Connection]
) -> None:
    chosen = packing(Redis.from_url(url)).connection_pool.connection_class
    assert chosen is kind
    assert issubclass(chosen, was)
