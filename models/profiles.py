"""A customer's profile: its layout, its stored form and the vector it stands for.

Profiles are records of one NumPy structured array, so that a batch is updated, scored and stored
by array operations. The layout is compiled from the features of a segmentation: accumulators
that several features need are kept once.

A decayed accumulator holds its value as of the profile's `last_ms`; at a later *now* it has
shrunk by ``2 ** -((now - last_ms) / half_life)``. Distinct values are counted in two 64-bit
bitmaps (`models/distinct.py`), one for the current time window and one for the window before; the
older window fades linearly while the current one passes. A window lasts half_life / ln 2, the
mean life of what decays with that half-life.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from models.columns import Bools, Floats, Ints, Rows, put
from models.errors import ShoalError
from models.features import Attribute, Feature, Kind, Selector
from models.formats import FORMAT
from models.identifiers import hash64
from models.layout import (
    DAY_MS,
    DistinctSlot,
    Slot,
    StoredLayout,
    distinct_slot,
    record_of,
    slots_of,
)
from models.packing import HEAD_BYTES, Packing, by_head
from models.vectors import KindOfFeatures, by_kind

__all__ = ["DAY_MS", "ProfileSchema", "UnknownProfileError"]

OTHER_TYPE = 0
MOST_HALF_LIVES = 900.0
IDENTIFY = "identify"
"""Says what a customer is: no behaviour, so no feature counts it that does not name it."""


class UnknownProfileError(ShoalError):
    """A stored profile has a feature schema whose layout this process has not learned."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(
            f"a stored profile has the feature schema {schema_id:08x}, which Redis does not know: "
            "restore the state as a whole, or run `shoal rebuild`"
        )
        self.schema_id = schema_id


