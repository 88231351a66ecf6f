"""What the client of a cluster makes of what redis-py does when nodes come and go."""

from typing import Any, Self

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ClusterDownError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.cluster import Cluster

NODE = ClusterNode("127.0.0.1", 7000)


class ClosedPipeline:
    """A pipeline whose connection was closed after it had been found open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    def execute_command(self, *command: Any, target_nodes: ClusterNode) -> None:
        assert command == ("GET", "a")
        assert target_nodes is NODE

    async def execute(self, **_: Any) -> list[Any]:
        writer: Any = None
        writer.writelines([])
        return []


async def test_a_connection_that_was_closed_meanwhile_is_a_node_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    async def initialize(self: Cluster) -> Cluster:
        nonlocal asked
        if self._initialize:
            asked += 1
            self._initialize = False
        return self

    monkeypatch.setattr(Cluster, "initialize", initialize)
    monkeypatch.setattr(Cluster, "pipeline", lambda _: ClosedPipeline())
    monkeypatch.setattr(
        Cluster, "get_node", lambda _, node_name: NODE if node_name == NODE.name else None
    )
    cluster: Any = Cluster.from_url("redis://127.0.0.1:7000")
    cluster.nodes_manager.nodes_cache[NODE.name] = NODE
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match="has left the cluster"):
            await cluster.send(NODE.name, [("GET", "a")])
    # The map is asked for anew each time, since it has changed.
    assert asked == 2


async def test_a_ping_passes_over_a_node_that_leaves_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Answering:
        def __init__(self, *, leaves: bool) -> None:
            self.leaves = leaves

        async def execute_command(self, command: str) -> dict[str, str]:
            assert command == "CLUSTER INFO"
            if self.leaves:
                raise AttributeError("'NoneType' object has no attribute 'writelines'")
            return {"cluster_state": "ok"}

    async def initialize(self: Cluster) -> Cluster:
        return self

    nodes = [Answering(leaves=True), Answering(leaves=False)]
    monkeypatch.setattr(Cluster, "initialize", initialize)
    monkeypatch.setattr(Cluster, "get_nodes", lambda _: nodes)
    cluster: Any = Cluster.from_url("redis://127.0.0.1:7000")
    assert await cluster.ping()
    del nodes[1]
    with pytest.raises(ClusterDownError):
        await cluster.ping()
