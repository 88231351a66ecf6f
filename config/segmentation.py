"""segmentation.yaml: what is measured of each customer, and how customers are grouped."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.files import SettingsError, read_yaml
from config.settings import describe_validation
from models.features import Feature, Flag, Kind, Measure, Scale, Selector
from models.profiles import ProfileSchema
from models.training import TrainingConfig

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
# A century, and a million: beyond lies infinity, or a mistake.
Days = Annotated[float, Field(gt=0, le=36_500)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
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
    half_life_days: Days | None = None
    cap_days: Days = 365.0
    prior: Positive = 1.0
    scale: Scale = "log"
    weight: Positive = 1.0
    unit: str = ""
    high: str = ""
    low: str = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in {Kind.SUM, Kind.MEAN} and self.of is None:
            raise ValueError(f"kind {self.kind} needs `of: value` or `of: quantity`")
        if self.kind is Kind.RATIO and self.among is None:
            raise ValueError("kind ratio needs `among: {events: [...]}`")
        if self.where and self.kind not in DECAYING - {Kind.INTERVAL, Kind.DISTINCT}:
            raise ValueError(f"kind {self.kind} takes no `where`")
        if self.events and self.kind is Kind.TENURE:
            raise ValueError("kind tenure takes no `events`")
        if self.among and self.kind is not Kind.RATIO:
            raise ValueError(f"kind {self.kind} takes no `among`")
        if self.of and self.kind not in {Kind.SUM, Kind.MEAN}:
            raise ValueError(f"kind {self.kind} takes no `of`")
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
    publish_every_seconds: Positive = 30.0
    min_new_share: float = Field(0.1, ge=0, le=10)
    seed: int = 7


class SegmentationConfig(_Strict):
    """The whole file."""

    name: str = Field("default", pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    currency: Currency = "EUR"
    rates: dict[Currency, Positive] = {}
    session_timeout_minutes: Positive = 30.0
    expire_after_days: Days = 730.0
    model: ModelConfig = ModelConfig()
    features: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")], FeatureConfig] = Field(
        min_length=1
    )

    @model_validator(mode="after")
    def _own_rate_is_one(self) -> Self:
        if self.rates.get(self.currency, 1.0) != 1.0:
            raise ValueError(f"rates: {self.currency} is the own currency, leave its rate out")
        return self

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
    content = read_yaml(path)
    if not content:
        raise SettingsError(f"{path} is empty: copy the default segmentation.yaml and edit it")
    try:
        return SegmentationConfig.model_validate(content)
    except ValidationError as error:
        raise SettingsError(
            f"{path}: {describe_validation(error)}. Correct the file, then run `shoal check`"
        ) from None
