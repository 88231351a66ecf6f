"""The rule that decides which segment a customer is in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from models.assignment import assign, distances_to
from models.columns import Floats
from models.scaling import Column, Scaler
from models.snapshots import Segment, Snapshot
from tests.models.test_snapshots import model


def line(*places: float, margin: float = 0.1) -> Snapshot:
    """Segments 1, 2, … at these places of one feature that is not scaled."""
    scaler = Scaler((Column("x", log=False, low=-1e6, high=1e6, centre=0, divisor=1, weight=1),))
    return replace(
        model(),
        scaler=scaler,
        centroids=np.array(places)[:, np.newaxis],
        segments=tuple(Segment(i, f"n{i}", 0.1, 1) for i in range(1, len(places) + 1)),
        next_number=len(places) + 1,
        margin=margin,
    )


def at(*places: float) -> Floats:
    return np.array(places, dtype=np.float64)[:, np.newaxis]


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint32)


def test_a_customer_without_a_segment_goes_to_the_nearest() -> None:
    result = assign(line(0, 10, 14), at(1, 9, 90), numbers(0, 0, 0))
    assert result.segment.tolist() == [1, 2, 3]
    assert result.runner_up.tolist() == [2, 3, 2]
    assert_allclose(result.confidence, [1 - 1 / 9, 1 - 1 / 5, 1 - 76 / 80])
    assert_array_equal(result.margin, [0, 0, 0])


def test_a_customer_stays_while_another_segment_is_hardly_nearer() -> None:
    result = assign(line(0, 10), at(5.4, 5.6), numbers(1, 1))
    assert result.segment.tolist() == [1, 2]
    assert_allclose(result.margin, [0.08, 0.12])
    assert result.runner_up.tolist() == [2, 1]
    assert_allclose(result.confidence, [0, 1 - 4.4 / 5.6])


def test_a_customer_of_a_segment_that_is_no_more_moves_at_once() -> None:
    result = assign(line(0, 10), at(5.1), numbers(77))
    assert result.segment.tolist() == [2]
    assert result.margin.tolist() == [0]


def test_the_only_segment_takes_everybody_with_full_confidence() -> None:
    result = assign(line(3), at(-50, 3), numbers(0, 1))
    assert result.segment.tolist() == [1, 1]
    assert result.confidence.tolist() == [1, 1]
    assert result.runner_up.tolist() == [0, 0]
    assert result.margin.tolist() == [0, 0]


def test_on_a_centroid_confidence_is_full_and_on_two_it_is_none() -> None:
    result = assign(line(0, 10, 10), at(0, 10), numbers(0, 3))
    assert result.confidence.tolist() == [1, 0]
    assert result.segment.tolist() == [1, 3]
    assert result.runner_up.tolist() == [2, 2]


def test_nobody_is_assigned_when_nobody_is_there() -> None:
    result = assign(line(0, 10), np.empty((0, 1)), numbers())
    assert [a.shape for a in (result.segment, result.confidence, result.runner_up)] == [(0,)] * 3
    assert result.segment.dtype == result.runner_up.dtype == np.uint32


def test_a_vector_that_is_not_finite_counts_as_the_centre() -> None:
    snapshot = model(k=4, n_features=3)
    centre = snapshot.scaler.inverse(np.zeros((1, 3)))
    wrong = np.array([[np.nan, np.inf, -np.inf]])
    expected = assign(snapshot, centre, numbers(0))
    assert assign(snapshot, wrong, numbers(0)).segment == expected.segment


CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "k": st.integers(1, 6),
    "n_features": st.integers(1, 5),
    "margin": st.floats(0, 0.9),
}


def case(
    seed: int, k: int, n_features: int, margin: float
) -> tuple[Snapshot, Floats, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    snapshot = model(k, n_features, seed, margin)
    vectors = rng.lognormal(0, 2, (40, n_features)) - 1
    return snapshot, vectors, rng.integers(0, 2 * k + 2, 40).astype(np.uint32), rng


@given(**CASES)
def test_nobody_leaves_for_less_than_the_margin_and_all_stay_within_range(
    seed: int, k: int, n_features: int, margin: float
) -> None:
    snapshot, vectors, current, _ = case(seed, k, n_features, margin)
    result = assign(snapshot, vectors, current)
    points = snapshot.scaler.transform(vectors)
    for i, own in enumerate(current.tolist()):
        distances = dict(
            zip(
                snapshot.numbers.tolist(),
                np.linalg.norm(snapshot.centroids - points[i], axis=1).tolist(),
                strict=True,
            )
        )
        nearest = min(distances.values())
        if own not in distances:
            assert distances[int(result.segment[i])] == pytest.approx(nearest)
            assert result.margin[i] == 0
            continue
        pull = (distances[own] - nearest) / (distances[own] + nearest)
        assert result.margin[i] == pytest.approx(pull, abs=1e-9)
        if result.segment[i] != own:
            assert pull > margin - 1e-9
        elif pull > margin + 1e-9:
            raise AssertionError(f"customer {i} should have left")
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()
    assert ((result.margin >= 0) & (result.margin <= 1)).all()
    assert (result.runner_up != result.segment).all()
    assert np.isin(result.segment, snapshot.numbers).all()


@given(**CASES)
def test_all_at_once_is_one_by_one(seed: int, k: int, n_features: int, margin: float) -> None:
    snapshot, vectors, current, _ = case(seed, k, n_features, margin)
    batch = assign(snapshot, vectors, current)
    for i in range(len(vectors)):
        one = assign(snapshot, vectors[i : i + 1], current[i : i + 1])
        for name in ("segment", "confidence", "runner_up", "margin"):
            assert getattr(one, name)[0] == getattr(batch, name)[i]


@given(**CASES)
def test_the_order_of_features_does_not_matter(
    seed: int, k: int, n_features: int, margin: float
) -> None:
    snapshot, vectors, current, rng = case(seed, k, n_features, margin)
    order = rng.permutation(n_features)
    columns = tuple(snapshot.scaler.columns[i] for i in order)
    shuffled = replace(snapshot, scaler=Scaler(columns), centroids=snapshot.centroids[:, order])
    one, other = assign(snapshot, vectors, current), assign(shuffled, vectors[:, order], current)
    assert_allclose(one.margin, other.margin, atol=1e-9)
    # Rounding may decide what is equally near, or exactly at the margin.
    distances = np.sort(distances_to(snapshot.scaler.transform(vectors), snapshot.centroids))
    is_clear = (np.diff(distances) > 1e-9).all(axis=1) & (np.abs(one.margin - margin) > 1e-9)
    assert_array_equal(one.segment[is_clear], other.segment[is_clear])
    assert_array_equal(one.runner_up[is_clear], other.runner_up[is_clear])
    assert_allclose(one.confidence[is_clear], other.confidence[is_clear], atol=1e-9)


@given(**CASES)
def test_assigning_again_changes_nothing(seed: int, k: int, n_features: int, margin: float) -> None:
    snapshot, vectors, current, _ = case(seed, k, n_features, margin)
    first = assign(snapshot, vectors, current)
    assert_array_equal(assign(snapshot, vectors, first.segment).segment, first.segment)
