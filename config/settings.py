"""Where things run: servers, names, limits. From SHOAL_* variables, or a YAML file."""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config.files import SettingsError, read_yaml

DEFAULT_SEGMENTATION = Path(__file__).with_name("segmentation.yaml")


class Settings(BaseSettings):
    """Every setting of a Shoal process. Environment variables win over the file."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", extra="forbid", frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port[,host:port]")
    redis: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey URL")
    namespace: str = Field(
        "shoal", pattern=r"^[a-z][a-z0-9-]{0,40}$", description="Prefix of topics, group and keys"
    )
    partitions: int = Field(8, ge=1, le=10_000, description="Partitions of the event topic")
    replication: int = Field(1, ge=1, description="Replicas of each topic")
    partitioner: Literal["murmur2", "crc32"] = Field(
        "murmur2",
        description="How producers place keys: murmur2 as Java's, crc32 as librdkafka's default",
    )
    durability: Literal["strict", "relaxed"] = Field(
        "strict", description="strict asks Redis for appendfsync always and noeviction"
    )
    clock: Literal["live", "replay"] = Field(
        "live", description="live: the wall clock; replay: the time of the events themselves"
    )
    segmentation: Path = Field(DEFAULT_SEGMENTATION, description="Path of segmentation.yaml")
    member: str | None = Field(
        None, description="Static membership: the name that a restarted worker keeps"
    )
    session_timeout_seconds: float = Field(
        10.0,
        ge=6,
        le=300,
        description="After this long without a heartbeat a worker counts as dead",
    )
    start_timeout_seconds: float = Field(
        10.0, gt=0, description="How long a starting process waits for Kafka and Redis"
    )
    cache_profiles: int = Field(
        500_000, ge=1_000, description="Profiles that one worker keeps in memory"
    )
    batch_events: int = Field(1_000, ge=1, le=10_000, description="Most events in one step")
    sweep_customers_per_second: int = Field(
        5_000, ge=1, description="Most quiet customers that a worker looks at again in a second"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(
        8001, ge=0, le=65_535, description="The worker's port; 0 takes a free one"
    )
    trainer_metrics_port: int = Field(8002, ge=0, le=65_535, description="The trainer's port")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info")

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, value: str) -> str:
        for broker in value.split(","):
            host, _, port = broker.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65_536:  # noqa: PLR2004 - TCP
                raise ValueError(f"{broker!r} is not host:port")
        return value

    @field_validator("redis")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected redis://host:port/db, rediss:// or unix://")
        try:
            urlsplit(value).port  # noqa: B018 - reading it is the check
        except ValueError:
            # Its own message would show the password.
            raise ValueError("the port is not a number from 1 to 65535") from None
        return value

    @field_validator("segmentation")
    @classmethod
    def _segmentation_exists(cls, value: Path) -> Path:
        if not value.is_file():
            raise ValueError(f"file {value} does not exist")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get("SHOAL_CONFIG"):
            sources += (InitSettingsSource(settings_cls, read_yaml(Path(path))),)
        return sources


def load_settings(**overrides: object) -> Settings:
    """Settings from arguments, SHOAL_* variables and the file that SHOAL_CONFIG names.

    Raises
    ------
    SettingsError
        A value cannot be used, or the file is missing or unreadable.
    """
    path = os.environ.get("SHOAL_CONFIG")
    if path and not Path(path).is_file():
        raise SettingsError(f"SHOAL_CONFIG names {path}, which does not exist: correct the path")
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError(describe_validation(error, prefix="SHOAL_")) from None


def describe_validation(error: ValidationError, *, prefix: str = "") -> str:
    """One line that names every field that is wrong and what it takes."""
    faults = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        name = prefix + where.upper() if prefix and where else where
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{name}: {message}" if name else message)
    return "; ".join(faults)
