"""Shoal's own online k-means."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from models.columns import Floats
from models.lloyd import inertia
from models.online_kmeans import OnlineKMeans, complete

NAN = float("nan")
NAMES = ("a", "b")


def pairs(rows: Floats) -> list[dict[str, float]]:
    return [dict(zip(NAMES, row, strict=True)) for row in rows.tolist()]


def two_blobs(n: int = 200, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, (n, 2)), rng.normal(20, 1, (n, 2))])


def test_the_step_is_a_running_mean_until_it_meets_the_floor() -> None:
    model = OnlineKMeans(1, ("a",), step_floor=0.25)
    model.start(np.array([[0.0]]), np.array([1.0]))
    reached = []
    for _ in range(4):
        model.learn_one({"a": 8.0})
        reached.append(model.centroids.item())
    # The mean of 0, 8, 8, … while 1/n > 0.25, and then a quarter of the way each time.
    assert_allclose(reached, [4, 16 / 3, 6, 6.5])


def test_it_follows_a_group_that_drifts_away() -> None:
    model = OnlineKMeans(2, NAMES, step_floor=0.02)
    model.seed_from(two_blobs())
    rng = np.random.default_rng(1)
    for step in range(2000):
        model.learn_one({"a": 20 + step / 100 + rng.normal(), "b": 20.0})
    assert model.centroids[:, 0].max() == pytest.approx(40, abs=1.5)
    assert_allclose(model.centroids[:, 0].min(), 0, atol=0.5)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(-9, 9)),
    st.sampled_from([0.005, 0.1, 1.0]),
    st.floats(1, 500),
)
def test_a_mini_batch_moves_a_centroid_as_its_members_would_one_by_one(
    points: Floats, step_floor: float, count: float
) -> None:
    # Two groups so far apart that nobody's nearest centroid changes meanwhile.
    points = points + np.where(np.arange(len(points)) % 3 == 0, 1000.0, 0.0)[:, np.newaxis]
    together, singly = OnlineKMeans(3, NAMES, step_floor), OnlineKMeans(3, NAMES, step_floor)
    for model in (together, singly):
        model.start(np.array([[0.0, 0.0], [-1e6, 0.0], [1000.0, 1000.0]]), np.full(3, count))
    together.follow(points)
    for x in pairs(points):
        singly.learn_one(x)
    assert_allclose(together.centroids, singly.centroids, rtol=0, atol=1e-9)
    # The counts are the same too: what comes next moves both as far.
    for model in (together, singly):
        model.learn_one({"a": 5.0, "b": 5.0})
        model.learn_one({"a": 995.0, "b": 995.0})
    assert_allclose(together.centroids, singly.centroids, rtol=0, atol=1e-9)


def test_a_mini_batch_is_judged_by_the_centroids_before_it() -> None:
    model = OnlineKMeans(2, ("a",), step_floor=0.5)
    model.start(np.array([[0.0], [10.0]]))
    model.follow(np.array([[4.0], [5.5]]))
    assert_allclose(model.centroids, [[2.0], [7.75]])


@pytest.mark.parametrize("rows", [[[NAN, 19.0]], [[1.0, 1.0], [np.inf, 19.0]]])
def test_a_mini_batch_with_a_missing_coordinate_is_learned_one_by_one(rows: list[Any]) -> None:
    together, singly = OnlineKMeans(2, NAMES), OnlineKMeans(2, NAMES)
    for model in (together, singly):
        model.start(np.array([[0.0, 0.0], [20.0, 20.0]]))
    together.follow(np.array(rows))
    for x in pairs(np.array(rows)):
        singly.learn_one(x)
    assert_array_equal(together.centroids, singly.centroids)
    assert np.isfinite(together.centroids).all()


def test_mini_batches_may_be_what_it_starts_from() -> None:
    model = OnlineKMeans(2, NAMES, warm_up=40)
    model.follow(two_blobs(30))
    assert_allclose(np.sort(model.centroids[:, 0]), [0, 20], atol=1)


def test_the_first_vectors_stand_in_until_the_start() -> None:
    model = OnlineKMeans(2, NAMES, warm_up=40, seed=3)
    assert model.predict_one({"a": 1.0}) == 0
    rows = two_blobs(20)
    seen = []
    for x in pairs(rows):
        model.learn_one(x)
        seen.append(len(model.centroids))
    assert seen[:2] == [1, 2]
    assert_allclose(np.sort(model.centroids[:, 0]), [0, 20], atol=1)


def test_equal_vectors_make_one_cluster_not_many() -> None:
    model = OnlineKMeans(5, NAMES, warm_up=10)
    for _ in range(30):
        model.learn_one({"a": 1.0, "b": 2.0})
    assert_array_equal(model.centroids, [[1, 2]])


@pytest.mark.parametrize("missing", [{"b": 19.0}, {"a": NAN, "b": 19.0}, {"a": None, "b": 19.0}])
def test_a_missing_coordinate_is_ignored(missing: dict[str, float]) -> None:
    model = OnlineKMeans(2, NAMES)
    model.start(np.array([[0.0, 0.0], [20.0, 20.0]]))
    assert model.predict_one(missing) == 1
    model.learn_one(missing)
    assert_array_equal(model.centroids[:, 0], [0, 20])
    assert 19 < model.centroids[1, 1] < 20


@pytest.mark.parametrize("nothing", [{}, {"z": 5.0}, {"a": NAN}, {"a": float("inf"), "b": NAN}])
def test_a_vector_without_a_known_coordinate_teaches_nothing(nothing: dict[str, float]) -> None:
    for model in (OnlineKMeans(2, NAMES), OnlineKMeans(2, NAMES, warm_up=1)):
        model.learn_one({"a": 1.0, "b": 2.0})
        before = pickle.dumps(model)
        model.learn_one(nothing)
        assert model.predict_one(nothing) == 0
        assert pickle.dumps(model) == before


def test_predicting_changes_nothing_even_for_unknown_features() -> None:
    model = OnlineKMeans(2, warm_up=4)
    for x in pairs(two_blobs(5)):
        model.learn_one(x)
    before = pickle.dumps(model)
    model.predict_one({"a": 1.0, "b": 1.0, "new": 3.0})
    model.predict_one({"new": 3.0})
    assert pickle.dumps(model) == before


def test_features_become_coordinates_as_they_appear() -> None:
    model = OnlineKMeans(2, warm_up=2)
    model.learn_one({"a": 0.0})
    model.learn_one({"a": 9.0, "b": 4.0})
    model.learn_one({"c": 50.0, "a": 9.0})
    assert model.centroids.shape == (2, 3)
    assert (model.centroids[:, 2] > 0).sum() == 1


def test_named_features_have_their_order_and_no_others_count() -> None:
    model = OnlineKMeans(1, NAMES, warm_up=1)
    model.learn_one({"z": 9.0, "b": 2.0, "a": 1.0})
    assert_array_equal(model.centroids, [[1, 2]])


def test_refining_never_raises_inertia_and_finds_what_a_bad_start_missed() -> None:
    rows = np.concatenate([two_blobs(), two_blobs(seed=1) + np.array([40, 0])])
    model = OnlineKMeans(4, NAMES)
    model.start(rows[:4])
    before = inertia(rows, model.centroids)
    model.refine(rows)
    assert inertia(rows, model.centroids) < before / 20
    assert inertia(rows, model.centroids) < 2.2 * len(rows)


def test_refining_starts_when_nothing_was_learned() -> None:
    model = OnlineKMeans(2, NAMES)
    model.refine(two_blobs())
    assert_allclose(np.sort(model.centroids[:, 0]), [0, 20], atol=0.5)


def test_same_seed_same_centroids() -> None:
    def learned(seed: int) -> Floats:
        model = OnlineKMeans(4, NAMES, warm_up=20, seed=seed)
        for x in pairs(np.random.default_rng(5).normal(size=(300, 2))):
            model.learn_one(x)
        model.refine(np.random.default_rng(6).normal(size=(100, 2)))
        return model.centroids

    assert_array_equal(learned(7), learned(7))
    assert not np.array_equal(learned(7), learned(8))


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=30), st.integers(1, 4))
def test_centroids_stay_finite_whatever_is_learned(
    rows: list[tuple[float, float]], warm_up: int
) -> None:
    model = OnlineKMeans(2, NAMES, warm_up=warm_up)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            bounded = [v if abs(v) < 1e150 or not np.isfinite(v) else 1e150 for v in row]
            x = dict(zip(NAMES, bounded, strict=True))
            model.learn_one(x)
            assert 0 <= model.predict_one(x) < 2
    assert np.isfinite(model.centroids).all()


def test_what_is_missing_in_a_sample_counts_as_the_mean() -> None:
    points = np.array([[1.0, NAN], [3.0, NAN], [np.inf, NAN]])
    assert_array_equal(complete(points), [[1, 0], [3, 0], [2, 0]])
