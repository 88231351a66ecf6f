"""What is measured of a customer: definitions that a profile schema is compiled from."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """How a feature is computed from a customer's decayed accumulators."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    RATIO = "ratio"
    RECENCY = "recency"
    TENURE = "tenure"
    INTERVAL = "interval"
    DISTINCT = "distinct"
    NUMBER = "number"
    FLAG = "flag"
    CATEGORY = "category"
    RANK = "rank"
    BUCKET = "bucket"


ATTRIBUTE_KINDS = frozenset({Kind.NUMBER, Kind.FLAG, Kind.CATEGORY, Kind.RANK, Kind.BUCKET})
"""What is read from a trait that the customer told, rather than from accumulators."""


class Flag(StrEnum):
    """A property of an event, beyond its type, that a selector can ask for."""

    DISCOUNTED = "discounted"
    SESSION_START = "session_start"


class Form(StrEnum):
    """How the value of a trait is kept."""

    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"


Measure = Literal["value", "quantity"]
Scale = Literal["log", "linear"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Which events count: of these types (none named: every behaviour), at these local times.

    `hours` runs from its first up to its second hour of the day, past midnight where the second
    is smaller; `days` counts from Monday, 0. Neither given: at any time.
    """

    events: tuple[str, ...] = ()
    where: Flag | None = None
    hours: tuple[int, int] | None = None
    days: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Stable text of what is selected, for the names of stored accumulators."""
        key = "+".join(sorted(self.events)) or "*"
        if self.where:
            key += f"?{self.where}"
        if self.hours:
            key += "?hours={}-{}".format(*self.hours)
        if self.days:
            key += f"?days={'+'.join(map(str, sorted(self.days)))}"
        return key


@dataclass(frozen=True, slots=True)
class Attribute:
    """A trait of customers that profiles keep; `trait` is its path, such as `address.country`."""

    trait: str
    form: Form

    @property
    def name(self) -> str:
        """Name in stored layouts."""
        return f"{self.trait}:{self.form}"


@dataclass(frozen=True, slots=True)
class Feature:
    """One coordinate of a customer's vector.

    `half_life_days` of None means that nothing is forgotten. `cap_days` is what recency,
    tenure and interval end at, and what recency and interval are before there was an event.
    `high` and `low` are the words for a segment that has much or little of it; `currency` is
    that of a feature that measures money.

    A feature of an `attribute` is NaN where it is not known. `values` are a category's one value
    or all that are ranked, `bucket` is the number of a bucket and how many there are.
    Features of one `group` are scaled together, and have its name where weights are given.
    """

    name: str
    kind: Kind
    selector: Selector = Selector()
    among: Selector | None = None
    of: Measure | None = None
    half_life_days: float | None = None
    cap_days: float = 365.0
    prior: float = 1.0
    scale: Scale = "log"
    weight: float = 1.0
    unit: str = ""
    high: str = ""
    low: str = ""
    currency: str = ""
    attribute: Attribute | None = None
    values: tuple[str, ...] = ()
    bucket: tuple[int, int] = (0, 1)
    group: str = ""
