"""What is in force: of each segmentation the model, and what operators call its segments."""

from dataclasses import dataclass, field

from models.identifiers import hash64
from models.labels import NO_LABELS, Label, LabelBook
from models.segmentation import Segmentation
from models.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Edition:
    """The model of a segmentation, None before there is one, and the labels of its segments.

    `shown` says how each segment in force is shown, by its number: an operator's name wins.
    `digest` is a hash of that, 0 before there is a model.
    """

    segmentation: Segmentation
    model: Snapshot | None = None
    labels: LabelBook = NO_LABELS
    shown: dict[int, Label] = field(init=False, compare=False)
    digest: int = field(init=False)

    def __post_init__(self) -> None:
        segments = self.model.segments if self.model else ()
        shown = {s.number: self.labels.of(s.number).called(s.name) for s in segments}
        object.__setattr__(self, "shown", shown)
        object.__setattr__(self, "digest", hash64(repr(sorted(shown.items()))) if shown else 0)

    @property
    def version(self) -> int:
        """Version of the model, 0 before there is one."""
        return self.model.version if self.model else 0


Editions = tuple[Edition, ...]
"""One edition of each segmentation, in the order of what profiles keep for them."""


def versions(editions: Editions) -> tuple[int, ...]:
    """Version of the model of each segmentation."""
    return tuple(edition.version for edition in editions)


def sample_threshold(editions: Editions) -> float:
    """Part of all customers, 0 to 1, that some trainer learns from."""
    return max(edition.model.sample_threshold if edition.model else 1.0 for edition in editions)
