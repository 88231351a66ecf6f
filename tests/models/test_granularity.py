"""How many segments there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.columns import Floats
from models.granularity import GAP, LOOKED_AT, SLACK, choose, separation
from models.lineage import Granularity

SEEDS = st.integers(0, 2**32 - 1)


def blobs(k: int, n: int = 1_500, *, apart: float = 5.0, noise: int = 3, seed: int = 0) -> Floats:
    """Round groups, every two of them `apart` deviations, and features that tell none of them."""
    rng = np.random.default_rng(seed)
    corners = np.eye(k) * apart / np.sqrt(2)
    groups = corners[rng.integers(k, size=n)] + rng.normal(size=(n, k))
    return np.hstack([groups, rng.exponential(size=(n, noise))])


def chosen(points: Floats, *, k_max: int = 9, current: int | None = None) -> Granularity:
    rng = np.random.default_rng(3)
    return choose(points, k_min=2, k_max=k_max, rng=rng, current=current)


@pytest.mark.parametrize("k", range(3, 8))
def test_as_many_as_there_are_groups(k: int) -> None:
    found = chosen(blobs(k))
    assert found.k == k
    assert [number for number, _ in found.scores] == list(range(2, 10))
    assert found.reason == (
        f"{k} segments stand apart from each other; of {k + 1}, two run into each other"
    )


@pytest.mark.parametrize("spread", ["normal", "exponential", "uniform"])
def test_one_bump_is_not_cut_in_two_whatever_its_shape(spread: str) -> None:
    rng = np.random.default_rng(1)
    points = {
        "normal": rng.normal(size=(3_000, 6)),
        "exponential": rng.exponential(size=(3_000, 6)),
        "uniform": rng.uniform(size=(3_000, 6)),
    }
    found = chosen(points[spread])
    assert found.k == 2
    assert max(score for _, score in found.scores) < GAP
    assert "as few as allowed" in found.reason


def test_more_than_are_allowed_are_not_tried() -> None:
    found = chosen(blobs(6), k_max=4)
    assert found.k == 4
    assert "more were not tried" in found.reason


def test_a_number_in_force_is_kept_until_another_does_clearly_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    depths = {4: 0.9, 5: GAP + SLACK / 2, 6: 0.0}
    monkeypatch.setattr(
        "models.granularity.separation", lambda _, labels: depths[int(labels.max()) + 1]
    )

    def found(current: int | None) -> int:
        rng = np.random.default_rng(3)
        return choose(blobs(6), k_min=4, k_max=6, rng=rng, current=current).k

    assert found(None) == 5
    assert found(4) == 4, "more, but not clearly"
    depths[5] = GAP + SLACK
    assert found(4) == 5
    depths[5] = GAP - SLACK / 2
    assert found(None) == 4
    assert found(5) == 5, "worse, but not clearly"
    depths[5] = GAP - 2 * SLACK
    assert found(5) == 4


def test_the_same_seed_gives_the_same_answer_for_a_large_sample() -> None:
    points = blobs(4, LOOKED_AT + 2_000)
    assert chosen(points) == chosen(points)
    assert chosen(points).k == 4


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_no_more_are_tried_than_points_are_distinct(distinct: int) -> None:
    points = np.repeat(np.arange(distinct, dtype=np.float64)[:, np.newaxis], 100, axis=0)
    found = chosen(points)
    assert found.k == max(2, distinct)
    assert [k for k, _ in found.scores] == list(range(2, distinct + 1))


def test_a_handful_of_customers_and_constant_features_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    assert chosen(rng.normal(size=(7, 3))).k == 2
    assert chosen(np.hstack([blobs(3), np.zeros((1_500, 2))])).k == 3


def test_two_groups_score_by_how_empty_it_is_between_them() -> None:
    labels = np.repeat([0, 1], 1_000)

    def score(apart: float) -> float:
        rng = np.random.default_rng(0)
        return separation(rng.normal(size=(2_000, 2)) + apart * labels[:, np.newaxis], labels)

    depths = [score(apart) for apart in (0.5, 2.0, 3.0, 4.0, 8.0)]
    assert depths == sorted(depths)
    assert depths[0] < 0.1
    assert depths[-1] > 0.9


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.integers(0, 20))
def test_units_and_the_order_of_features_and_clusters_change_nothing(
    seed: int, unit: float, shift: int
) -> None:
    points = blobs(3, 600, seed=seed)
    labels = points[:, :3].argmax(axis=1)
    rng = np.random.default_rng(seed)
    features, clusters = rng.permutation(points.shape[1]), rng.permutation(3)
    moved = points[:, features] * unit + shift
    assert separation(moved, clusters[labels]) == pytest.approx(
        separation(points, labels), abs=0.02
    )
