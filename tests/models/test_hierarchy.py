"""Coarser views of the segments."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import ward

from models.columns import Floats
from models.hierarchy import arrange, cut
from models.identity import Matching
from models.lineage import Group
from models.snapshots import Segment

SEEDS = st.integers(0, 2**32 - 1)
# Two pairs, far from each other: 1 with 2, and 3 with 4.
CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 2.0]])


def segments(numbers: list[int], shares: list[float] | None = None) -> list[Segment]:
    shares = shares or [1 / len(numbers)] * len(numbers)
    return [
        Segment(number, f"name {number}", share, born_version=1)
        for number, share in zip(numbers, shares, strict=True)
    ]


def drawn(seed: int, n: int) -> tuple[list[Segment], Floats]:
    rng = np.random.default_rng(seed)
    numbers = (rng.permutation(3 * n)[:n] + 1).tolist()
    return segments(numbers, rng.dirichlet(np.ones(n)).tolist()), rng.normal(size=(n, 3))


def moved(old: list[int], new: list[int], table: list[list[int]]) -> Matching:
    return Matching(tuple(new), max(old + new) + 1, tuple(old), np.array(table))


def unchanged(numbers: list[int]) -> Matching:
    return moved(numbers, numbers, (np.eye(len(numbers), dtype=np.int64) * 10).tolist())


def by_members(groups: tuple[Group, ...]) -> dict[tuple[int, ...], int]:
    return {group.segments: group.number for group in groups}


def parts(groups: tuple[Group, ...], numbers: list[int], level: int) -> set[frozenset[int]]:
    told = cut(groups, numbers, level)
    return {frozenset((p,) if isinstance(p, int) else p.segments) for p in told}


def test_what_lies_together_is_joined_first() -> None:
    groups, next_group = arrange(segments([1, 2, 3, 4]), CORNERS)
    assert [group.segments for group in groups] == [(1, 2), (3, 4), (1, 2, 3, 4)]
    assert [group.number for group in groups] == [1, 2, 3]
    assert next_group == 4
    assert groups[0].height == pytest.approx(np.sqrt(1 / 8))


def test_small_segments_are_joined_before_large_ones_as_near() -> None:
    line = np.array([[0.0], [1.0], [2.0], [3.0]])
    groups, _ = arrange(segments([1, 2, 3, 4], [0.4, 0.4, 0.1, 0.1]), line)
    assert groups[0].segments == (3, 4)


def test_a_lone_segment_has_no_groups() -> None:
    assert arrange(segments([7]), np.zeros((1, 2)), next_group=3) == ((), 3)
    assert cut((), [7], 1) == (7,)


def test_a_level_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="level 0"):
        cut((), [7], 0)


@given(SEEDS, st.integers(2, 20))
def test_equal_shares_give_the_heights_of_scipy(seed: int, n: int) -> None:
    _, centroids = drawn(seed, n)
    groups, _ = arrange(segments(list(range(1, n + 1))), centroids)
    # SciPy counts every segment as one, and doubles the cost.
    assert [g.height for g in groups] == pytest.approx(ward(centroids)[:, 2] / np.sqrt(2 * n))


@given(SEEDS, st.integers(1, 20))
def test_every_cut_partitions_the_segments_into_as_many_as_asked_for(seed: int, n: int) -> None:
    shown, centroids = drawn(seed, n)
    groups, _ = arrange(shown, centroids)
    numbers = [segment.number for segment in shown]
    for level in range(1, n + 3):
        found = parts(groups, numbers, level)
        assert len(found) == min(level, n)
        assert sorted(number for part in found for number in part) == sorted(numbers)
        for number, part in zip(numbers, cut(groups, numbers, level), strict=True):
            assert part == number if isinstance(part, int) else number in part.segments


@given(SEEDS, st.integers(2, 20))
def test_cuts_are_nested_and_heights_never_fall(seed: int, n: int) -> None:
    shown, centroids = drawn(seed, n)
    groups, _ = arrange(shown, centroids)
    numbers = [segment.number for segment in shown]
    for coarse, fine in pairwise(range(1, n + 1)):
        wide = parts(groups, numbers, coarse)
        assert all(any(part <= whole for whole in wide) for part in parts(groups, numbers, fine))
    assert [g.height for g in groups] == sorted(g.height for g in groups)


@given(SEEDS, st.integers(2, 12), st.booleans())
def test_the_order_of_the_segments_changes_nothing(seed: int, n: int, tied: bool) -> None:  # noqa: FBT001 - drawn
    shown, centroids = drawn(seed, n)
    if tied:
        shown, centroids = segments([s.number for s in shown]), np.round(centroids)
    order = np.random.default_rng(seed).permutation(n)
    assert arrange(shown, centroids) == arrange([shown[i] for i in order], centroids[order])


@given(SEEDS, st.integers(2, 12))
def test_groups_keep_their_numbers_when_nothing_changes(seed: int, n: int) -> None:
    shown, centroids = drawn(seed, n)
    first, next_group = arrange(shown, centroids, next_group=5)
    matching = unchanged([segment.number for segment in shown])
    again = arrange(shown, centroids, before=first, matching=matching, next_group=next_group)
    assert again == (first, next_group)


@given(SEEDS, st.integers(2, 10), st.integers(2, 10))
def test_numbers_are_unique_and_never_used_again(seed: int, n_old: int, n_new: int) -> None:
    rng = np.random.default_rng(seed)
    shown, centroids = drawn(seed, n_old)
    first, next_group = arrange(shown, centroids)
    after, points = drawn(seed + 1, n_new)
    old, new = [s.number for s in shown], [s.number for s in after]
    matching = moved(old, new, rng.integers(0, 20, (n_old, n_new)).tolist())
    second, beyond = arrange(after, points, before=first, matching=matching, next_group=next_group)
    numbers = [group.number for group in second]
    born = sorted(set(numbers) - {group.number for group in first})
    assert len(set(numbers)) == len(numbers) == n_new - 1
    assert born == list(range(next_group, beyond))


def test_a_split_elsewhere_leaves_a_group_its_number() -> None:
    first, _ = arrange(segments([1, 2, 3, 4]), CORNERS)
    matching = moved(
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        [[10, 0, 0, 0, 0], [0, 10, 0, 0, 0], [0, 0, 10, 0, 0], [0, 0, 0, 6, 4]],
    )
    centroids = np.vstack([CORNERS, [[9.0, 2.5]]])
    second, next_group = arrange(
        segments([1, 2, 3, 4, 5], [0.25, 0.25, 0.25, 0.15, 0.1]),
        centroids,
        before=first,
        matching=matching,
        next_group=4,
    )
    numbers = by_members(second)
    assert numbers[1, 2] == by_members(first)[1, 2]
    # The other pair became three of the same customers.
    assert numbers[3, 4, 5] == by_members(first)[3, 4]
    assert numbers[1, 2, 3, 4, 5] == by_members(first)[1, 2, 3, 4]
    assert numbers[4, 5] == 4
    assert next_group == 5


def test_a_death_elsewhere_leaves_a_group_its_number() -> None:
    first, _ = arrange(segments([1, 2, 3, 4]), CORNERS)
    matching = moved([1, 2, 3, 4], [1, 2, 3], [[10, 0, 0], [0, 10, 0], [0, 0, 10], [0, 0, 3]])
    second, next_group = arrange(
        segments([1, 2, 3]), CORNERS[:3], before=first, matching=matching, next_group=4
    )
    assert by_members(second) == {
        (1, 2): by_members(first)[1, 2],
        (1, 2, 3): by_members(first)[1, 2, 3, 4],
    }
    assert next_group == 4


def test_a_group_of_other_customers_is_another_one() -> None:
    first, _ = arrange(segments([1, 2, 3]), CORNERS[:3])
    # Segment 2, a small one, went over to the side of 3.
    second, next_group = arrange(
        segments([1, 2, 3], [0.45, 0.1, 0.45]),
        np.array([[0.0, 0.0], [9.0, 1.0], [9.0, 0.0]]),
        before=first,
        matching=moved([1, 2, 3], [1, 2, 3], [[45, 0, 0], [0, 10, 0], [0, 0, 45]]),
        next_group=3,
    )
    assert by_members(first) == {(1, 2): 1, (1, 2, 3): 2}
    assert by_members(second) == {(2, 3): 3, (1, 2, 3): 2}
    assert next_group == 4
