"""What operators attach to segments: a name of their own, and what downstream needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Label:
    """How a segment is shown; an empty `name` leaves it the one that it was given."""

    name: str = ""
    landing_page: str = ""
    offer: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()

    def called(self, name: str) -> "Label":
        """The label of a segment that the model calls `name`.

        >>> Label(offer="tea").called("Recent buyers").name
        'Recent buyers'
        """
        return self if self.name else replace(self, name=name)


@dataclass(frozen=True, slots=True)
class LabelBook:
    """The labels of a segmentation by segment number; `revision` counts up with every change."""

    revision: int = 0
    labels: Mapping[int, Label] = field(default_factory=dict)

    def of(self, number: int) -> Label:
        """Label of a segment, an empty one where nobody has attached anything."""
        return self.labels.get(number, Label())

    @property
    def names(self) -> dict[int, str]:
        """The names that operators gave, by segment number."""
        return {number: label.name for number, label in self.labels.items() if label.name}


NO_LABELS = LabelBook()
