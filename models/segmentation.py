"""One way to group customers, and where each of its parts lies in their profiles."""

from dataclasses import dataclass

from models.columns import Floats, Ints, Rows
from models.features import Feature
from models.profiles import ProfileSchema
from models.snapshots import Numbers


@dataclass(frozen=True)
class Segmentation:
    """A named grouping of the customers by some of the features that their profiles have.

    Parameters
    ----------
    name
        The segmentation, one of `schema.segmentations`.
    schema
        Layout of the profiles, shared by all segmentations.
    features
        Coordinates of its vectors, in order, with the weights they have here; a subset of the
        schema's by name.
    """

    name: str
    schema: ProfileSchema
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        positions = [self.schema.names.index(feature.name) for feature in self.features]
        object.__setattr__(self, "_positions", positions)

    @property
    def index(self) -> int:
        """Its place among the segmentations of a profile."""
        return self.schema.segmentations.index(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the coordinates."""
        return tuple(feature.name for feature in self.features)

    def of(self, vectors: Floats) -> Floats:
        """Its coordinates, shape (n, n_features), of vectors of the whole schema."""
        positions: list[int] = self.__dict__["_positions"]
        # By rows, as they came: the order in memory shows in the last digit of a distance.
        return vectors.take(positions, axis=1)

    def vectors(self, rows: Rows, now_ms: int | Ints) -> Floats:
        """Its vectors at a time, or each at a time of its own, shape (n, n_features)."""
        return self.of(self.schema.vectors(rows, now_ms))

    def numbers(self, rows: Rows) -> Numbers:
        """The segment that each profile was last put in, shape (n,); 0 for none."""
        found: Numbers = rows["segment"][:, self.index]
        return found
