"""All algorithms behind the contract: River's own checks, and what the trainer relies on."""

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from river import base
from river.checks import common

from models.assignment import nearest_centroid
from models.clusterers import (
    ALGORITHMS,
    CentroidClusterer,
    OnlineKMeans,
    RiverKMeans,
    RiverStreamKMeans,
    UnknownAlgorithmError,
    make_clusterer,
)
from models.columns import Floats
from models.lloyd import inertia

NAMES = ("a", "b", "c", "d", "e")
CLASSES = (OnlineKMeans, RiverKMeans, RiverStreamKMeans)

WITHOUT_DATA = [
    "repr",
    "str",
    "tags",
    "clone_same_class",
    "clone_is_idempotent",
    "init_has_default_params_for_tests",
    "init_default_params_are_not_mutable",
    "doc",
    "clone_changes_memory_addresses",
    "mutate_can_be_idempotent",
    "pickling_supports_roundtrip",
    "repr_roundtrips_clone",
    "clone_with_new_params_applies",
    "get_params_matches_signature",
    "mutable_attributes_exist",
]
WITH_DATA = [
    "learn_one",
    "pickling",
    "shuffle_features_no_impact",
    "emerging_features",
    "disappearing_features",
    "radically_disappearing_features",
    "no_state_aliasing_with_input",
    "clone_is_independent",
    "seeding_is_idempotent",
    "bounded_memory_growth",
]
# Why the remaining checks say nothing about a clusterer in River 0.26.1.
NOT_FOR_CLUSTERERS = {
    "predict_one_pure": "knows no inference method of a clusterer: passes without calling one",
    "predict_one_before_any_learn": "likewise",
    "debug_one": "there is no debug_one",
    "has_tag": "takes a tag; no clusterer here has one",
    "transform_one": "is for transformers",
    "predict_many_matches_predict_one": "there is no predict_many",
    "learn_many_matches_learn_one": "there is no learn_many",
    "predict_proba_many_matches_predict_proba_one": "is for classifiers",
    "transform_many_matches_transform_one": "is for transformers",
    "wrapper_accepts_kwargs": "is for wrappers",
}


def points(n: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 4, (7, len(NAMES)))
    return np.asarray(centres[np.arange(n) % 7] + rng.normal(size=(n, len(NAMES))))


def dataset(n: int) -> list[tuple[dict[str, float], None]]:
    return [(dict(zip(NAMES, row, strict=True)), None) for row in points(n).tolist()]


def check(name: str) -> Callable[..., None]:
    found: Callable[..., None] = getattr(common, f"check_{name}")
    return found


def test_every_check_of_river_is_used_or_listed_with_a_reason() -> None:
    checks = {name for name, _ in inspect.getmembers(common, inspect.isfunction)}
    checks = {name.removeprefix("check_") for name in checks if name.startswith("check_")}
    assert checks == {*WITHOUT_DATA, *WITH_DATA, *NOT_FOR_CLUSTERERS}


@pytest.mark.parametrize("name", WITHOUT_DATA)
@pytest.mark.parametrize("kind", CLASSES)
def test_it_is_a_river_estimator(kind: type, name: str) -> None:
    model = kind()
    assert isinstance(model, base.Clusterer)
    check(name)(model)


@pytest.mark.parametrize("name", WITH_DATA)
@pytest.mark.parametrize("features", [None, NAMES])
@pytest.mark.parametrize("kind", CLASSES)
def test_it_learns_as_river_asks(kind: type, features: tuple[str, ...] | None, name: str) -> None:
    n = 2000 if name == "bounded_memory_growth" else 250
    check(name)(kind(features=features), dataset(n))


@pytest.mark.parametrize("kind", CLASSES)
def test_predicting_is_pure_and_works_before_any_learning(kind: type) -> None:
    model = kind(n_clusters=3)
    assert model.predict_one({"a": 1.0}) == 0
    assert model.predict_one({}) == 0
    for x, _ in dataset(200):
        model.learn_one(x)
    before = pickle.dumps(model)
    for x in ({"a": 2.0, "unseen": 3.0}, {}, {"a": float("nan")}, dataset(1)[0][0]):
        asked = dict(x)
        assert 0 <= model.predict_one(x) < 3
        assert repr(x) == repr(asked)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("kind", CLASSES)
def test_one_value_that_is_not_a_number_poisons_nothing(kind: type) -> None:
    model = kind(n_clusters=3, features=NAMES)
    for x, _ in dataset(200):
        model.learn_one(x)
        model.learn_one(x | {"b": float("nan"), "c": float("inf")})
    assert np.isfinite(model.centroids).all()
    assert len({model.predict_one(x) for x, _ in dataset(200)}) == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_centroids_alone_predict_what_the_clusterer_predicts(algorithm: str) -> None:
    model = make_clusterer(algorithm, 7, 1, NAMES)
    model.seed_from(points(2000))
    for x, _ in dataset(1000):
        model.learn_one(x)
    rows = points(3000, seed=0)
    predicted = [model.predict_one(dict(zip(NAMES, row, strict=True))) for row in rows.tolist()]
    assert_array_equal(predicted, nearest_centroid(rows, model.centroids))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_follows_mini_batches_about_as_it_follows_single_vectors(algorithm: str) -> None:
    rows = points(4000)
    drifted = rows + 1.5
    together, singly = (make_clusterer(algorithm, 7, 1, NAMES) for _ in range(2))
    for model in (together, singly):
        model.seed_from(rows)
    before = inertia(drifted, together.centroids)
    for start in range(0, len(drifted), 100):
        together.follow(drifted[start : start + 100])
    for row in drifted.tolist():
        singly.learn_one(dict(zip(NAMES, row, strict=True)))
    followed = inertia(drifted, singly.centroids)
    assert followed < 0.6 * before
    assert inertia(drifted, together.centroids) < 1.02 * followed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_goes_on_from_the_centroids_it_is_given(algorithm: str) -> None:
    model = make_clusterer(algorithm, 3, 1, NAMES)
    given = points(3)
    model.start(given)
    assert_array_equal(model.centroids, given)
    model.learn_one(dict(zip(NAMES, given[0].tolist(), strict=True)))
    assert_array_equal(model.centroids, given)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_refining_settles_on_the_sample_and_leaves_nobody_out(algorithm: str) -> None:
    def spread(model: CentroidClusterer) -> float:
        return inertia(rows, model.centroids) / len(rows)

    rows = points(1400)
    model = make_clusterer(algorithm, 7, 1, NAMES)
    model.start(np.concatenate([rows[:6], np.full((1, len(NAMES)), 300.0)]))
    model.refine(rows, 20)
    # The seven groups have a variance of 1 in each coordinate.
    assert spread(model) < 1.25 * len(NAMES)
    assert len(np.unique(nearest_centroid(rows, model.centroids))) == 7


def test_the_default_learner_settles_closer_than_rivers() -> None:
    rows = np.random.default_rng(4).normal(size=(2000, 5))
    reached: dict[str, float] = {}
    for algorithm in ALGORITHMS:
        model: Any = make_clusterer(algorithm, 6, 2, NAMES)
        model.seed_from(rows)
        model.refine(rows, 20)
        reached[algorithm] = inertia(rows, model.centroids)
    assert min(reached, key=lambda name: reached[name]) == "online_kmeans"


def test_an_unknown_algorithm_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnknownAlgorithmError, match="choose one of online_kmeans, river_kmeans"):
        make_clusterer("dbscan", 3, 0, NAMES)
