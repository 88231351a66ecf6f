"""A customer's profile: its layout, its stored form and the vector it stands for.

Profiles are records of one NumPy structured array, so that a batch is updated, scored and stored
by array operations. The layout is compiled from the features of a segmentation: accumulators
that several features need are kept once.

A decayed accumulator holds its value as of the profile's `last_ms`; at a later *now* it has
shrunk by ``2 ** -((now - last_ms) / half_life)``. Distinct values are counted in two 64-bit
bitmaps, one for the current time window and one for the window before, by linear counting
(Whang, Vander-Zanden and Taylor, 1990, "A linear-time probabilistic counting algorithm"); the
older window fades linearly while the current one passes. A window lasts half_life / ln 2, the
mean life of what decays with that half-life.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from models.columns import Bools, Floats, Ints, Rows
from models.errors import ShoalError
from models.features import Feature, Kind, Selector
from models.identifiers import hash64

FORMAT = 1
REMEMBERED_IDS = 16
DAY_MS = 86_400_000
BITS = 64
OTHER_TYPE = 0

SlotMeasure = Literal["one", "value", "quantity", "gap", "gaps"]


class UnknownProfileError(ShoalError):
    """A stored profile has a format or a schema that this process cannot read."""

    def __init__(self, message: str, *, schema_id: int) -> None:
        super().__init__(message)
        self.schema_id = schema_id


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


@dataclass(frozen=True)
class ProfileSchema:
    """The layout that a list of features needs, and everything that depends on it alone.

    Parameters
    ----------
    features
        The coordinates of a customer's vector, in order.
    session_timeout_minutes
        A visit ends after this long without an event, where events carry no session id.
    """

    features: tuple[Feature, ...]
    session_timeout_minutes: float = 30.0
    _older: dict[int, "StoredLayout"] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of a vector's coordinates."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Decayed sums, each once."""
        return tuple(dict.fromkeys(slot for feature in self.features for slot in _slots(feature)))

    @cached_property
    def time_slots(self) -> tuple[Selector, ...]:
        """Selectors whose latest event time is kept."""
        kinds = (Kind.RECENCY, Kind.INTERVAL)
        return tuple(dict.fromkeys(f.selector for f in self.features if f.kind in kinds))

    @cached_property
    def distinct_slots(self) -> tuple[DistinctSlot, ...]:
        """Distinct counts, each once."""
        return tuple(
            dict.fromkeys(_distinct_slot(f) for f in self.features if f.kind is Kind.DISTINCT)
        )

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Code of each event type that a feature names; all others are `OTHER_TYPE`."""
        named = sorted(
            {
                name
                for feature in self.features
                for selector in (feature.selector, feature.among or Selector())
                for name in selector.events
            }
        )
        return {name: code for code, name in enumerate(named, start=OTHER_TYPE + 1)}

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """Record of one profile."""
        return _dtype(len(self.time_slots), len(self.slots), len(self.distinct_slots))

    @cached_property
    def layout(self) -> dict[str, list[str]]:
        """What tells a later version of the configuration how to read these profiles."""
        return {
            "times": [selector.key for selector in self.time_slots],
            "sums": [slot.name for slot in self.slots],
            "distinct": [slot.name for slot in self.distinct_slots],
        }

    @cached_property
    def id(self) -> int:
        """Hash of the layout, kept in every stored profile."""
        return hash64(repr(self.layout)) & 0xFFFF_FFFF

    def empty(self, n: int) -> Rows:
        """`n` profiles of customers that were never seen."""
        rows = np.zeros(n, dtype=self.dtype)
        rows["format"] = FORMAT
        rows["schema"] = self.id
        return rows

    def encode(self, rows: Rows) -> list[bytes]:
        """Stored form of each profile: its record without the zeros at the end."""
        data, size = rows.tobytes(), self.dtype.itemsize
        return [data[at : at + size].rstrip(b"\0") for at in range(0, len(data), size)]

    def decode(self, blobs: Sequence[bytes | None]) -> Rows:
        """Profiles from their stored form; None is a customer that was never seen.

        Raises
        ------
        UnknownProfileError
            A profile's format is newer than this code, or its schema is not known yet
            (see `learn_layout`).
        """
        size = self.dtype.itemsize
        new = self.empty(1).tobytes()
        own = new[:8]
        rows = np.frombuffer(
            b"".join(new if blob is None else blob.ljust(size, b"\0")[:size] for blob in blobs),
            dtype=self.dtype,
        ).copy()
        for at, blob in enumerate(blobs):
            if blob is not None and blob[:8] != own:
                rows[at] = self._decode_older(blob)
        return rows

    def learn_layout(self, schema_id: int, layout: Mapping[str, Sequence[str]]) -> None:
        """Make profiles that were stored under another schema readable, by name."""
        self._older[schema_id] = StoredLayout.of(layout)

    def _decode_older(self, blob: bytes) -> np.void:
        version = blob[0]
        schema_id = int.from_bytes(blob[4:8], "little")
        if version != FORMAT:
            raise UnknownProfileError(
                f"a stored profile has format {version}, this Shoal reads {FORMAT}: "
                "run the Shoal version that wrote it, or a newer one",
                schema_id=schema_id,
            )
        layout = self._older.get(schema_id)
        if layout is None:
            raise UnknownProfileError(
                f"a stored profile has the unknown feature schema {schema_id:08x}: its layout is "
                "missing from Redis; begin anew under another SHOAL_NAMESPACE",
                schema_id=schema_id,
            )
        return layout.translate(blob, self)

    def vectors(self, rows: Rows, now_ms: int | Ints) -> Floats:
        """Feature vectors at a time, or each at a time of its own, in the features' own units.

        Returns
        -------
        Shape (n_customers, n_features), finite.
        """
        sums = rows["sums"] * self._decay(np.maximum(now_ms - rows["last_ms"], 0))
        columns = [
            self._coordinate(feature, inputs, rows, sums, now_ms)
            for feature, inputs in zip(self.features, self._inputs, strict=True)
        ]
        return np.stack(columns, axis=1) if columns else np.empty((rows.size, 0))

    def _decay(self, age_ms: np.ndarray) -> Floats:
        """Factor of each slot after `age_ms` without an event, shape (n, n_slots)."""
        return np.exp2(-age_ms[:, None] * self.decay_rates)

    @cached_property
    def decay_rates(self) -> Floats:
        """Half-lives that pass in a millisecond, for each slot; 0 where nothing fades."""
        return np.array(
            [1 / (s.half_life_days * DAY_MS) if s.half_life_days else 0.0 for s in self.slots]
        )

    @cached_property
    def _inputs(self) -> tuple[tuple[int, ...], ...]:
        """What each feature is computed from: indices of its times, bitmaps or sums."""
        return tuple(self._inputs_of(feature) for feature in self.features)

    def _inputs_of(self, feature: Feature) -> tuple[int, ...]:
        match feature.kind:
            case Kind.RECENCY:
                return (self.time_slots.index(feature.selector),)
            case Kind.DISTINCT:
                return (self.distinct_slots.index(_distinct_slot(feature)),)
        return tuple(self.slots.index(slot) for slot in _slots(feature))

    @cached_property
    def wanted_types(self) -> Mapping[Selector, Bools]:
        """Whether a selector takes events of each type, by its code; shape (n_types + 1,)."""
        selectors = [slot.selector for slot in self.slots]
        selectors += [slot.selector for slot in self.distinct_slots]
        tables = {}
        for selector in dict.fromkeys((*selectors, *self.time_slots)):
            codes = [self.types[name] for name in selector.events]
            tables[selector] = np.full(len(self.types) + 1, not selector.events)
            tables[selector][codes] = True
        return tables

    def _coordinate(
        self,
        feature: Feature,
        inputs: tuple[int, ...],
        rows: Rows,
        sums: Floats,
        now_ms: int | Ints,
    ) -> Floats:
        cap = feature.cap_days
        match feature.kind:
            case Kind.RECENCY:
                last = rows["times"][:, inputs[0]]
                since: Floats = np.clip((now_ms - last) / DAY_MS, 0, cap)
                return np.where(last > 0, since, cap)
            case Kind.TENURE:
                first = np.where(rows["first_ms"] > 0, rows["first_ms"], now_ms)
                return np.clip((now_ms - first) / DAY_MS, 0, cap)
            case Kind.DISTINCT:
                return self._distinct(rows, inputs[0], now_ms)
            case Kind.COUNT | Kind.SUM:
                return sums[:, inputs[0]]
        top, bottom = sums[:, inputs[0]], sums[:, inputs[1]]
        if feature.kind is Kind.RATIO:
            return top / (bottom + feature.prior)
        seen = bottom > 0
        mean = np.divide(top, bottom, out=np.zeros_like(top), where=seen)
        return np.where(seen, np.minimum(mean, cap), cap) if feature.kind is Kind.INTERVAL else mean

    def _distinct(self, rows: Rows, index: int, now_ms: int | Ints) -> Floats:
        window_ms = self.distinct_slots[index].window_ms
        window, passed = divmod(now_ms, window_ms)
        age = window - rows["window"][:, index]
        current, previous = rows["bits"][:, index, 0], rows["bits"][:, index, 1]
        recent = np.where(age <= 0, current, 0).astype(np.uint64)
        before = np.where(age <= 0, previous, np.where(age == 1, current, 0)).astype(np.uint64)
        inside = _linear_count(recent)
        both = _linear_count(recent | before)
        return inside + (both - inside) * (1 - passed / window_ms)


def _linear_count(bitmaps: np.ndarray) -> Floats:
    """Estimated number of distinct values behind 64-bit bitmaps.

    >>> _linear_count(np.array([0, 1], dtype=np.uint64)).round(2).tolist()
    [0.0, 1.01]
    """
    empty = np.maximum(BITS - np.bitwise_count(bitmaps).astype(np.float64), 0.5)
    count: Floats = BITS * np.log(BITS / empty)
    return count


def _distinct_slot(feature: Feature) -> DistinctSlot:
    half_life_ms = (feature.half_life_days or feature.cap_days) * DAY_MS
    return DistinctSlot(feature.selector, round(half_life_ms / math.log(2)))


def _slots(feature: Feature) -> tuple[Slot, ...]:
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


def _dtype(n_times: int, n_sums: int, n_distinct: int) -> np.dtype[np.void]:
    """Record layout; what is most often zero stands last, so that it need not be stored."""
    fields: list[tuple[Any, ...]] = [
        ("format", "u1"),
        ("reserved", "u1", (3,)),
        ("schema", "<u4"),
        ("version", "<u4"),
        ("segment", "<u4"),
        ("previous", "<u4"),
        ("model", "<u4"),
        ("since_ms", "<i8"),
        ("incarnation", "<i8"),
        ("first_ms", "<i8"),
        ("last_ms", "<i8"),
        ("visit_ms", "<i8"),
        ("session", "<u8"),
        ("times", "<i8", (n_times,)),
        ("sums", "<f8", (n_sums,)),
        ("window", "<i8", (n_distinct,)),
        ("bits", "<u8", (n_distinct, 2)),
        ("ids", "<u8", (REMEMBERED_IDS,)),
    ]
    return np.dtype(fields)


@dataclass(frozen=True, slots=True)
class StoredLayout:
    """How profiles of another schema lie, so that they can be read by name."""

    dtype: np.dtype[np.void]
    times: tuple[str, ...]
    sums: tuple[str, ...]
    distinct: tuple[str, ...]

    @classmethod
    def of(cls, layout: Mapping[str, Sequence[str]]) -> "StoredLayout":
        """The layout that `ProfileSchema.layout` described."""
        times, sums, distinct = (tuple(layout[name]) for name in ("times", "sums", "distinct"))
        return cls(_dtype(len(times), len(sums), len(distinct)), times, sums, distinct)

    def translate(self, blob: bytes, schema: ProfileSchema) -> np.void:
        """The profile under `schema`: what both know is kept, what is new starts empty.

        An accumulator whose half-life changed goes on from the old one with the nearest half-life.
        """
        old = np.frombuffer(blob.ljust(self.dtype.itemsize, b"\0"), dtype=self.dtype)[0]
        row: np.void = schema.empty(1)[0]
        for name in self.dtype.names or ():
            if name not in {"schema", "times", "sums", "window", "bits"}:
                row[name] = old[name]
        for at, selector in enumerate(schema.time_slots):
            if selector.key in self.times:
                row["times"][at] = old["times"][self.times.index(selector.key)]
        for at, slot in enumerate(schema.slots):
            if (found := self._nearest_sum(slot)) is not None:
                row["sums"][at] = old["sums"][found]
        for at, distinct in enumerate(schema.distinct_slots):
            if distinct.name in self.distinct:
                found = self.distinct.index(distinct.name)
                row["window"][at] = old["window"][found]
                row["bits"][at] = old["bits"][found]
        return row

    def _nearest_sum(self, slot: Slot) -> int | None:
        def distance(at: int) -> float:
            old = float(self.sums[at].rpartition("@")[2].replace("ever", "inf"))
            new = slot.half_life_days or math.inf
            return 0.0 if old == new else abs(math.log(new) - math.log(old))

        alike = [at for at, name in enumerate(self.sums) if name.rpartition("@")[0] == slot.key]
        return min(alike, key=distance, default=None)
