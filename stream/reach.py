"""Reaching Kafka and Redis, within the time that the settings give them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from redis import exceptions
from redis.asyncio import Redis

from config.settings import Settings
from models.errors import ShoalError
from stream.cluster import RedisClient
from stream.connections import connect_node, connect_redis, kafka_options
from stream.refusals import Refusal, kafka_refusal, redis_refusal

RETRY_SECONDS = 0.2


class UnreachableError(ShoalError):
    """A server does not answer in the time that the settings give it, or fails what it is asked."""

    def __init__(self, server: Literal["kafka", "redis"], problem: str, action: str) -> None:
        super().__init__(f"{problem}: {action}")
        self.server = server
        self.problem = problem
        self.action = action


@asynccontextmanager
async def reach_kafka(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client of the brokers; a request that they fail becomes an UnreachableError too.

    Raises
    ------
    UnreachableError
        None answers within `start_timeout_seconds`.
    """
    admin = AIOKafkaAdminClient(**kafka_options(settings), request_timeout_ms=timeout_ms(settings))
    try:
        await _await_kafka(admin, settings)
        try:
            yield admin
        except (KafkaError, OSError) as error:
            raise UnreachableError(
                "kafka",
                f"Kafka at {settings.kafka} answers, but does not do what it is asked "
                f"({type(error).__name__})",
                "see whether every broker is up and can be reached from here by the address that "
                "it advertises (advertised.listeners)",
            ) from error
    finally:
        await admin.close()


@asynccontextmanager
async def reach_redis(settings: Settings) -> AsyncIterator[RedisClient]:
    """A client of a Redis that answers, one server or all of a cluster; closed at the end.

    Raises
    ------
    UnreachableError
        It does not answer within `start_timeout_seconds`, or fails while it is used.
    """
    redis = connect_redis(settings)
    try:
        async with connect_node(settings) as node:
            await _await_redis(node, settings)
            await _compare_mode(node, settings)
        yield redis
    except exceptions.RedisError as error:
        refusal = redis_refusal(error, settings)
        if refusal is None or not refusal.is_final:
            refusal = Refusal(f"fails: {error}", "see its log")
        raise UnreachableError(
            "redis", f"Redis at {settings.redis} {refusal.problem}", refusal.action
        ) from error
    finally:
        await redis.aclose()


def timeout_ms(settings: Settings) -> int:
    """How long one request may take."""
    return max(int(settings.start_timeout_seconds * 1000), 1)


async def _await_kafka(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    where = settings.kafka
    problem, action = f"no Kafka broker answers at {where}", "start one, or set SHOAL_KAFKA"
    try:
        async with asyncio.timeout(settings.start_timeout_seconds):
            while True:
                try:
                    await _knock(settings)
                    await admin.start()
                except (KafkaError, OSError, EOFError) as error:
                    if refusal := kafka_refusal(error, settings):
                        problem, action = f"Kafka at {where} {refusal.problem}", refusal.action
                        if refusal.is_final:
                            break
                else:
                    return
                await asyncio.sleep(RETRY_SECONDS)
    except TimeoutError:
        pass
    raise UnreachableError("kafka", problem, action)


async def _knock(settings: Settings) -> None:
    """Return once a broker lets us in, else raise the most telling reason why none did."""
    # An aiokafka client logs an error for each broker that does not, and keeps the reason back.
    options = kafka_options(settings) | {"request_timeout_ms": timeout_ms(settings)}
    errors: list[Exception] = []
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            connection = await create_conn(host, port, **options)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (KafkaError, OSError, EOFError) as error:
            errors.append(error)
        else:
            return
    raise max(errors, key=lambda error: kafka_refusal(error, settings) is not None)


async def _compare_mode(node: Redis, settings: Settings) -> None:
    try:
        is_cluster = bool((await node.info("cluster"))["cluster_enabled"])
    except exceptions.NoPermissionError:
        return
    if is_cluster != settings.redis_cluster:
        raise UnreachableError(
            "redis",
            f"Redis at {settings.redis} is {'a node' if is_cluster else 'no node'} of a cluster",
            f"set SHOAL_REDIS_CLUSTER={'true' if is_cluster else 'false'}",
        )


async def _await_redis(redis: Redis, settings: Settings) -> None:
    where = settings.redis
    problem, action = f"Redis does not answer at {where}", "start it, or set SHOAL_REDIS"
    if settings.redis_uses_tls:
        action += " (redis:// without TLS: it is silent when it is spoken to otherwise)"
    try:
        async with asyncio.timeout(settings.start_timeout_seconds):
            while True:
                try:
                    await redis.ping()
                except exceptions.BusyLoadingError:
                    problem = f"Redis at {where} is still loading its data"
                    action = "wait, or raise SHOAL_START_TIMEOUT_SECONDS"
                except (exceptions.RedisError, OSError) as error:
                    if refusal := redis_refusal(error, settings):
                        problem, action = f"Redis at {where} {refusal.problem}", refusal.action
                        if refusal.is_final:
                            break
                else:
                    return
                await asyncio.sleep(RETRY_SECONDS)
    except TimeoutError:
        pass
    raise UnreachableError("redis", problem, action)
