"""What is measured of each customer, as segmentation.yaml says it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from models.features import (
    ATTRIBUTE_KINDS,
    Attribute,
    Feature,
    Flag,
    Form,
    Kind,
    Measure,
    Scale,
    Selector,
)

# A century, and a million: beyond lies infinity, or a mistake.
Days = Annotated[float, Field(gt=0, le=36_500)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
EventType = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
Hour = Annotated[int, Field(ge=0, le=24)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TraitPath = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=128)]
# YAML reads 3 as a number and yes as true; a value is the text that an event may spell it by.
TraitValue = Annotated[str, BeforeValidator(str), Field(min_length=1, max_length=64)]

DECAYING = {Kind.COUNT, Kind.SUM, Kind.MEAN, Kind.RATIO, Kind.INTERVAL, Kind.DISTINCT}
MAX_VALUES = 64
_TAKES: dict[str, set[str]] = {
    "number": {"scale", "unit", "high", "low"},
    "flag": {"unit", "high", "low"},
    "category": {"values", "ordered", "buckets"},
    "ordered category": {"values", "ordered", "unit", "high", "low"},
}


class Strict(BaseModel):
    """A part of the file, in which nothing may be misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectorConfig(Strict):
    """Which events count."""

    events: tuple[EventType, ...] = ()
    where: Flag | None = None
    hours: tuple[Hour, Hour] | None = None
    days: tuple[Weekday, ...] = ()

    @field_validator("hours")
    @classmethod
    def _some_hours(cls, hours: tuple[int, int] | None) -> tuple[int, int] | None:
        if hours and hours[0] == hours[1]:
            raise ValueError("from an hour to the same hour: name two, such as [18, 24]")
        return hours

    def selector(self) -> Selector:
        """The same for the core."""
        days = tuple(at for at, day in enumerate(WEEKDAYS) if day in self.days)
        return Selector(self.events, self.where, self.hours, days)


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
        if self.kind in ATTRIBUTE_KINDS:
            raise ValueError(f"kind {self.kind} is told, not measured: put it under `attributes`")
        if self.kind in {Kind.SUM, Kind.MEAN} and self.of is None:
            raise ValueError(f"kind {self.kind} needs `of: value` or `of: quantity`")
        if self.kind is Kind.RATIO and self.among is None:
            raise ValueError("kind ratio needs `among: {events: [...]}`")
        if self.where and self.kind not in DECAYING - {Kind.INTERVAL, Kind.DISTINCT}:
            raise ValueError(f"kind {self.kind} takes no `where`")
        if self.kind is Kind.TENURE and (self.events or self.hours or self.days):
            raise ValueError("kind tenure takes no `events`, `hours` or `days`")
        if self.among and self.kind is not Kind.RATIO:
            raise ValueError(f"kind {self.kind} takes no `among`")
        if self.of and self.kind not in {Kind.SUM, Kind.MEAN}:
            raise ValueError(f"kind {self.kind} takes no `of`")
        if self.half_life_days is not None and self.kind not in DECAYING:
            raise ValueError(f"kind {self.kind} takes no half_life_days")
        return self

    def feature(self, name: str, currency: str = "") -> Feature:
        """The same for the core; `currency` is that of its values."""
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
            currency=currency if self.of == "value" else "",
        )


class AttributeConfig(Strict):
    """A trait of customers that takes part in grouping them."""

    kind: Literal["number", "flag", "category"] = "category"
    trait: TraitPath | None = Field(None, description="where it stands; its own name if not given")
    values: tuple[TraitValue, ...] = Field((), max_length=MAX_VALUES)
    ordered: bool = False
    buckets: int = Field(16, ge=2, le=MAX_VALUES)
    scale: Scale = "linear"
    weight: Positive = 0.5
    unit: str = ""
    high: str = ""
    low: str = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        form = "ordered category" if self.ordered and self.kind == "category" else self.kind
        for name in sorted(self.model_fields_set - {"kind", "trait", "weight"} - _TAKES[form]):
            raise ValueError(f"kind {form} takes no `{name}`")
        if self.values and "buckets" in self.model_fields_set:
            raise ValueError("with `values` there are no `buckets`")
        if len({value.strip().casefold() for value in self.values}) < len(self.values):
            raise ValueError("values: one is named twice")
        if self.ordered and len(self.values) <= 1:
            raise ValueError("ordered: name two or more `values`, from low to high")
        return self

    def features(self, name: str) -> tuple[Feature, ...]:
        """The same for the core: one coordinate, or one for each value or bucket."""
        if self.kind == "category" and not self.ordered:
            return self._one_for_each_value(name)
        words = name.replace("_", " ")
        is_flag = self.kind == "flag"
        ranks = f"0 for {self.values[0]} to 1 for {self.values[-1]}" if self.ordered else words
        return (
            Feature(
                name=name,
                kind=Kind.RANK if self.ordered else Kind(self.kind),
                scale=self.scale,
                weight=self.weight,
                unit=self.unit or ranks,
                high=self.high or (words if is_flag else f"high {words}"),
                low=self.low or f"{'no' if is_flag else 'low'} {words}",
                attribute=Attribute(
                    self.trait or name, Form.TEXT if self.ordered else Form(self.kind)
                ),
                values=self.values,
            ),
        )

    def _one_for_each_value(self, name: str) -> tuple[Feature, ...]:
        labels = self.values or [f"group {at + 1}" for at in range(self.buckets)]
        words = name.replace("_", " ")
        return tuple(
            Feature(
                name=f"{name}={label}",
                kind=Kind.CATEGORY if self.values else Kind.BUCKET,
                scale="linear",
                weight=self.weight,
                unit=f"share with {words} {label}",
                high=f"{words} {label}",
                low=f"not {words} {label}",
                attribute=Attribute(self.trait or name, Form.TEXT),
                values=(label,) if self.values else (),
                bucket=(at, len(labels)),
                group=name,
            )
            for at, label in enumerate(labels)
        )
