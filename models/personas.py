"""What a segment is like: values to read, made by `models.portraits`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.identifiers import CustomerId


@dataclass(frozen=True, slots=True)
class Typical:
    """A feature of the members: `value` in `unit`, as `text` tells it; `usual` is everybody's."""

    feature: str
    value: float
    everybody: float
    unit: str
    text: str
    usual: str


@dataclass(frozen=True, slots=True)
class Persona:
    """A segment as its members are, when its model was published.

    `highlights` are the features that set it apart, the strongest first; `typical` are all.
    `revenue_share`, 0 to 1, is the members' part of the sample's revenue, None where no feature
    sums it. `examples` are the customers nearest to the centroid.
    """

    sentence: str
    highlights: tuple[str, ...] = ()
    typical: tuple[Typical, ...] = ()
    revenue_share: float | None = None
    examples: tuple[CustomerId, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError when it did not."""
        revenue = entry["revenue_share"]
        return cls(
            sentence=str(entry["sentence"]),
            highlights=tuple(map(str, entry["highlights"])),
            typical=tuple(
                Typical(
                    str(t["feature"]),
                    float(t["value"]),
                    float(t["everybody"]),
                    str(t["unit"]),
                    str(t["text"]),
                    str(t["usual"]),
                )
                for t in entry["typical"]
            ),
            revenue_share=None if revenue is None else float(revenue),
            examples=tuple(CustomerId(str(customer)) for customer in entry["examples"]),
        )
