"""segmentation.yaml: what is measured of each customer, and how customers are grouped."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from config.settings import SettingsError, describe_validation
from models.features import Feature, Flag, Kind, Measure, Scale, Selector
from models.profiles import ProfileSchema
from models.trainer import TrainingConfig

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
EventType = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]

DECAYING = {Kind.COUNT, Kind.SUM, Kind.MEAN, Kind.RATIO, Kind.INTERVAL, Kind.DISTINCT}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectorConfig(_Strict):
    """Which events count."""

    events: tuple[EventType, ...] = ()
    where: Flag | None = None

    def selector(self) -> Selector:
        """The same for the core."""
        return Selector(self.events, self.where)


class FeatureConfig(SelectorConfig):
    """One feature."""

    kind: Kind
    among: SelectorConfig | None = None
    of: Measure | None = None
    half_life_days: PositiveFloat | None = None
    cap_days: PositiveFloat = 365.0
    prior: float = Field(1.0, ge=0)
    scale: Scale = "log"
    weight: PositiveFloat = 1.0
    unit: str = ""
    high: str = ""
    low: str = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in {Kind.SUM, Kind.MEAN} and self.of is None:
            raise ValueError(f"kind {self.kind} needs `of: value` or `of: quantity`")
        if self.kind is Kind.RATIO and self.among is None:
            raise ValueError("kind ratio needs `among: {events: [...]}`")
        if self.kind in {Kind.RECENCY, Kind.INTERVAL, Kind.DISTINCT} and self.where:
            raise ValueError(f"kind {self.kind} takes no `where`")
        if self.half_life_days is not None and self.kind not in DECAYING:
            raise ValueError(f"kind {self.kind} takes no half_life_days")
        return self

    def feature(self, name: str) -> Feature:
        """The same for the core."""
        return Feature(
            name=name,
            kind=self.kind,
            selector=self.selector(),
            among=self.among.selector() if self.among else None,
            of=self.of,
            half_life_days=self.half_life_days,
            cap_days=self.cap_days,
            prior=self.prior,
            scale=self.scale,
            weight=self.weight,
            unit=self.unit,
            high=self.high or f"high {name.replace('_', ' ')}",
            low=self.low or f"low {name.replace('_', ' ')}",
        )


class ModelConfig(_Strict):
    """How customers are grouped."""

    algorithm: Literal["online_kmeans", "river_kmeans", "river_streamkmeans"] = "online_kmeans"
    k: int = Field(6, ge=1, le=100)
    margin: float = Field(0.1, ge=0, lt=1)
    min_customers: int = Field(200, ge=1)
    sample_customers: int = Field(20_000, ge=100)
    publish_every_seconds: PositiveFloat = 30.0
    min_new_share: float = Field(0.1, ge=0, le=10)
    seed: int = 7


class SegmentationConfig(_Strict):
    """The whole file."""

    name: str = Field("default", pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    currency: Currency = "EUR"
    rates: dict[Currency, PositiveFloat] = {}
    timezone: str = "UTC"
    session_timeout_minutes: PositiveFloat = 30.0
    expire_after_days: PositiveFloat = 730.0
    model: ModelConfig = ModelConfig()
    features: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")], FeatureConfig] = Field(
        min_length=1
    )

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no IANA time zone, such as Europe/Berlin") from error
        return value

    def profile_schema(self) -> ProfileSchema:
        """Profile layout of these features."""
        features = tuple(config.feature(name) for name, config in self.features.items())
        return ProfileSchema(features, self.session_timeout_minutes)

    def training(self) -> TrainingConfig:
        """What the trainer goes by."""
        return TrainingConfig(
            segmentation=self.name,
            algorithm=self.model.algorithm,
            k=self.model.k,
            margin=self.model.margin,
            min_customers=self.model.min_customers,
            sample_target=self.model.sample_customers,
            min_new_share=self.model.min_new_share,
        )


def load_segmentation(path: Path) -> SegmentationConfig:
    """The segmentation that a YAML file describes.

    Raises
    ------
    SettingsError
        The file is no YAML, or something in it cannot be used; the message names what and where.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path} is not readable YAML: {reason}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} is empty: copy the default segmentation.yaml and edit it")
    try:
        return SegmentationConfig.model_validate(content)
    except ValidationError as error:
        raise SettingsError(
            f"{path}: {describe_validation(error)}. Correct the file, then run `shoal check`"
        ) from None
