"""Where what lies in a stored profile, and how one schema's profile is read by another, by name."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from models.columns import Rows
from models.features import Attribute, Feature, Kind, Selector
from models.packing import Packing, pad

REMEMBERED_IDS = 16
FIRST_PACKED = 3
DAY_MS = 86_400_000

Places = list[tuple[int, int]]
SlotMeasure = Literal["one", "value", "quantity", "gap", "gaps"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A decayed sum: of which events, of what, and how fast it fades (None: never)."""

    selector: Selector
    measure: SlotMeasure
    half_life_days: float | None

    @property
    def key(self) -> str:
        """Name in stored layouts, without the half-life."""
        return f"{self.selector.key}:{self.measure}"

    @property
    def name(self) -> str:
        """Name in stored layouts."""
        return f"{self.key}@{self.half_life_days or 'ever'}"


@dataclass(frozen=True, slots=True)
class DistinctSlot:
    """A distinct count of categories: among which events, over which window."""

    selector: Selector
    window_ms: int

    @property
    def name(self) -> str:
        """Name in stored layouts."""
        return f"{self.selector.key}:distinct@{self.window_ms}"


def distinct_slot(feature: Feature) -> DistinctSlot:
    """The distinct count that a feature is."""
    half_life_ms = (feature.half_life_days or feature.cap_days) * DAY_MS
    return DistinctSlot(feature.selector, round(half_life_ms / math.log(2)))


def slots_of(feature: Feature) -> tuple[Slot, ...]:
    """Decayed sums that a feature is computed from, in the order its formula reads them."""
    half_life = feature.half_life_days
    one = Slot(feature.selector, "one", half_life)
    match feature.kind:
        case Kind.COUNT:
            return (one,)
        case Kind.SUM:
            return (Slot(feature.selector, feature.of or "value", half_life),)
        case Kind.MEAN:
            return (Slot(feature.selector, feature.of or "value", half_life), one)
        case Kind.RATIO:
            return (one, Slot(feature.among or Selector(), "one", half_life))
        case Kind.INTERVAL:
            # Gaps are counted apart from events: the first event of a customer closes none.
            gaps = Slot(feature.selector, "gaps", half_life)
            return (Slot(feature.selector, "gap", half_life), gaps)
    return ()


ASSIGNED = ("version", "segment", "previous", "model", "since_ms")
"""What a profile keeps for each segmentation."""


def record_of(
    n_times: int,
    n_sums: int,
    n_distinct: int,
    n_segmentations: int = 1,
    n_attributes: int = 0,
    *,
    is_packed: bool = True,
) -> np.dtype[np.void]:
    """Record layout: a head of 8 bytes, whole numbers, then words that are zero or use all 8 bytes.

    Formats 1 and 2 were not packed (`models/packing.py`): there, what was most often zero stood
    last, and `presence_bytes` and, in format 1, `segmentations` were 0.
    """
    each = (n_segmentations,)
    times = [("times", "<i8", (n_times,))]
    sums = [("sums", "<f8", (n_sums,))]
    distinct = [("window", "<i8", (n_distinct,)), ("bits", "<u8", (n_distinct, 2))]
    attributes = [("attributes", "<f8", (n_attributes,))]
    attribute_ms = [("attribute_ms", "<i8", (n_attributes,))]
    counted = (
        [*times, *distinct, *attribute_ms, *sums, *attributes]
        if is_packed
        else [*times, *sums, *distinct, *attributes, *attribute_ms]
    )
    fields: list[tuple[Any, ...]] = [
        ("format", "u1"),
        ("segmentations", "u1"),
        ("presence_bytes", "<u2"),
        ("schema", "<u4"),
        ("version", "<u4", each),
        ("segment", "<u4", each),
        ("previous", "<u4", each),
        ("model", "<u4", each),
        ("since_ms", "<i8", each),
        ("incarnation", "<i8"),
        ("first_ms", "<i8"),
        ("last_ms", "<i8"),
        ("visit_ms", "<i8"),
        ("session", "<u8"),
        *counted,
        ("ids", "<u8", (REMEMBERED_IDS,)),
    ]
    return np.dtype(fields)


