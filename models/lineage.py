"""What a model says of itself: why it is there, and how its segments came about.

Segments and groups are named by their numbers; 0 stands for none.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

Reason = Literal["first", "features", "growth", "drift", "granularity", "news", "time", "rollback"]
"""Why a model was published.

`first`: there was none; `features`: other features are measured; `growth`: the sample has
outgrown the model; `drift`: customers are not where they were; `granularity`: another number of
segments, or another start, was better and is looked at again; `news`: many customers came or
left; `time`: quiet customers have moved by themselves; `rollback`: an operator went back.
"""
REASONS: tuple[str, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Lineage:
    """How the segments came from those of the model before, which is version `previous`.

    `restored` is the version that a rollback brought back. `died` pairs a segment with its
    successor; `splits` an old one with the new ones that took a quarter of it or more; `merges` a
    new one with the old ones that make up a quarter or more.
    """

    previous: int = 0
    restored: int = 0
    born: tuple[int, ...] = ()
    died: tuple[tuple[int, int], ...] = ()
    splits: tuple[tuple[int, tuple[int, ...]], ...] = ()
    merges: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError when it did not."""
        return cls(
            previous=int(entry["previous"]),
            restored=int(entry["restored"]),
            born=_numbers(entry["born"]),
            died=tuple((int(old), int(heir)) for old, heir in entry["died"]),
            splits=tuple((int(old), _numbers(into)) for old, into in entry["splits"]),
            merges=tuple((int(new), _numbers(of)) for new, of in entry["merges"]),
        )


@dataclass(frozen=True, slots=True)
class Granularity:
    """Why there are `k` segments: the score of each number that was tried, and it in words."""

    k: int
    scores: tuple[tuple[int, float], ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError when it did not."""
        scores = tuple((int(k), float(score)) for k, score in entry["scores"])
        return cls(int(entry["k"]), scores, str(entry["reason"]))


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that belong together in a coarser view; they join at `height`, in scaled units."""

    number: int
    segments: tuple[int, ...]
    height: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError when it did not."""
        return cls(
            int(entry["number"]),
            _numbers(entry["segments"]),
            float(entry["height"]),
        )


def _numbers(entries: list[Any]) -> tuple[int, ...]:
    return tuple(int(number) for number in entries)
