"""k-means over a sample at rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from models.assignment import distances_to, nearest_centroid
from models.columns import Floats
from models.lloyd import (
    best_start,
    cost_of_losing,
    inertia,
    lloyd,
    means,
    nearest,
    plus_plus,
    resize,
    revive,
    split_merge,
)

SAMPLES = arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 3)),
    elements=st.integers(-3, 3).map(float),
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def blobs(*places: float, n: int = 50, seed: int = 0) -> Floats:
    draws = rng(seed)
    return np.concatenate([draws.normal(place, 0.1, (n, 2)) for place in places])


@given(SAMPLES, st.integers(1, 8), st.integers(0, 99))
def test_a_start_is_made_of_as_many_distinct_points_as_there_are(
    points: Floats, k: int, seed: int
) -> None:
    distinct = {tuple(row) for row in points.tolist()}
    start = [tuple(row) for row in plus_plus(points, k, rng(seed)).tolist()]
    assert len(start) == len(set(start)) == min(k, len(distinct))
    assert set(start) <= distinct


@given(SAMPLES, st.integers(1, 8), st.integers(0, 99))
def test_no_step_raises_inertia(points: Floats, k: int, seed: int) -> None:
    centroids = plus_plus(points, k, rng(seed))
    for _ in range(4):
        moved = lloyd(points, centroids, 1)
        assert inertia(points, moved) <= inertia(points, centroids) + 1e-9
        centroids = moved
    assert inertia(points, split_merge(points, centroids, 3)) <= inertia(points, centroids) + 1e-9


@given(SAMPLES, st.integers(1, 8), st.integers(0, 99))
def test_settled_centroids_are_the_means_of_their_members(
    points: Floats, k: int, seed: int
) -> None:
    centroids = lloyd(points, plus_plus(points, k, rng(seed)), 200)
    labels = nearest(points, centroids)  # of two equally near ones `nearest_centroid` takes another
    mean, counts = means(points, labels, len(centroids))
    assert counts.sum() == len(points)
    assert counts.all()
    assert_allclose(mean, centroids, atol=1e-6)


@given(SAMPLES, st.integers(1, 8), st.integers(0, 99))
def test_both_ways_to_the_nearest_centroid_find_one_that_is_as_near(
    points: Floats, k: int, seed: int
) -> None:
    centroids = lloyd(points, plus_plus(points, k, rng(seed)), 3)
    apart = distances_to(points, centroids)
    each = np.arange(len(points))
    one, other = nearest(points, centroids), nearest_centroid(points, centroids)
    assert_allclose(apart[each, one], apart[each, other], atol=1e-6)


@given(SAMPLES, st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_resizing_gives_the_number_that_is_asked_for(
    points: Floats, before: int, after: int, seed: int
) -> None:
    centroids = plus_plus(points, before, rng(seed))
    distinct = len(np.unique(points, axis=0))
    assert len(resize(points, centroids, after, rng(seed))) == min(after, distinct)


def test_the_centroid_that_is_cheapest_to_lose_goes_first() -> None:
    points = blobs(0, 5, 5.3)
    centroids = np.array([[0.0, 0.0], [5.0, 5.0], [5.3, 5.3]])
    cost = cost_of_losing(points, centroids)
    assert cost.argmin() != 0
    for i in range(3):
        lost = inertia(points, np.delete(centroids, i, axis=0)) - inertia(points, centroids)
        assert cost[i] == pytest.approx(lost)
    assert_array_equal(resize(points, centroids, 2, rng())[0], centroids[0])


def test_a_split_merge_move_leaves_a_poor_optimum() -> None:
    points = blobs(0, 0.5, 20, 30)
    stuck = lloyd(points, np.array([[0.0, 0], [0.4, 0.4], [0.6, 0.6], [25, 25]]), 50)
    freed = split_merge(points, stuck, 5)
    assert inertia(points, stuck) > 1000
    assert inertia(points, freed) < 20


def test_a_dead_centroid_goes_to_the_farthest_point() -> None:
    points = np.array([[0.0], [1.0], [9.0]])
    assert_allclose(lloyd(points, np.array([[0.0], [500.0]]), 50), [[0.5], [9.0]])
    assert_allclose(revive(points, np.array([[0.0], [500.0]])), [[0.0], [9.0]])


@given(SAMPLES, st.integers(1, 6))
def test_nobody_is_without_members_after_revival(points: Floats, k: int) -> None:
    k = min(k, len(np.unique(points, axis=0)))
    centroids = revive(points, np.full((k, points.shape[1]), 100.0))
    assert len(np.unique(nearest_centroid(points, centroids))) == k


def test_several_starts_are_never_worse_than_the_first_of_them() -> None:
    points = rng(3).normal(size=(300, 4))
    one = best_start(points, 6, rng(1), restarts=1, iterations=20)
    many = best_start(points, 6, rng(1), restarts=8, iterations=20)
    assert inertia(points, many) <= inertia(points, one)
