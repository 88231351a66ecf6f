"""Signs of life of Kafka and Redis, asked for twice a second, each on a connection of its own.

A call that hangs says nothing for seconds, and an idle lane makes none. So whether a process can
do its work is asked apart from the work.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from stream import metrics
from stream.cluster import RedisClient
from stream.together import cancelled
from stream.waiting import AWAY_SECONDS, Server, is_waited_for

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5
PATIENCE_SECONDS = 1.0
# Whoever has not answered by then is dialled anew, and of several brokers others are.
CALL_SECONDS = 0.5
TICK_SECONDS = 0.1
LONGEST_TICK_SECONDS = 0.25

NO_ANSWER = (KafkaError, RedisError, OSError, TimeoutError)


class Sign(Protocol):
    """How one server is asked for a sign of life."""

    async def ask(self) -> None:
        """Return once the server has answered.

        Raises
        ------
        KafkaError, RedisError, OSError
            It does not. Whoever asks may also give up, at any moment.
        """

    async def close(self) -> None:
        """Let go of connections."""


class RedisSign:
    """A PING; in a cluster of every primary, since no other serves the lanes of one that is away.

    The client must give up sooner than `PATIENCE_SECONDS`.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        is_cluster = isinstance(redis, RedisCluster)
        self._targets = {"target_nodes": RedisCluster.PRIMARIES} if is_cluster else {}

    async def ask(self) -> None:
        """See `Sign.ask`."""
        try:
            await self._redis.execute_command("PING", **self._targets)
        except RedisError:
            await self._redis.aclose()  # a cluster is asked anew who its primaries are
            raise

    async def close(self) -> None:
        """See `Sign.close`."""
        await self._redis.aclose()


class KafkaSign:
    """A request that any broker can answer; one of several that is gone is not Kafka's end.

    The producer's connections would not do: there the request stands in line behind messages.

    Parameters
    ----------
    bootstrap_servers
        host:port[,host:port]; more brokers become known with each answer.
    options
        How to connect, as aiokafka's clients take it.
    """

    def __init__(self, bootstrap_servers: str, **options: Any) -> None:
        self._bootstrap = {(host, port) for host, port, _ in collect_hosts(bootstrap_servers)}
        self._brokers = set(self._bootstrap)
        self._options = options
        self._connection: AIOKafkaConnection | None = None

    async def ask(self) -> None:
        """See `Sign.ask`."""
        if self._connection is not None:
            with suppress(*NO_ANSWER):
                async with asyncio.timeout(CALL_SECONDS):
                    return await self._request(self._connection)
            self._connection.close()
        self._connection = None
        self._connection = await self._dial()
        return await self._request(self._connection)

    async def close(self) -> None:
        """See `Sign.close`."""
        if self._connection is not None:
            self._connection.close()

    async def _request(self, connection: AIOKafkaConnection) -> None:
        answer = await connection.send(MetadataRequest([]))
        self._brokers = self._bootstrap | {(host, port) for _, host, port, *_ in answer.brokers}

    async def _dial(self) -> AIOKafkaConnection:
        """A connection to the broker that answers first."""
        dialled = [
            asyncio.create_task(create_conn(host, port, **self._options))
            for host, port in self._brokers
        ]
        first: AIOKafkaConnection | None = None
        try:
            for attempt in asyncio.as_completed(dialled):
                with suppress(*NO_ANSWER):
                    first = await attempt
                    return first
        finally:
            await cancelled(*dialled)
            for outcome in await asyncio.gather(*dialled, return_exceptions=True):
                if isinstance(outcome, AIOKafkaConnection) and outcome is not first:
                    outcome.close()
        raise KafkaConnectionError("no broker answers")


class Pulse:
    """Whether the servers answer, and for how long this process has waited for each.

    A server is away when it has given no sign of life for `AWAY_SECONDS`, or while somebody
    in this process waits for it (`stream.waiting`).
    """

    def __init__(self, signs: Mapping[Server, Sign]) -> None:
        self._signs = signs
        self._silent_seconds = dict.fromkeys(signs, 0.0)  # start-up has just reached them
        self._fault: dict[Server, Exception] = {}

    @property
    def servers_answer(self) -> bool:
        """Whether no server is away."""
        return not any(self._is_away(server) for server in self._signs)

    def _is_away(self, server: Server) -> bool:
        return self._silent_seconds[server] >= AWAY_SECONDS or is_waited_for(server)

    async def run(self) -> None:
        """Ask, until cancelled."""
        tasks = [asyncio.create_task(self._watch())]
        tasks += [asyncio.create_task(self._ask(server)) for server in self._signs]
        try:
            await asyncio.gather(*tasks)
        finally:
            # Not by a TaskGroup: it cancels once, and waits for ever where that is lost.
            await cancelled(*tasks)
            for sign in self._signs.values():
                await sign.close()

    async def _ask(self, server: Server) -> None:
        while True:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._signs[server].ask()
            except NO_ANSWER as error:
                self._fault[server] = error
            else:
                if self._silent_seconds[server] >= AWAY_SECONDS:
                    log.info("%s answers", server)
                self._silent_seconds[server] = 0.0
                self._fault.pop(server, None)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _watch(self) -> None:
        before = monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = monotonic()
            passed, before = now - before, now
            for server in self._signs:
                # While this process was busy it could not hear the answer.
                self._listen(server, min(passed, LONGEST_TICK_SECONDS))
                if self._is_away(server):
                    metrics.WAITING_SECONDS.labels(server=server).inc(passed)

    def _listen(self, server: Server, seconds: float) -> None:
        silent = self._silent_seconds[server]
        self._silent_seconds[server] = silent + seconds
        if silent < AWAY_SECONDS <= silent + seconds:
            fault = self._fault.get(server, TimeoutError())
            log.warning("%s does not answer: %s", server, str(fault) or repr(fault))
