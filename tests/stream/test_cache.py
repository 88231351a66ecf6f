"""The memory of a lane: it may forget, but only when it is full, and never mixes people up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.columns import Rows
from models.identifiers import CustomerId
from stream.cache import ProfileCache
from tests.stream.lane_kit import SCHEMA

BATCHES = st.lists(st.sets(st.integers(0, 30), max_size=12), max_size=30)


def names(numbers: set[int] | range) -> list[CustomerId]:
    return [CustomerId(f"c{number}") for number in numbers]


def stamped(customers: list[CustomerId], stamp: int) -> Rows:
    """Profiles that say whose they are and when they were written."""
    rows = SCHEMA.empty(len(customers))
    rows["first_ms"] = [int(customer[1:]) + 1 for customer in customers]
    rows["incarnation"] = stamp
    return rows


@given(BATCHES, st.integers(1, 40))
@settings(deadline=None)
def test_it_holds_what_a_dictionary_would_hold_and_forgets_only_when_full(
    batches: list[set[int]], capacity: int
) -> None:
    cache, everything = ProfileCache(SCHEMA, capacity), dict[CustomerId, int]()
    for stamp, numbers in enumerate(batches, start=1):
        customers = names(numbers)
        held = {customer for customer in everything if customer in cache}
        cache.keep(customers, stamped(customers, stamp))
        everything |= dict.fromkeys(customers, stamp)

        assert len(cache) <= max(capacity, len(customers))
        if len(held | set(customers)) <= capacity:
            assert all(customer in cache for customer in held)
        else:
            assert len(cache) >= capacity - max(capacity // 64, 1)
        asked = names(range(31))
        rows, missing = cache.load(asked)
        known = [customer in cache for customer in asked]
        assert missing == np.flatnonzero(~np.array(known)).tolist()
        assert len(cache) == sum(known)
        for customer, row, is_known in zip(asked, rows, known, strict=True):
            assert is_known or customer not in customers
            expected = (int(customer[1:]) + 1, everything[customer]) if is_known else (0, 0)
            assert (row["first_ms"], row["incarnation"]) == expected


@given(BATCHES)
@settings(deadline=None)
def test_who_gives_way_was_used_no_later_than_who_stays(batches: list[set[int]]) -> None:
    cache, used = ProfileCache(SCHEMA, 16), dict[CustomerId, int]()
    for stamp, numbers in enumerate(batches):
        customers = names(numbers)
        before = {customer for customer in used if customer in cache}
        cache.keep(customers, stamped(customers, 1))
        stayed = {customer for customer in before if customer in cache}
        gone = before - stayed - set(customers)
        others = stayed - set(customers)
        assert max((used[c] for c in gone), default=-1) <= min(
            (used[c] for c in others), default=len(batches)
        )
        used |= dict.fromkeys(customers, stamp)


def test_nothing_is_forgotten_up_to_its_capacity() -> None:
    cache = ProfileCache(SCHEMA, 5_000)
    everybody = names(range(5_000))
    for at in range(0, 5_000, 700):
        some = everybody[at : at + 700]
        cache.keep(some, stamped(some, 1))
    rows, missing = cache.load(everybody)
    assert missing == []
    assert_array_equal(rows, stamped(everybody, 1))


def test_a_batch_may_exceed_it_for_as_long_as_it_lasts() -> None:
    cache = ProfileCache(SCHEMA, 4)
    crowd = names(range(3_000))
    cache.keep(crowd, stamped(crowd, 1))
    assert cache.load(crowd)[1] == []
    cache.keep(crowd[:2], stamped(crowd[:2], 2))
    assert len(cache) <= 4
    assert cache.load(crowd[:2])[0]["incarnation"].tolist() == [2, 2]


@pytest.mark.parametrize("asked", [["c1", "c2"], ["c1", "c7"]])
def test_what_is_loaded_is_a_copy(asked: list[str]) -> None:
    cache = ProfileCache(SCHEMA, 10)
    customers = names(range(1, 3))
    given_rows = stamped(customers, 1)
    cache.keep(customers, given_rows)
    rows, _ = cache.load([CustomerId(name) for name in asked])
    rows["incarnation"] = given_rows["incarnation"] = 99
    assert cache.load(customers)[0]["incarnation"].tolist() == [1, 1]


def test_who_is_not_here_is_left_empty() -> None:
    rows, missing = ProfileCache(SCHEMA, 10).load(names(range(3)))
    assert missing == [0, 1, 2]
    assert_array_equal(rows, SCHEMA.empty(3))


def test_a_cleared_cache_knows_nobody() -> None:
    cache = ProfileCache(SCHEMA, 10)
    customers = names(range(3))
    cache.keep(customers, stamped(customers, 1))
    cache.clear()
    assert len(cache) == 0
    assert customers[0] not in cache
    assert cache.load(customers)[1] == [0, 1, 2]


def test_loading_and_keeping_nobody_changes_nothing() -> None:
    cache = ProfileCache(SCHEMA, 1)
    customers = names(range(1))
    cache.keep(customers, stamped(customers, 1))
    cache.keep([], SCHEMA.empty(0))
    rows, missing = cache.load([])
    assert (rows.size, missing, len(cache)) == (0, [], 1)
