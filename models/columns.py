"""A batch of events as arrays: what the core learns of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Rows = NDArray[np.void]
"""Profiles: a structured array, shape (n,), of `ProfileSchema.dtype`."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events in order of arrival, one element each, shape (n_events,).

    `customer` indexes the rows that the batch updates. `category_event` and `category`,
    shape (n_categories,), list the hashed categories of each event by its index.
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

    def __len__(self) -> int:
        return self.customer.size
