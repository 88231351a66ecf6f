"""Commands to Redis in shared round trips: to one server, or to each node of a cluster."""

import hashlib
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from models.errors import ShoalError
from stream.cluster import Cluster, Command, RedisClient
from stream.together import Together

WAIT_MS = 1_000
SCRIPTS = ("EVAL", "EVALSHA")


class NotReplicatedError(ShoalError, RedisError):
    """What was written is there, but a fail-over could still lose it."""

    def __init__(self, reached: int, wanted: int) -> None:
        super().__init__(
            f"{reached} of {wanted} replicas have the last writes: bring replicas back, or lower "
            "SHOAL_REDIS_REPLICAS"
        )
        self.reached = reached


class Sender:
    """Sends what is asked for at nearly the same time in one round trip per node.

    Parameters
    ----------
    replicas
        So many replicas must have what a command wrote before it is answered.
    """

    def __init__(self, redis: RedisClient, *, replicas: int = 0) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self._redis: Any = redis
        self._replicas = replicas
        self._nodes: dict[str, Together[Command, Any]] = {}
        self.is_cluster = isinstance(redis, Cluster)

    async def __call__(self, *command: Any) -> Any:
        """The reply to a command; its keys must lie on one node.

        Raises
        ------
        NotReplicatedError
            Too few replicas followed within a second.
        RedisError
            Whatever else went wrong. Nothing is sent twice, so it is unknown what was done.
        """
        node = await self._redis.node_of(_key(command)) if self.is_cluster else ""
        if node not in self._nodes:
            self._nodes[node] = Together(partial(self._exchange, node))
        return await self._nodes[node](command)

    async def run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What a Lua script returns; its text is sent where it is not known yet."""
        try:
            return await self("EVALSHA", _sha(script), len(keys), *keys, *args)
        except NoScriptError:
            return await self("EVAL", script, len(keys), *keys, *args)

    async def _exchange(self, node: str, commands: Sequence[Command]) -> list[Any]:
        wait: list[Command] = [("WAIT", self._replicas, WAIT_MS)] if self._replicas else []
        replies = await self._reply(node, [*commands, *wait])
        if wait:
            reached = replies.pop()
            if isinstance(reached, Exception):
                raise reached
            if reached < self._replicas:
                raise NotReplicatedError(reached, self._replicas)
        return replies

    async def _reply(self, node: str, commands: Sequence[Command]) -> list[Any]:
        if self.is_cluster:
            return list(await self._redis.send(node, commands))
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))


def _key(command: Command) -> str:
    return str(command[3 if command[0] in SCRIPTS else 1])


@cache
def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
