"""What is wrong with two clusterers of River 0.26.1, and that the repair repairs it.

Each fault is shown on River's own class, so that a version without it is noticed.
"""

import math
from typing import Any

import numpy as np
import pytest
from river import cluster

from models.river_kmeans import RiverKMeans, RiverStreamKMeans

Vector = dict[str, float]
# River annotates its clusterers in part only.
KMeans: Any = cluster.KMeans
StreamKMeans: Any = cluster.STREAMKMeans


def two_groups(n: int = 300) -> list[Vector]:
    """Two groups far from the origin, by turns around (100, 0) and (108, 0)."""
    rng = np.random.default_rng(0)
    rows = np.array([[100, 0], [108, 0]])[np.arange(n) % 2] + rng.normal(size=(n, 2))
    return [{"a": a, "b": b} for a, b in rows.tolist()]


def learned(model: Any, vectors: list[Vector]) -> Any:
    for x in vectors:
        model.learn_one(dict(x))
    return model


def groups_told_apart(model: Any, vectors: list[Vector]) -> int:
    return len({model.predict_one(dict(x)) for x in vectors})


@pytest.mark.parametrize(
    ("rivers", "repaired"),
    [
        (lambda: KMeans(n_clusters=2, seed=1), lambda: RiverKMeans(2)),
        (
            lambda: StreamKMeans(chunk_size=20, n_clusters=2, seed=1),
            lambda: RiverStreamKMeans(2, chunk_size=20),
        ),
    ],
    ids=["KMeans", "STREAMKMeans"],
)
def test_a_gaussian_start_puts_everybody_in_one_cluster(rivers: Any, repaired: Any) -> None:
    vectors = two_groups()
    assert groups_told_apart(learned(rivers(), vectors), vectors) == 1
    assert groups_told_apart(learned(repaired(), vectors), vectors) == 2


def test_rivers_stream_k_means_learns_gaussian_noise_as_if_it_were_data() -> None:
    vectors = [{"a": 100.0}] * 200
    rivers = learned(StreamKMeans(chunk_size=20, n_clusters=2, seed=1), vectors)
    assert min(center["a"] for center in rivers.centers.values()) < 10
    repaired = learned(RiverStreamKMeans(2, chunk_size=20), vectors)
    assert [center["a"] for center in repaired.centers.values()] == [100.0]


def test_one_nan_poisons_rivers_centre_for_good() -> None:
    vectors = two_groups()
    spoiled = [*vectors[:50], {"a": math.nan, "b": 0.0}, *vectors[50:]]
    rivers = learned(KMeans(n_clusters=2, seed=1), spoiled)
    assert any(math.isnan(center["a"]) for center in rivers.centers.values())
    repaired = learned(RiverKMeans(2), spoiled)
    assert np.isfinite(repaired.centroids).all()
    assert groups_told_apart(repaired, vectors) == 2


def test_one_nan_poisons_rivers_stream_k_means_too() -> None:
    vectors = two_groups()
    spoiled = [*vectors[:50], {"a": math.nan, "b": 0.0}, *vectors[50:]]
    rivers = learned(StreamKMeans(chunk_size=10, n_clusters=2, seed=1), spoiled)
    assert any(math.isnan(center["a"]) for center in rivers.centers.values())
    assert np.isfinite(learned(RiverStreamKMeans(2, chunk_size=10), spoiled).centroids).all()


def test_asking_river_for_a_prediction_adds_features_to_the_model() -> None:
    rivers = learned(KMeans(n_clusters=2, seed=1), two_groups())
    rivers.predict_one({"a": 100.0, "unseen": 1.0})
    assert "unseen" in rivers.centers[0]
    repaired = learned(RiverKMeans(2), two_groups())
    repaired.predict_one({"a": 100.0, "unseen": 1.0})
    assert set(repaired.centers[0]) == {"a", "b"}


def test_rivers_half_life_is_a_constant_step() -> None:
    rivers = KMeans(n_clusters=1, halflife=0.5, mu=0, sigma=0, seed=1)
    steps = []
    for _ in range(1000):
        rivers.learn_one({"a": 1.0})
    for _ in range(2):
        before = rivers.centers[0]["a"]
        rivers.learn_one({"a": before + 1.0})
        steps.append(rivers.centers[0]["a"] - before)
    assert steps == pytest.approx([0.5, 0.5])


def test_rivers_stream_k_means_cannot_predict_before_its_first_chunk() -> None:
    with pytest.raises(ValueError, match="empty"):
        StreamKMeans().predict_one({"a": 1.0})
    assert RiverStreamKMeans().predict_one({"a": 1.0}) == 0


def test_rivers_stream_k_means_keeps_vectors_by_reference() -> None:
    def lasting(model: Any) -> set[float]:
        x = {"a": 1.0}
        for value in (1.0, 2.0, 3.0, 4.0):
            x["a"] = value
            model.learn_one(x)
        chunk = model._temp_chunk.values()
        return {vector["a"] for vector in chunk}

    assert lasting(StreamKMeans(chunk_size=9)) == {4.0}
    assert lasting(RiverStreamKMeans(2, chunk_size=9)) == {1.0, 2.0, 3.0, 4.0}


def test_learning_and_predicting_in_one_gives_the_centre_that_was_nearest_before() -> None:
    model = RiverKMeans(2, ("a",), halflife=0.5)
    model.start(np.array([[0.0], [10.0]]))
    assert model.learn_predict_one({"a": 9.0}) == 1
    assert model.centroids.ravel().tolist() == [0.0, 9.5]


def test_a_started_stream_k_means_forgets_the_chunk_it_had_begun() -> None:
    model = RiverStreamKMeans(1, ("a",), chunk_size=2, halflife=0.5)
    model.learn_one({"a": 500.0})
    model.start(np.array([[0.0]]))
    model.learn_one({"a": 1.0})
    assert model.centroids.item() == 0
    model.learn_one({"a": 1.0})
    assert model.centroids.item() == 0.5
