"""Reaching Kafka and Redis, within the time that the settings give them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis import exceptions
from redis.asyncio import Redis

from config.settings import Settings
from models.errors import ShoalError
from stream.store import connect

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
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka, request_timeout_ms=timeout_ms(settings)
    )
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
async def reach_redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client of a Redis that answers; closed at the end.

    Raises
    ------
    UnreachableError
        It does not answer within `start_timeout_seconds`, or fails while it is used.
    """
    where = redact(settings.redis)
    try:
        redis = connect(settings.redis)
    except ValueError:  # its message may quote the password
        raise UnreachableError(
            "redis",
            f"SHOAL_REDIS ({where}) cannot be read as a URL",
            "correct it; a password with / ? # @ or : in it must be percent-encoded",
        ) from None
    try:
        await _await_redis(redis, where, settings.start_timeout_seconds)
        yield redis
    except exceptions.RedisError as error:
        raise UnreachableError(
            "redis", f"Redis at {where} fails: {error}", "see its log"
        ) from error
    finally:
        await redis.aclose()


def redact(url: str) -> str:
    """A Redis URL without user, password and options.

    >>> redact("redis://shop:secret@cache:6379/2?socket_timeout=1")
    'redis://cache:6379/2'
    >>> redact("redis://:se/cret@cache:6379/2")
    'redis://***'
    """
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2] if parts.port or parts.hostname else ""
    except ValueError:
        return f"{scheme}://***"
    # An @ behind the host means that the password ended where nobody thought it would.
    if "@" in parts.path + parts.query + parts.fragment or not (place or scheme == "unix"):
        return f"{scheme}://***"
    return f"{scheme}://{place}{parts.path}"


def timeout_ms(settings: Settings) -> int:
    """How long one request may take."""
    return max(int(settings.start_timeout_seconds * 1000), 1)


async def _await_kafka(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    try:
        async with asyncio.timeout(settings.start_timeout_seconds):
            while True:
                if await _someone_listens(settings.kafka):
                    try:
                        await admin.start()
                    except (KafkaError, OSError):
                        pass
                    else:
                        return
                await asyncio.sleep(RETRY_SECONDS)
    except TimeoutError:
        raise UnreachableError(
            "kafka",
            f"no Kafka broker answers at {settings.kafka}",
            "start one, or set SHOAL_KAFKA",
        ) from None


async def _someone_listens(brokers: str) -> bool:
    # aiokafka logs an error for each broker that it cannot dial; while one starts, that is noise.
    for broker in brokers.split(","):
        host, _, port = broker.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            continue
        writer.close()
        return True
    return False


async def _await_redis(redis: Redis, where: str, seconds: float) -> None:
    problem, action = f"Redis does not answer at {where}", "start it, or set SHOAL_REDIS"
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await redis.ping()
                except exceptions.AuthenticationError:
                    problem = f"Redis at {where} refuses the user or the password"
                    action = "correct SHOAL_REDIS"
                    break
                except exceptions.BusyLoadingError:
                    problem = f"Redis at {where} is still loading its data"
                    action = "wait, or raise SHOAL_START_TIMEOUT_SECONDS"
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    pass
                else:
                    return
                await asyncio.sleep(RETRY_SECONDS)
    except TimeoutError:
        pass
    raise UnreachableError("redis", problem, action)