_HEAD = {"format", "segmentations", "presence_bytes", "schema", *ASSIGNED}
_BY_NAME = _HEAD | {"times", "sums", "window", "bits", "attributes", "attribute_ms"}


class Wanted(Protocol):
    """What a schema keeps of each customer."""

    @property
    def time_slots(self) -> tuple[Selector, ...]:
        """Selectors whose latest event time is kept."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Decayed sums."""

    @property
    def distinct_slots(self) -> tuple[DistinctSlot, ...]:
        """Distinct counts."""

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Traits that are kept."""

    @property
    def segmentations(self) -> tuple[str, ...]:
        """Names of the segmentations, in the order of what is kept for each."""

    def empty(self, n: int) -> Rows:
        """`n` profiles of customers that were never seen."""


@dataclass(frozen=True, slots=True)
class StoredLayout:
    """How profiles of another schema or format lie, so that they can be read by name.

    `segmentations` is None in format 1, which had one and did not say its name.
    """

    segmentations: tuple[str, ...] | None
    times: tuple[str, ...]
    sums: tuple[str, ...]
    distinct: tuple[str, ...]
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, layout: Mapping[str, Sequence[str]]) -> "StoredLayout":
        """The layout that `ProfileSchema.layout` described."""
        times, sums, distinct = (tuple(layout[name]) for name in ("times", "sums", "distinct"))
        named = tuple(layout["segmentations"]) if "segmentations" in layout else None
        attributes = tuple(layout.get("attributes", ()))
        return cls(named, times, sums, distinct, attributes)

    def record(self, *, is_packed: bool) -> np.dtype[np.void]:
        """Record of one profile."""
        return record_of(
            len(self.times),
            len(self.sums),
            len(self.distinct),
            1 if self.segmentations is None else len(self.segmentations),
            len(self.attributes),
            is_packed=is_packed,
        )

    def read(self, blobs: Sequence[bytes], stored_format: int) -> Rows:
        """The profiles as they were stored.

        Raises
        ------
        DamagedProfileError
            A blob has not the size that it says.
        """
        if stored_format >= FIRST_PACKED:
            return Packing(self.record(is_packed=True)).unpack(blobs)
        dtype = self.record(is_packed=False)
        return np.frombuffer(pad(blobs, dtype.itemsize), dtype)

    def translate(self, old: Rows, schema: Wanted) -> Rows:
        """The profiles under `schema`: what both know is kept, what is new starts empty.

        An accumulator whose half-life changed goes on from the old one with the nearest half-life.
        """
        rows = schema.empty(old.size)
        for name in old.dtype.names or ():
            if name not in _BY_NAME:
                rows[name] = old[name]
        for fields, places in self._shared(schema):
            for here, there in places:
                for name in fields:
                    rows[name][:, here] = old[name][:, there]
        return rows

    def _shared(self, schema: Wanted) -> Iterator[tuple[Sequence[str], Places]]:
        """Fields, and where in them what both schemas know stands: here now, there before."""
        told = schema.segmentations[:1] if self.segmentations is None else self.segmentations
        yield ASSIGNED, _places(schema.segmentations, told)
        yield ("times",), _places([selector.key for selector in schema.time_slots], self.times)
        sums = ((at, self._nearest_sum(slot)) for at, slot in enumerate(schema.slots))
        yield ("sums",), [(at, found) for at, found in sums if found is not None]
        distinct = [slot.name for slot in schema.distinct_slots]
        yield ("window", "bits"), _places(distinct, self.distinct)
        attributes = [attribute.name for attribute in schema.attributes]
        yield ("attributes", "attribute_ms"), _places(attributes, self.attributes)

    def _nearest_sum(self, slot: Slot) -> int | None:
        def distance(at: int) -> float:
            old = float(self.sums[at].rpartition("@")[2].replace("ever", "inf"))
            new = slot.half_life_days or math.inf
            return 0.0 if old == new else abs(math.log(new) - math.log(old))

        alike = [at for at, name in enumerate(self.sums) if name.rpartition("@")[0] == slot.key]
        return min(alike, key=distance, default=None)


def _places(wanted: Sequence[str], known: Sequence[str]) -> Places:
    return [(at, known.index(name)) for at, name in enumerate(wanted) if name in known]
