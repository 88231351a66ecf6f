"""Profiles that a lane keeps in memory between steps."""

from collections.abc import Sequence
from itertools import islice

from models.columns import Rows, pick, put, whole
from models.identifiers import CustomerId
from models.profiles import ProfileSchema

_FIRST_CAPACITY = 1024
_NOWHERE = -1
# So many give way at once: who is first in a dictionary is found by passing all who have left it.
_PART = 64


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
        self._free = list(range(_FIRST_CAPACITY))
        # Where in the slab each customer is; who was used last stands last.
        self._slots: dict[CustomerId, int] = {}

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
            put(rows, missing, self._schema.empty(len(missing)))
        return rows, missing

    def keep(self, customers: Sequence[CustomerId], rows: Rows) -> None:
        """Take profiles over, as they are stored now; each customer comes once."""
        slots = [self._slots.pop(customer, _NOWHERE) for customer in customers]
        excess = len(self._slots) + len(customers) - self.capacity
        if excess > 0:
            self._drop_oldest(max(excess, self.capacity // _PART))
        self._grow(slots.count(_NOWHERE))
        slots = [self._free.pop() if slot == _NOWHERE else slot for slot in slots]
        self._slots.update(zip(customers, slots, strict=True))
        put(self._rows, slots, rows)

    def _drop_oldest(self, count: int) -> None:
        for customer in list(islice(self._slots, count)):
            self._free.append(self._slots.pop(customer))

    def _grow(self, wanted: int) -> None:
        """Have so many free slots."""
        held = self._rows.size
        needed = held - len(self._free) + wanted
        if needed > held:
            rows = self._schema.empty(max(needed, min(2 * held, self.capacity)))
            whole(rows)[:held] = whole(self._rows)
            self._rows = rows
            self._free += range(held, rows.size)
