"""The trainer's sample: the latest profile of each customer whom the hash has chosen."""

from collections.abc import Sequence

import numpy as np

from models.clock import CONFIRMATIONS, DAY_MS
from models.columns import Bools, Floats, Hashes, Ints, Rows, pick, put
from models.identifiers import CustomerId, hash64
from models.profiles import ProfileSchema

_HASHES = 2**64
_FIRST_CAPACITY = 1024


def in_sample(customer: CustomerId, threshold: float) -> bool:
    """Whether a customer's hash lies in the first `threshold` (0 to 1) of all hashes.

    >>> in_sample(CustomerId("c1"), 1.0), in_sample(CustomerId("c1"), 0.0)
    (True, False)
    """
    # Compared as integers: the highest hashes, as floats, would round to 1.
    return hash64(customer) < int(threshold * _HASHES)


def are_in_sample(customers: Sequence[CustomerId], threshold: float) -> Bools:
    """`in_sample` of each customer, shape (n_customers,)."""
    return _below(_hashes(customers), threshold)


class Population:
    """Latest profile of each sampled customer, in one growing array.

    Parameters
    ----------
    schema
        Layout of the profiles.
    threshold
        Part of all customers that is sampled, 0 to 1. It only falls, so that who is out stays
        out and who is in has been in from the start.
    """

    def __init__(self, schema: ProfileSchema, threshold: float = 1.0) -> None:
        self.schema = schema
        self.threshold = threshold
        self._customers: list[CustomerId] = []
        self._at: dict[CustomerId, int] = {}
        self._rows = schema.empty(_FIRST_CAPACITY)
        self._hashes = np.zeros(_FIRST_CAPACITY, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._customers)

    @property
    def customers(self) -> tuple[CustomerId, ...]:
        """Who is in the sample, in the order of `rows`."""
        return tuple(self._customers)

    @property
    def rows(self) -> Rows:
        """Profiles, shape (n_customers,): a view, good until the next change."""
        return self._rows[: len(self)]

    @property
    def latest_ms(self) -> int:
        """Time of the latest event that can be believed; 0 when there is nobody.

        As with `EventClock`, a time more than a day beyond the others needs company: one customer
        with a wrong date does not age all others.
        """
        last: Ints = self.rows["last_ms"]
        if last.size > CONFIRMATIONS:
            last = np.partition(last, -CONFIRMATIONS)[-CONFIRMATIONS:]
        newest = np.sort(last).tolist()
        latest = newest[0] if newest else 0
        for time_ms in newest:
            latest = time_ms if time_ms <= latest + DAY_MS else latest
        return latest

    def ordered(self) -> Rows:
        """A copy of the profiles in the order of their customers' hashes.

        The same population gives the same array, whatever the order in which it came together.
        """
        return pick(self.rows, np.argsort(self._hashes[: len(self)], kind="stable"))

    def ordered_hashes(self) -> Hashes:
        """The hashes of the customers in the order of `ordered`."""
        return np.sort(self._hashes[: len(self)])

    def ordered_customers(self) -> tuple[CustomerId, ...]:
        """The customers in the order of `ordered`."""
        order = np.argsort(self._hashes[: len(self)], kind="stable")
        return tuple(self._customers[i] for i in order)

    def vectors(self, now_ms: int) -> Floats:
        """Feature vectors at a time, shape (n_customers, n_features), in the order of `rows`."""
        return self.schema.vectors(self.rows, now_ms)

    def upsert(self, customers: Sequence[CustomerId], rows: Rows) -> Bools:
        """Keep these profiles as the latest; which of them were taken, shape (n_customers,).

        Customers outside the sample are passed over. An empty profile (``first_ms`` of 0) takes
        its customer out. Of several profiles of one customer the last counts.
        """
        hashes = _hashes(customers)
        is_last = np.zeros(len(customers), dtype=np.bool_)
        is_last[list({customer: i for i, customer in enumerate(customers)}.values())] = True
        is_alive = rows["first_ms"] > 0
        self.remove([customers[i] for i in np.flatnonzero(is_last & ~is_alive).tolist()])
        taken = is_last & is_alive & _below(hashes, self.threshold)
        chosen = np.flatnonzero(taken).tolist()
        self._reserve(len(self) + len(chosen))
        places = [self._place(customers[i]) for i in chosen]
        put(self._rows, places, pick(rows, chosen))
        self._hashes[places] = hashes[chosen]
        return taken

    def remove(self, customers: Sequence[CustomerId]) -> None:
        """Forget these customers; unknown ones are passed over."""
        for customer in customers:
            place = self._at.pop(customer, None)
            if place is None:
                continue
            last = self._customers.pop()
            if last != customer:
                self._customers[place] = last
                self._at[last] = place
                self._rows[place] = self._rows[len(self)]
                self._hashes[place] = self._hashes[len(self)]
            self._rows[len(self)] = np.zeros((), dtype=self.schema.dtype)

    def expire(self, before_ms: int) -> None:
        """Forget who had no event since `before_ms`."""
        gone = np.flatnonzero(self.rows["last_ms"] < before_ms).tolist()
        self.remove([self._customers[i] for i in gone])

    def lower(self, threshold: float) -> None:
        """Drop who is out under a lower threshold; a higher one changes nothing."""
        if threshold >= self.threshold:
            return
        self.threshold = threshold
        stays = np.flatnonzero(_below(self._hashes[: len(self)], threshold))
        self._rows, self._hashes = pick(self._rows, stays), self._hashes[stays]
        self._customers = [self._customers[i] for i in stays]
        self._at = {customer: i for i, customer in enumerate(self._customers)}

    def _place(self, customer: CustomerId) -> int:
        place = self._at.setdefault(customer, len(self))
        if place == len(self):
            self._customers.append(customer)
        return place

    def _reserve(self, size: int) -> None:
        if size > len(self._rows):
            more = max(size, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate([self._rows, self.schema.empty(more)])
            self._hashes = np.concatenate([self._hashes, np.zeros(more, dtype=np.uint64)])


def _hashes(customers: Sequence[CustomerId]) -> Hashes:
    return np.fromiter(map(hash64, customers), np.uint64, len(customers))


def _below(hashes: Hashes, threshold: float) -> Bools:
    limit = int(threshold * _HASHES)
    if limit <= 0:
        return np.zeros(hashes.size, dtype=np.bool_)
    return hashes <= np.uint64(min(limit, _HASHES) - 1)
