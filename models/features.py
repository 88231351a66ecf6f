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


class Flag(StrEnum):
    """A property of an event, beyond its type, that a selector can ask for."""

    DISCOUNTED = "discounted"
    SESSION_START = "session_start"


Measure = Literal["value", "quantity"]
Scale = Literal["log", "linear"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Which events count: of these types (none named: every type) and with this flag."""

    events: tuple[str, ...] = ()
    where: Flag | None = None

    @property
    def key(self) -> str:
        """Stable text of what is selected, for the names of stored accumulators."""
        types = "+".join(sorted(self.events)) or "*"
        return f"{types}?{self.where}" if self.where else types


@dataclass(frozen=True, slots=True)
class Feature:
    """One coordinate of a customer's vector.

    `half_life_days` of None means that nothing is forgotten. `cap_days` is what recency,
    tenure and interval end at, and what recency and interval are before there was an event.
    `high` and `low` are the words for a segment that has much or little of it.
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