@dataclass(frozen=True)
class ProfileSchema:
    """The layout that a list of features needs, and everything that depends on it alone.

    Parameters
    ----------
    features
        The coordinates of a customer's vector, in order.
    session_timeout_minutes
        A visit ends after this long without an event, where events carry no session id.
    segmentations
        Names of the ways to group customers; what is kept for each has this order.
    timezone
        IANA name of the zone whose hours and weekdays selectors mean.
    """

    features: tuple[Feature, ...]
    session_timeout_minutes: float = 30.0
    segmentations: tuple[str, ...] = ("default",)
    timezone: str = "UTC"
    _older: dict[int, StoredLayout] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of a vector's coordinates."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Decayed sums, each once."""
        return tuple(dict.fromkeys(slot for feature in self.features for slot in slots_of(feature)))

    @cached_property
    def time_slots(self) -> tuple[Selector, ...]:
        """Selectors whose latest event time is kept."""
        kinds = (Kind.RECENCY, Kind.INTERVAL)
        return tuple(dict.fromkeys(f.selector for f in self.features if f.kind in kinds))

    @cached_property
    def distinct_slots(self) -> tuple[DistinctSlot, ...]:
        """Distinct counts, each once."""
        return tuple(
            dict.fromkeys(distinct_slot(f) for f in self.features if f.kind is Kind.DISTINCT)
        )

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """Traits that are kept, each once."""
        return tuple(dict.fromkeys(f.attribute for f in self.features if f.attribute))

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Code of each event type that a feature names, and of `IDENTIFY`; else `OTHER_TYPE`."""
        named = sorted(
            {IDENTIFY}
            | {
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
        return record_of(
            len(self.time_slots),
            len(self.slots),
            len(self.distinct_slots),
            len(self.segmentations),
            len(self.attributes),
        )

    @cached_property
    def layout(self) -> dict[str, list[str]]:
        """What tells a later version of the configuration how to read these profiles."""
        return {
            "times": [selector.key for selector in self.time_slots],
            "sums": [slot.name for slot in self.slots],
            "distinct": [slot.name for slot in self.distinct_slots],
            "segmentations": list(self.segmentations),
            "attributes": [attribute.name for attribute in self.attributes],
        }

    @cached_property
    def id(self) -> int:
        """Hash of the layout, kept in every stored profile."""
        return hash64(repr(self.layout)) & 0xFFFF_FFFF

    @cached_property
    def _packing(self) -> Packing:
        return Packing(self.dtype)

    @cached_property
    def _head(self) -> bytes:
        """What every profile begins with that is stored under this schema."""
        return self.empty(1).tobytes()[:HEAD_BYTES]

    def empty(self, n: int) -> Rows:
        """`n` profiles of customers that were never seen."""
        rows = np.zeros(n, dtype=self.dtype)
        rows["format"] = FORMAT
        rows["segmentations"] = len(self.segmentations)
        rows["presence_bytes"] = self._packing.presence_bytes
        rows["schema"] = self.id
        return rows

    def encode(self, rows: Rows) -> list[bytes]:
        """Stored form of each profile (`models/packing.py`)."""
        return self._packing.pack(rows)

    def decode(self, blobs: Sequence[bytes | None]) -> Rows:
        """Profiles from their stored form; None is a customer that was never seen.

        Raises
        ------
        FutureFormatError
            A profile was stored by a newer Shoal.
        UnknownProfileError
            A profile's schema is not known yet (see `learn_layout`).
        DamagedProfileError
            A profile has not the size that it says.
        """
        known = [blob for blob in blobs if blob]
        if len(known) == len(blobs) and {blob[:HEAD_BYTES] for blob in known} == {self._head}:
            return self._packing.unpack(known)
        rows = self.empty(len(blobs))
        for head, places in by_head(blobs).items():
            put(rows, places, self._read(head, [blobs[at] or b"" for at in places]))
        return rows

    def learn_layout(self, schema_id: int, layout: Mapping[str, Sequence[str]]) -> None:
        """Make profiles that were stored under another schema readable, by name."""
        self._older[schema_id] = StoredLayout.of(layout)

    def segmentations_of(self, schema_id: int) -> tuple[str, ...]:
        """Segmentations of profiles of a schema, in order; today's where that is not known."""
        layout = self._older.get(schema_id)
        known = layout.segmentations if layout else None
        return self.segmentations if known is None else known

    def _read(self, head: bytes, blobs: Sequence[bytes]) -> Rows:
        if head == self._head:
            return self._packing.unpack(blobs)
        schema_id = int.from_bytes(head[4:], "little")
        layout = self._older.get(schema_id)
        if layout is None and schema_id == self.id:
            layout = StoredLayout.of(self.layout)
        if layout is None:
            raise UnknownProfileError(schema_id)
        return layout.translate(layout.read(blobs, stored_format=head[0]), self)

    def vectors(self, rows: Rows, now_ms: int | Ints) -> Floats:
        """Feature vectors at a time, or each at a time of its own, in the features' own units.

        Returns
        -------
        Shape (n_customers, n_features), finite, but NaN where an attribute is not known.
        """
        sums = rows["sums"] * self._decay(np.maximum(now_ms - rows["last_ms"], 0))
        now = np.atleast_1d(np.asarray(now_ms, dtype=np.int64))[:, np.newaxis]
        found = np.empty((rows.size, len(self.features)))
        for group in self._kinds:
            found[:, group.positions] = group.of(rows, sums, now)
        return found

    def _decay(self, age_ms: np.ndarray) -> Floats:
        """Factor of each slot after `age_ms` without an event, shape (n, n_slots)."""
        # Not below what a float can hold: a mean of sums that are gone would be gone as well.
        return np.exp2(-np.minimum(age_ms[:, None] * self.decay_rates, MOST_HALF_LIVES))

    @cached_property
    def decay_rates(self) -> Floats:
        """Half-lives that pass in a millisecond, for each slot; 0 where nothing fades."""
        return np.array(
            [1 / (s.half_life_days * DAY_MS) if s.half_life_days else 0.0 for s in self.slots]
        )

    @cached_property
    def _kinds(self) -> tuple[KindOfFeatures, ...]:
        inputs = [self._inputs_of(feature) for feature in self.features]
        return by_kind(self.features, inputs, [slot.window_ms for slot in self.distinct_slots])

    def _inputs_of(self, feature: Feature) -> tuple[int, ...]:
        """What it is computed from: indices of its times, bitmaps, attributes or sums."""
        match feature.kind:
            case Kind.RECENCY:
                return (self.time_slots.index(feature.selector),)
            case Kind.DISTINCT:
                return (self.distinct_slots.index(distinct_slot(feature)),)
        if feature.attribute:
            return (self.attributes.index(feature.attribute),)
        return tuple(self.slots.index(slot) for slot in slots_of(feature))

    @cached_property
    def wanted_types(self) -> Mapping[Selector, Bools]:
        """Whether a selector takes events of each type, by its code; shape (n_types + 1,)."""
        selectors = [slot.selector for slot in self.slots]
        selectors += [slot.selector for slot in self.distinct_slots]
        tables = {}
        for selector in dict.fromkeys((*selectors, *self.time_slots)):
            codes = [self.types[name] for name in selector.events]
            tables[selector] = np.full(len(self.types) + 1, not selector.events)
            tables[selector][self.types[IDENTIFY]] = False
            tables[selector][codes] = True
        return tables
