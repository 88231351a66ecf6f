"""The figures of a grouping are those that others compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from models.quality import SILHOUETTE_CUSTOMERS, silhouette, unexplained


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 60), k=st.integers(2, 5))
def test_the_silhouette_is_scikit_learns(seed: int, n: int, k: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, 3)).round(1)
    numbers = np.concatenate([np.arange(k)[: n - 1], random.integers(0, k, max(n - k, 1))])
    numbers = numbers[:n].astype(np.uint32)
    expected = silhouette_score(points, numbers) if 1 < len(set(numbers.tolist())) < n else 0.0
    assert silhouette(points, numbers) == pytest.approx(expected, abs=1e-9)


def test_of_many_customers_the_silhouette_is_estimated() -> None:
    random = np.random.default_rng(1)
    numbers = random.integers(1, 4, 4 * SILHOUETTE_CUSTOMERS).astype(np.uint32)
    points = random.normal(size=(numbers.size, 2)) + 3.0 * numbers[:, np.newaxis]
    estimate = silhouette(points, numbers)
    assert estimate == silhouette(points, numbers)
    assert estimate == pytest.approx(silhouette_score(points, numbers), abs=0.02)


def test_segments_of_equals_leave_nothing_unexplained_and_one_segment_leaves_all() -> None:
    points = np.repeat([[0.0, 1.0], [5.0, 2.0], [9.0, 9.0]], 4, axis=0)
    numbers = np.repeat([3, 7, 9], 4).astype(np.uint32)
    assert unexplained(points, numbers) == 0.0
    assert unexplained(points, np.ones(12, dtype=np.uint32)) == pytest.approx(1.0)
    assert 0 < unexplained(points, np.repeat([1, 2], 6).astype(np.uint32)) < 1


def test_where_all_are_the_same_or_nobody_is_there_the_figures_are_zero() -> None:
    for n in (0, 1, 5):
        points, numbers = np.ones((n, 2)), np.arange(n, dtype=np.uint32)
        assert (unexplained(points, numbers), silhouette(points, numbers)) == (0.0, 0.0)


def test_the_size_of_a_feature_does_not_matter_when_all_have_it() -> None:
    random = np.random.default_rng(2)
    points, numbers = random.normal(size=(50, 3)), random.integers(1, 4, 50).astype(np.uint32)
    assert unexplained(points * 7 + 3, numbers) == pytest.approx(unexplained(points, numbers))
    assert silhouette(points * 7 + 3, numbers) == pytest.approx(silhouette(points, numbers))
