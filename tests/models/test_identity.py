"""Which new cluster is which known segment."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.identity import Matching, match


def move(*groups: tuple[int, int, int], k: int = 2, next_number: int = 10) -> Matching:
    """Match groups of (old segment, new cluster, number of customers)."""
    old = np.repeat([g[0] for g in groups], [g[2] for g in groups])
    new = np.repeat([g[1] for g in groups], [g[2] for g in groups])
    return match(old, new, sorted({g[0] for g in groups} - {0}), k=k, next_number=next_number)


def test_the_first_clusters_are_all_born() -> None:
    matching = match(np.zeros(3, dtype=np.uint32), np.array([0, 1, 1]), [], k=2, next_number=1)
    assert matching.numbers == (1, 2)
    assert matching.born == (1, 2)
    assert matching.next_number == 3
    assert matching.died == {}


def test_renumbered_clusters_keep_their_ids() -> None:
    matching = move((4, 1, 50), (9, 0, 30))
    assert matching.numbers == (9, 4)
    assert matching.born == ()
    assert matching.next_number == 10


def test_a_split_keeps_the_id_with_the_larger_part() -> None:
    matching = move((4, 0, 40), (4, 1, 60), (9, 2, 50), k=3)
    assert matching.numbers == (10, 4, 9)
    assert matching.born == (10,)
    assert matching.splits == {4: (10, 4)}
    assert matching.merges == {}


def test_a_merge_names_the_successor_of_who_is_gone() -> None:
    matching = move((4, 0, 40), (9, 0, 60), k=1)
    assert matching.numbers == (9,)
    assert matching.died == {4: 9}
    assert matching.merges == {9: (4, 9)}


def test_a_segment_that_a_large_one_swallows_does_not_name_it() -> None:
    # Segment 4 kept all its members, yet the cluster is a new one to everybody else.
    matching = move((4, 0, 20), (9, 0, 45), (9, 1, 55))
    assert matching.numbers == (10, 9)
    assert matching.died == {4: 10}


def test_most_customers_keep_their_id() -> None:
    # Taking the best pair first (4 with 0) would leave 9 with nothing.
    matching = move((4, 0, 50), (4, 1, 45), (9, 0, 48))
    assert matching.numbers == (9, 4)


def test_customers_count_where_overlaps_are_alike() -> None:
    # Segment 4 overlaps cluster 1 by 0.46 and 9 does by 0.44, but 9 has more customers there.
    assert move((4, 1, 65), (9, 0, 30), (9, 1, 75)).numbers == (10, 9)


def test_half_the_members_are_enough_between_groups_of_equal_size_and_less_is_not() -> None:
    assert move((4, 0, 50), (4, 1, 50), (9, 0, 50), (9, 1, 50)).born == ()
    assert 10 in move((4, 0, 49), (4, 1, 51), (9, 0, 51), (9, 2, 49), k=3).numbers


def test_regular_customers_keep_the_id_from_a_crowd_of_new_ones() -> None:
    old = np.repeat([4, 4, 9], [100, 160, 50])
    new = np.repeat([0, 1, 2], [100, 160, 50])
    weights = np.repeat([10, 2, 10], [100, 160, 50])
    assert match(old, new, [4, 9], k=3, next_number=10).numbers == (10, 4, 9)
    weighed = match(old, new, [4, 9], k=3, next_number=10, weights=weights)
    assert weighed.numbers == (4, 10, 9)
    assert weighed.table.tolist() == [[100, 160, 0], [0, 0, 50]]
    assert weighed.splits == {4: (4, 10)}
    nobody = match(old, new, [4, 9], k=3, next_number=10, weights=weights * 0)
    assert nobody.numbers == (10, 4, 9)


def test_customers_without_a_segment_change_nothing() -> None:
    assert move((4, 0, 10), (0, 0, 1000), (9, 1, 10)).numbers == (4, 9)


def test_a_segment_nobody_was_in_dies_without_a_successor() -> None:
    matching = match(np.array([4, 4]), np.array([0, 0]), [4, 9], k=1, next_number=10)
    assert matching.died == {9: 0}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=60),
    st.permutations([1, 2, 4, 6]),
    st.integers(7, 20),
    st.floats(0.01, 1),
)
def test_ids_are_unique_and_never_used_again(
    customers: list[tuple[int, int]], known: list[int], next_number: int, keep: float
) -> None:
    old = np.array([c[0] for c in customers], dtype=np.uint32)
    new = np.array([c[1] for c in customers], dtype=np.int64)
    matching = match(old, new, known, k=5, next_number=next_number, keep_overlap=keep)
    assert len(set(matching.numbers)) == 5
    assert set(matching.numbers) - set(known) == set(matching.born)
    assert sorted(matching.born) == list(range(next_number, matching.next_number))
    assert matching.died.keys() == set(known) - set(matching.numbers)
    assert set(matching.died.values()) <= {0, *matching.numbers}
    for o, number in enumerate(known):
        for i in range(5):
            assert matching.table[o, i] == sum(c == (number, i) for c in customers)


@given(st.lists(st.tuples(st.sampled_from([0, 2, 5]), st.integers(0, 2)), max_size=40))
def test_the_order_of_customers_does_not_matter(customers: list[tuple[int, int]]) -> None:
    def numbers(pairs: list[tuple[int, int]]) -> tuple[int, ...]:
        old, new = (np.array([p[at] for p in pairs], dtype=np.int64) for at in (0, 1))
        return match(old, new, [2, 5], k=3, next_number=6).numbers

    assert numbers(customers) == numbers(customers[::-1])
