"""How Shoal connects to Redis and Kafka: the one place that hands passwords and keys on."""

import logging
from typing import Any

from aiokafka.protocol.admin import SaslAuthenticateRequest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.servers import plain
from config.settings import Settings
from stream.cluster import Cluster, RedisClient
from stream.packed import packing

CONNECT_SECONDS = 5


def connect_redis(
    settings: Settings, *, retries: int = 0, timeout_seconds: float = CONNECT_SECONDS
) -> RedisClient:
    """A client of Redis; lanes want one that never retries, they know what may be sent again.

    A connection or an answer that takes longer than `timeout_seconds` is an error.
    """
    options = _redis_options(settings, retries, timeout_seconds)
    if settings.redis_cluster:
        return Cluster.from_url(settings.redis_url(), **options)
    return packing(Redis.from_url(settings.redis_url(), **options))


def connect_node(settings: Settings) -> Redis:
    """A client of the very server that SHOAL_REDIS names, whether it is in a cluster or not."""
    return Redis.from_url(settings.redis_url(), **_redis_options(settings, 0, CONNECT_SECONDS))


def _redis_options(settings: Settings, retries: int, timeout_seconds: float) -> dict[str, Any]:
    tls: dict[str, Any] = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
        # Not everywhere in redis-py is there a parameter for it.
        **({"ssl_password": word} if (word := plain(settings.redis_key_password)) else {}),
    }
    return {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), retries),
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "health_check_interval": 0,
        **(tls if settings.redis_uses_tls else {}),
    }


def kafka_options(settings: Settings) -> dict[str, Any]:
    """What every client of aiokafka is made with, to reach these brokers as this user."""
    logging.getLogger("aiokafka.conn").addFilter(_hides_passwords)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": settings.kafka_tls(),
    }
    if settings.kafka_uses_sasl:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": plain(settings.kafka_password),
        }
    return options


def _hides_passwords(record: logging.LogRecord) -> bool:
    # At debug level aiokafka 0.14.0 logs each request: with PLAIN, this one is the password.
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(
        getattr(argument, "API_KEY", None) == SaslAuthenticateRequest.API_KEY
        for argument in arguments
    )
