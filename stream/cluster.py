"""A client of Redis Cluster that a lane can rely on: nothing is sent twice behind its back."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream.together import cancelled

Command = tuple[Any, ...]

# What a node answers, or does not, when the map of the slots may have changed.
MOVED_ON = (RedisConnectionError, RedisTimeoutError, ClusterDownError, AskError, TryAgainError)


class Cluster(RedisCluster):
    """All nodes of a Redis Cluster.

    redis-py 8.1.0 goes on with its old map of the slots after a pipeline has met a dead node,
    raises what is no RedisError while it finds no map, and closes connections that others use,
    who then fail with an AttributeError. All three are mended here.
    """

    _lost: str | None = None

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> "Cluster":
        """Ask for the map of the slots unless it is known.

        Raises
        ------
        RedisError
            No node answers, or the nodes that do leave slots to nobody.
        """
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._initialize:
                lost = last_failed_node_name or self._lost
                try:
                    await self.nodes_manager.initialize(additional_startup_nodes_info, lost)
                except RedisClusterException as error:
                    cause = error.__cause__
                    if isinstance(cause, RedisError):
                        raise cause from None
                    raise RedisConnectionError(str(error)) from error
                await self.commands_parser.initialize(self.nodes_manager.default_node)
                self._initialize = False
        return self

    async def aclose(self) -> None:
        """Close all connections, those in use as soon as they are free; a next use opens them."""
        self._initialize = True
        manager = self.nodes_manager
        # A node has a double among those that were known first.
        for node in (*manager.nodes_cache.values(), *manager.startup_nodes.values()):
            node.update_active_connections_for_reconnect()
            await node.disconnect_free_connections()

    async def ping(self, **_: Any) -> bool:
        """True if a node that answers says that every slot is served.

        Raises
        ------
        RedisError
            No node says so.
        """
        await self.initialize()
        asked = [
            asyncio.create_task(node.execute_command("CLUSTER INFO")) for node in self.get_nodes()
        ]
        try:
            for answer in asyncio.as_completed(asked):
                # The latter where redis-py has closed the connection meanwhile, see `send`.
                with suppress(RedisError, AttributeError):
                    if (await answer)["cluster_state"] == "ok":
                        return True
        finally:
            await cancelled(*asked)
        self._initialize = True
        raise ClusterDownError("CLUSTERDOWN no node says that all slots are served")

    async def node_of(self, key: str) -> str:
        """Name of the node that serves a key."""
        await self.initialize()
        return str(self.nodes_manager.get_node_from_slot(self.keyslot(key)).name)

    async def send(self, name: str, commands: Sequence[Command]) -> list[Any]:
        """What one node replies to commands, in one round trip; a redirection is an error.

        The map is asked for anew before what is sent next, if it may have changed.
        """
        await self.initialize()
        node = self.get_node(node_name=name)
        if node is None:
            raise RedisConnectionError(f"{name} has left the cluster")
        try:
            async with self.pipeline() as pipe:
                for command in commands:
                    pipe.execute_command(*command, target_nodes=node)
                replies = await pipe.execute(raise_on_error=False, allow_redirections=False)
        except RedisError:
            self._look_again(node)
            raise
        except AttributeError as error:
            # redis-py has closed the connection for good: the node has left the map meanwhile.
            self._look_again(node)
            raise RedisConnectionError(f"{name} has left the cluster") from error
        if any(isinstance(reply, MOVED_ON) for reply in replies):
            self._look_again(node)
        return list(replies)

    def _look_again(self, lost: ClusterNode) -> None:
        self._lost = lost.name
        self.nodes_manager.move_node_to_end_of_cached_nodes(lost.name)
        self._initialize = True


RedisClient: TypeAlias = Redis | RedisCluster
