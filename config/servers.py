"""Where Kafka and Redis are, and how they know us: addresses, passwords, certificates."""

from pathlib import Path
from ssl import SSLContext
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from config.redis_url import RedisUrl, check_redis_url, with_credentials
from config.tls import tls_context

CREDENTIALS = ("username", "password")
TLS_FILES = ("ca_file", "cert_file", "key_file")
LAST_PORT = 65_535


class ServerSettings(BaseSettings):
    """The settings of connections; what contradicts itself is refused."""

    model_config = SettingsConfigDict(
        env_prefix="SHOAL_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    kafka: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port[,host:port]")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether TLS and a password are used with Kafka"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the password is shown to Kafka"
    )
    kafka_username: str | None = Field(None, description="Kafka user")
    kafka_password: SecretStr | None = Field(None, description="Kafka password")
    kafka_ca_file: Path | None = Field(None, description="PEM: whom to trust as a broker")
    kafka_cert_file: Path | None = Field(None, description="PEM: our certificate, for mutual TLS")
    kafka_key_file: Path | None = Field(None, description="PEM: the key of our certificate")
    kafka_key_password: SecretStr | None = Field(None, description="Password of that key")
    redis: RedisUrl = Field(
        RedisUrl("redis://127.0.0.1:6379/0"), description="Redis or Valkey URL; rediss:// for TLS"
    )
    redis_cluster: bool = Field(
        default=False, description="Whether that is a node of a Redis Cluster"
    )
    redis_replicas: int = Field(
        0, ge=0, le=5, description="Replicas that must have a step before it counts"
    )
    redis_username: str | None = Field(None, description="Redis user; wins over the URL's")
    redis_password: SecretStr | None = Field(None, description="Redis password, likewise")
    redis_ca_file: Path | None = Field(None, description="PEM: whom to trust as Redis")
    redis_cert_file: Path | None = Field(None, description="PEM: our certificate, for mutual TLS")
    redis_key_file: Path | None = Field(None, description="PEM: the key of our certificate")
    redis_key_password: SecretStr | None = Field(None, description="Password of that key")

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("host:port without a user: SHOAL_KAFKA_USERNAME is for that")
        for broker in value.split(","):
            host, _, port = broker.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) <= LAST_PORT:
                raise ValueError(f"{broker!r} is not host:port")
        return value

    @field_validator("redis")
    @classmethod
    def _redis_url(cls, value: RedisUrl) -> RedisUrl:
        check_redis_url(value.get_secret_value())
        return value

    @field_validator(*(f"{server}_{name}" for server in ("kafka", "redis") for name in TLS_FILES))
    @classmethod
    def _file_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"file {value} does not exist")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        protocol = f"SHOAL_KAFKA_SECURITY_PROTOCOL is {self.kafka_security_protocol}"
        if self.kafka_uses_sasl:
            for name in CREDENTIALS:
                if getattr(self, f"kafka_{name}") is None:
                    raise ValueError(
                        f"{protocol}, but SHOAL_KAFKA_{name.upper()} is not set: set it"
                    )
        else:
            self._refuse("kafka", CREDENTIALS, f"{protocol}: set it to SASL_SSL")
        if not self.kafka_uses_tls:
            self._refuse(
                "kafka", (*TLS_FILES, "key_password"), f"{protocol}: set it to SASL_SSL or SSL"
            )
        if not self.redis_uses_tls:
            way = f"SHOAL_REDIS is {self.redis}: begin it with rediss://"
            self._refuse("redis", (*TLS_FILES, "key_password"), way)
        if self.redis_cluster:
            self._fit_for_cluster()
        # A file that cannot be used is better found now than when something connects.
        self.kafka_tls()
        self.redis_tls()
        return self

    def _fit_for_cluster(self) -> None:
        url = self.redis.get_secret_value()
        if url.startswith("unix://"):
            raise ValueError("SHOAL_REDIS_CLUSTER is set: name a node by host and port")
        if parse_url(url).get("db"):
            raise ValueError("SHOAL_REDIS_CLUSTER is set, and a cluster has database 0 only")
        self._refuse("redis", ("key_password",), "SHOAL_REDIS_CLUSTER too: use a key without")

    def _refuse(self, server: str, names: tuple[str, ...], why: str) -> None:
        for name in names:
            if getattr(self, f"{server}_{name}") is not None:
                raise ValueError(f"SHOAL_{server.upper()}_{name.upper()} is set, but {why}")

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether Kafka is shown a password."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether connections to Kafka are encrypted."""
        return self.kafka_security_protocol.endswith("SSL")

    @property
    def redis_uses_tls(self) -> bool:
        """Whether connections to Redis are encrypted."""
        return self.redis.get_secret_value().startswith("rediss://")

    def kafka_tls(self) -> SSLContext | None:
        """What TLS to Kafka needs; None without TLS."""
        if not self.kafka_uses_tls:
            return None
        return tls_context(
            "SHOAL_KAFKA",
            ca_file=self.kafka_ca_file,
            cert_file=self.kafka_cert_file,
            key_file=self.kafka_key_file,
            key_password=plain(self.kafka_key_password),
        )

    def redis_tls(self) -> SSLContext | None:
        """What TLS to Redis needs; None without TLS."""
        if not self.redis_uses_tls:
            return None
        return tls_context(
            "SHOAL_REDIS",
            ca_file=self.redis_ca_file,
            cert_file=self.redis_cert_file,
            key_file=self.redis_key_file,
            key_password=plain(self.redis_key_password),
        )

    def redis_url(self) -> str:
        """The URL with user and password, in plain text."""
        url = self.redis.get_secret_value()
        return with_credentials(url, self.redis_username, plain(self.redis_password))


def plain(secret: SecretStr | None) -> str | None:
    """The secret itself, to be handed on and never to be shown."""
    return None if secret is None else secret.get_secret_value()
