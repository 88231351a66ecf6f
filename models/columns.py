"""A batch of events as arrays: what the core learns of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Rows = NDArray[np.void]
"""Profiles: a structured array, shape (n,), of `ProfileSchema.dtype`."""


def _no_ints() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events in order of arrival, one element each, shape (n_events,).

    `customer` indexes the rows that the batch updates. `category_event` and `category`,
    shape (n_categories,), list the hashed categories of each event by its index; so do
    `attribute_event`, `attribute` and `attribute_value` with what is told of the customer: the
    index of the schema's attribute, and its value as it is stored.
    """

    customer: Ints
    type: Ints
    time_ms: Ints
    value: Floats
    quantity: Floats
    discounted: Bools
    session: Hashes
    id: Hashes
    offset: Ints
    category_event: Ints
    category: Hashes
    attribute_event: Ints = field(default_factory=_no_ints)
    attribute: Ints = field(default_factory=_no_ints)
    attribute_value: Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return self.customer.size

    @classmethod
    def concatenate(cls, parts: Sequence[Self], customers: Sequence[int]) -> Self:
        """Batches one after the other, when their rows are; `customers` counts the rows of each."""
        if len(parts) == 1:
            return parts[0]
        first_row = np.cumsum([0, *customers])
        first_event = np.cumsum([0, *map(len, parts)])
        joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        joined["customer"] += np.repeat(first_row[:-1], [len(part) for part in parts])
        for name in ("category_event", "attribute_event"):
            sizes = [getattr(part, name).size for part in parts]
            joined[name] += np.repeat(first_event[:-1], sizes)
        return cls(**joined)
