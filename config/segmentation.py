"""segmentation.yaml: what is measured of each customer, and how customers are grouped."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from config.features import AttributeConfig, Days, FeatureConfig, FeatureName, Positive, Strict
from config.files import SettingsError, read_yaml
from config.settings import describe_validation
from models.features import Feature
from models.profiles import DAY_MS, ProfileSchema
from models.segmentation import Segmentation
from models.training import TrainingConfig

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
SegmentationName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
DEFAULT = "default"
MOST_SEGMENTS = 100


class ModelConfig(Strict):
    """How customers are grouped."""

    algorithm: Literal["online_kmeans", "river_kmeans", "river_streamkmeans"] = "online_kmeans"
    k: int | Literal["auto"] = 6
    k_min: int = Field(3, ge=2, le=MOST_SEGMENTS)
    k_max: int = Field(12, ge=2, le=MOST_SEGMENTS)
    margin: float = Field(0.1, ge=0, lt=1)
    min_customers: int = Field(200, ge=1)
    sample_customers: int = Field(20_000, ge=100)
    publish_every_seconds: Positive = 30.0
    min_new_share: float = Field(0.1, ge=0, le=10)
    seed: int = 7

    @field_validator("k", mode="before")
    @classmethod
    def _is_a_number_or_auto(cls, given: Any) -> Any:
        if given == "auto" or (isinstance(given, int) and 1 <= given <= MOST_SEGMENTS):
            return given
        raise ValueError(f"{given!r} is neither a number from 1 to {MOST_SEGMENTS} nor auto")

    @model_validator(mode="after")
    def _from_few_to_many(self) -> Self:
        if self.k_min > self.k_max:
            raise ValueError(f"k_min {self.k_min} is above k_max {self.k_max}")
        return self


class GroupingConfig(Strict):
    """One segmentation: by which features, and what differs from the model of the file."""

    features: Literal["all"] | dict[FeatureName, Positive] = Field(
        "all", description="names, or names with weights"
    )
    model: dict[str, Any] = Field({})

    @field_validator("features", mode="before")
    @classmethod
    def _names_alone_weigh_as_elsewhere(cls, given: Any) -> Any:
        return dict.fromkeys(given, 1.0) if isinstance(given, list) else given


class SegmentationConfig(Strict):
    """The whole file."""

    currency: Currency = "EUR"
    rates: dict[Currency, Positive] = Field({})
    session_timeout_minutes: Positive = 30.0
    expire_after_days: Days = 730.0
    timezone: str = Field("UTC", description="IANA name; hours and days are its own")
    model: ModelConfig = ModelConfig()
    features: dict[FeatureName, FeatureConfig] = Field(min_length=1)
    attributes: dict[FeatureName, AttributeConfig] = Field({}, max_length=64)
    segmentations: dict[SegmentationName, GroupingConfig] = Field(
        {DEFAULT: GroupingConfig()}, min_length=1, max_length=16
    )

    @model_validator(mode="after")
    def _own_rate_is_one(self) -> Self:
        if self.rates.get(self.currency, 1.0) != 1.0:
            raise ValueError(f"rates: {self.currency} is the own currency, leave its rate out")
        return self

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(f"{name!r} is no time zone: give one such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        for name in self.attributes:
            if name in self.features:
                raise ValueError(f"attributes.{name}: there is a feature of this name")
        return self

    @model_validator(mode="after")
    def _groupings_fit(self) -> Self:
        for name, grouping in self.segmentations.items():
            if grouping.features != "all" and not grouping.features:
                raise ValueError(f"segmentations.{name}.features: name one or more")
            for feature in () if grouping.features == "all" else grouping.features:
                if feature not in self.features and feature not in self.attributes:
                    raise ValueError(
                        f"segmentations.{name}.features: {feature!r} is no feature or attribute"
                    )
            self.model_of(name)
        return self

    def model_of(self, segmentation: str) -> ModelConfig:
        """How one segmentation is learned: the file's model, with what it says of its own."""
        own = self.segmentations[segmentation].model
        return ModelConfig.model_validate(self.model.model_dump(exclude_unset=True) | own)

    def profile_schema(self) -> ProfileSchema:
        """Profile layout of these features."""
        features = tuple(
            config.feature(name, self.currency) for name, config in self.features.items()
        )
        for name, attribute in self.attributes.items():
            features += attribute.features(name)
        return ProfileSchema(
            features,
            self.session_timeout_minutes,
            tuple(self.segmentations),
            self.timezone,
        )

    def groupings(self, schema: ProfileSchema) -> tuple[Segmentation, ...]:
        """The segmentations, in the order of what profiles keep for each."""
        return tuple(
            Segmentation(name, schema, self._features_of(grouping, schema))
            for name, grouping in self.segmentations.items()
        )

    def _features_of(self, grouping: GroupingConfig, schema: ProfileSchema) -> tuple[Feature, ...]:
        if grouping.features == "all":
            return schema.features
        weights = grouping.features
        return tuple(
            replace(feature, weight=feature.weight * weights[feature.group or feature.name])
            for feature in schema.features
            if (feature.group or feature.name) in weights
        )

    def training(self, segmentation: str = DEFAULT) -> TrainingConfig:
        """What the trainer of one segmentation goes by."""
        model = self.model_of(segmentation)
        return TrainingConfig(
            segmentation=segmentation,
            algorithm=model.algorithm,
            k=model.k,
            k_min=model.k_min,
            k_max=model.k_max,
            margin=model.margin,
            min_customers=model.min_customers,
            sample_target=model.sample_customers,
            expire_after_ms=round(self.expire_after_days * DAY_MS),
            min_new_share=model.min_new_share,
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
