"""Profiles that a lane keeps in memory between steps."""

from collections.abc import Sequence

import numpy as np

from models.columns import Ints, Rows, pick, whole
from models.identifiers import CustomerId
from models.profiles import ProfileSchema

_FIRST_CAPACITY = 1024
_NOWHERE = -1


class ProfileCache:
    """A slab of profiles, the least recently used of which give way.

    Parameters
    ----------
    schema
        Layout of the profiles.
    capacity
        Most profiles to keep; a batch may exceed it for as long as it lasts.
    """

    def __init__(self, schema: ProfileSchema, capacity: int) -> None:
        self.capacity = capacity
        self._schema = schema
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._rows: Rows = self._schema.empty(_FIRST_CAPACITY)
        self._used: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._names: list[CustomerId] = []
        self._slots: dict[CustomerId, int] = {}
        self._tick = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, customer: object) -> bool:
        return customer in self._slots

    def load(self, customers: Sequence[CustomerId]) -> tuple[Rows, list[int]]:
        """Copies of the profiles, and the indices of those that are not here (left empty)."""
        slots = [self._slots.get(customer, _NOWHERE) for customer in customers]
        missing = [at for at, slot in enumerate(slots) if slot == _NOWHERE]
        # Where there is nobody, the last of the slab for now.
        rows = pick(self._rows, slots)
        if missing:
            rows[missing] = self._schema.empty(len(missing))
        return rows, missing

    def keep(self, customers: Sequence[CustomerId], rows: Rows) -> None:
        """Take profiles over, as they are stored now."""
        self._tick += 1
        fresh = [customer for customer in customers if customer not in self._slots]
        if len(self._slots) + len(fresh) > self.capacity:
            # A quarter at a time, so that the sort is paid for by many steps.
            self._drop_oldest(len(self._slots) + len(fresh) - self.capacity * 3 // 4)
            fresh = [customer for customer in customers if customer not in self._slots]
        self._grow(len(self._slots) + len(fresh))
        for customer in fresh:
            self._slots[customer] = len(self._names)
            self._names.append(customer)
        at = [self._slots[customer] for customer in customers]
        whole(self._rows)[at] = whole(rows)
        self._used[at] = self._tick

    def _grow(self, n: int) -> None:
        if n > self._rows.size:
            size = max(n, min(2 * self._rows.size, self.capacity))
            rows = self._schema.empty(size)
            whole(rows)[: self._rows.size] = whole(self._rows)
            self._rows = rows
            self._used = np.resize(self._used, size)

    def _drop_oldest(self, count: int) -> None:
        n = len(self._names)
        count = min(count, n)
        kept = np.sort(np.argpartition(self._used[:n], count - 1)[count:])
        slab = whole(self._rows)
        slab[: kept.size] = slab[kept]
        self._used[: kept.size] = self._used[kept]
        self._names = [self._names[at] for at in kept.tolist()]
        self._slots = {name: at for at, name in enumerate(self._names)}
