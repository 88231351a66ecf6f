"""What every contender with logic does to a customer: a decayed profile, scaled and assigned.

A part of Shoal's default features and no more: half of the coordinates, no memory of event ids, no
hysteresis, so that nobody is slow for want of leaving work out. Only the standard library is
imported: contenders run in environments that know nothing of Shoal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

DAY_MS = 86_400_000
RECENCY_DAYS, TENURE_DAYS = 180, 730

HALF_LIFE_DAYS = {
    "frequency": 60,
    "monetary": 60,
    "views": 14,
    "carts": 14,
    "sessions": 30,
    "email_engagement": 30,
    "support_contacts": 60,
}
"""Decayed sums by the name of the feature that each is."""

COUNTED_AS = {
    "order_completed": "frequency",
    "product_viewed": "views",
    "product_list_viewed": "views",
    "product_clicked": "views",
    "product_added": "carts",
    "email_opened": "email_engagement",
    "email_clicked": "email_engagement",
    "support_contacted": "support_contacts",
}
FEATURES = ("recency", *HALF_LIFE_DAYS, "tenure")

Profile = dict[str, Any]


def take(profile: Profile, event: Mapping[str, Any]) -> None:
    """Count an event in a profile, in place; an empty one is a customer never seen before.

    >>> ann = {}
    >>> for day in ("01", "15"):
    ...     take(ann, {"type": "product_viewed", "timestamp": f"2024-01-{day}T00:00:00Z"})
    >>> ann["events"], ann["views"]
    (2, 1.5)
    """
    time_ms = round(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000)
    if not profile:
        profile.update(dict.fromkeys(HALF_LIFE_DAYS, 0.0))
        profile.update(events=0, first_ms=time_ms, last_ms=time_ms, order_ms=0, session="")
    late_days = (profile["last_ms"] - time_ms) / DAY_MS
    if late_days < 0:
        for name, half_life in HALF_LIFE_DAYS.items():
            profile[name] *= 2.0 ** (late_days / half_life)
        profile["last_ms"] = time_ms
    profile["events"] += 1
    for name, amount in _amounts(profile, event).items():
        profile[name] += amount * 2.0 ** (-max(late_days, 0.0) / HALF_LIFE_DAYS[name])
    if event["type"] == "order_completed":
        profile["order_ms"] = max(profile["order_ms"], time_ms)


def _amounts(profile: Profile, event: Mapping[str, Any]) -> dict[str, float]:
    kind, amounts = event["type"], {}
    if name := COUNTED_AS.get(kind):
        amounts[name] = 1.0
    if kind == "order_completed":
        amounts["monetary"] = float(event["properties"]["revenue"])
    session = event.get("session_id", "")
    if session and session != profile["session"]:
        profile["session"] = session
        amounts["sessions"] = 1.0
    return amounts


def vector(profile: Profile) -> dict[str, float]:
    """The features of a profile as it stands at its customer's last event."""
    last_ms, order_ms = profile["last_ms"], profile["order_ms"]
    recency = (last_ms - order_ms) / DAY_MS if order_ms else RECENCY_DAYS
    return {
        "recency": min(recency, RECENCY_DAYS),
        **{name: profile[name] for name in HALF_LIFE_DAYS},
        "tenure": min((last_ms - profile["first_ms"]) / DAY_MS, TENURE_DAYS),
    }


@dataclass(frozen=True, slots=True)
class Column:
    """How a feature is scaled: as `models.scaling` does, with the weight in the divisor."""

    name: str
    log: bool
    low: float
    high: float
    centre: float
    divisor: float

    def curve(self, value: float) -> float:
        """The value after log and limits, still to be centred and divided."""
        if self.log:
            value = math.copysign(math.log1p(abs(value)), value)
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Model:
    """Centroids that somebody has published; `segments` names them."""

    columns: Sequence[Column]
    centroids: Sequence[Sequence[float]]
    segments: Sequence[str]

    @classmethod
    def of(cls, snapshot: str | bytes) -> Self:
        """The part of a model of Shoal's that is about these features."""
        content = json.loads(snapshot)
        places = {column["name"]: at for at, column in enumerate(content["scaler"])}
        chosen = [(places[name], content["scaler"][places[name]]) for name in FEATURES]
        columns = [
            Column(
                name=column["name"],
                log=column["log"],
                low=column["low"],
                high=column["high"],
                centre=column["centre"],
                divisor=column["divisor"] / column["weight"],
            )
            for _, column in chosen
        ]
        centroids = [[row[at] for at, _ in chosen] for row in content["centroids"]]
        return cls(columns, centroids, [segment["id"] for segment in content["segments"]])

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        columns = [Column(**column) for column in content["columns"]]
        return cls(columns, content["centroids"], content["segments"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def segment_of(self, profile: Profile) -> str:
        """The segment whose centroid is nearest to a profile."""
        features = vector(profile)
        point = [
            (column.curve(features[column.name]) - column.centre) / column.divisor
            for column in self.columns
        ]
        distances = [math.dist(point, centroid) for centroid in self.centroids]
        return self.segments[distances.index(min(distances))]
