"""Where things run: servers, names, limits. From SHOAL_* variables, or a YAML file."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, Secret, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)

from config.files import SettingsError, read_yaml
from config.servers import LAST_PORT, ServerSettings

DEFAULT_SEGMENTATION = Path(__file__).with_name("segmentation.yaml")


class Settings(ServerSettings):
    """Every setting of a Shoal process. Environment variables win over the file."""

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
    batch_events: int = Field(2_000, ge=1, le=10_000, description="Most events in one step")
    sweep_customers_per_second: int = Field(
        5_000, ge=1, description="Most quiet customers that a worker looks at again in a second"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(
        8001, ge=0, le=LAST_PORT, description="The worker's port; 0 takes a free one"
    )
    trainer_metrics_port: int = Field(8002, ge=0, le=LAST_PORT, description="The trainer's port")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info")

    @field_validator("segmentation")
    @classmethod
    def _segmentation_exists(cls, value: Path) -> Path:
        if not value.is_file():
            raise ValueError(f"file {value} does not exist")
        return value

    def environment(self) -> dict[str, str]:
        """The SHOAL_* variables that give another process these settings, secrets among them."""
        return {
            f"SHOAL_{name.upper()}": str(
                value.get_secret_value() if isinstance(value, Secret | SecretStr) else value
            )
            for name, value in self.model_dump(exclude_none=True).items()
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over secrets, these over the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if secrets := os.environ.get("SHOAL_SECRETS_DIR"):
            sources += (SecretsSettingsSource(settings_cls, secrets),)
        if path := os.environ.get("SHOAL_CONFIG"):
            sources += (InitSettingsSource(settings_cls, read_yaml(Path(path))),)
        return sources


def load_settings(**overrides: object) -> Settings:
    """Settings from arguments, SHOAL_* variables, and what two of these name.

    SHOAL_SECRETS_DIR names a directory with one file per setting, as `shoal_kafka_password`;
    SHOAL_CONFIG a YAML file.

    Raises
    ------
    SettingsError
        A value cannot be used, or the file is missing or unreadable.
    """
    secrets = os.environ.get("SHOAL_SECRETS_DIR")
    if secrets and not Path(secrets).is_dir():
        raise SettingsError(f"SHOAL_SECRETS_DIR names {secrets}, no directory: correct the path")
    path = os.environ.get("SHOAL_CONFIG")
    if path and not Path(path).is_file():
        raise SettingsError(f"SHOAL_CONFIG names {path}, which does not exist: correct the path")
    try:
        return Settings.model_validate({k: v for k, v in overrides.items() if v is not None})
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
