"""A batch of events as arrays: what the core learns of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
_BLOCK = 256
Rows = NDArray[np.void]
"""Profiles: a structured array, shape (n,), of `ProfileSchema.dtype`."""


def whole(rows: Rows) -> Rows:
    """The same records, a view that knows no fields.

    What only moves records goes by this: NumPy 2.4 copies records with fields field by field,
    which takes thirty times as long.
    """
    return rows.view(f"V{rows.itemsize}")


def pick(rows: Rows, at: NDArray[np.intp] | Bools | Sequence[int]) -> Rows:
    """Copies of the records at these indices, or where a mask is true, shape (n,)."""
    return whole(rows)[at].view(rows.dtype)


def put(rows: Rows, at: NDArray[np.intp] | Sequence[int], records: Rows) -> None:
    """Write records of the same layout, shape (n,), to these indices."""
    whole(rows)[at] = whole(records)


def blocks(n: int) -> Iterator[slice]:
    """Parts of n rows, so small that what is computed of each by every centroid stays in cache."""
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))


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
