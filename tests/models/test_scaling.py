"""From feature units to scaled space and back."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal

from models.columns import Floats
from models.features import Feature, Kind
from models.scaling import WIDEST, Column, Scaler

LOG = Feature("orders", Kind.COUNT)
LINEAR = Feature("days", Kind.RECENCY, scale="linear")
SAMPLES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.floats(allow_nan=True, allow_infinity=True),
)


def features(n: int) -> list[Feature]:
    return [replace(LOG if i % 2 else LINEAR, name=f"f{i}", weight=1.0 + i) for i in range(n)]


def column(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def test_a_sample_gets_mean_zero_and_the_weight_as_deviation() -> None:
    vectors = np.random.default_rng(1).lognormal(2, 1, (5000, 2))
    weighty = [replace(LOG, weight=3.0), LINEAR]
    points = Scaler.fit(weighty, vectors).transform(vectors)
    assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    assert_allclose(points.std(axis=0), [3, 1])


def test_values_beyond_the_outer_hundredths_are_pulled_in() -> None:
    values = np.arange(1001.0)
    scaler = Scaler.fit([LINEAR], column([*values]))
    assert scaler.columns[0].low == 10
    assert scaler.columns[0].high == 990
    assert_array_equal(scaler.transform(column([1e9])), scaler.transform(column([990])))


def test_what_few_customers_have_is_not_cut_away() -> None:
    values = column([0.0] * 995 + [1.0] * 5)
    points = Scaler.fit([LINEAR], values).transform(values)
    assert len(np.unique(points)) == 2


def test_a_feature_that_few_customers_have_weighs_less_over_all() -> None:
    values = column([0.0] * 995 + [1.0] * 5)
    points = Scaler.fit([LINEAR], values).transform(values)
    assert np.ptp(points) == pytest.approx(WIDEST)
    assert points.std() == pytest.approx(0.423, abs=0.001)


@given(st.integers(0, 99))
def test_another_sample_of_the_same_customers_is_scaled_alike(seed: int) -> None:
    draws = np.random.default_rng(seed)

    def sample() -> Floats:
        # The second is close to where the limits turn from quantiles to the extremes.
        usual, rare = draws.lognormal(0, 1, 2000), draws.random(2000) < 0.01
        return np.stack([usual, rare * draws.lognormal(3, 1, 2000)], axis=1)

    scaler = Scaler.fit([LOG, LINEAR], sample())
    assert scaler.suits([LOG, LINEAR], sample(), 0.25)


@pytest.mark.parametrize(
    "vectors",
    [
        np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]),
        np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 8.0]]),
        np.array([[11.0, 1.0], [12.0, 2.0], [13.0, 3.0]]),
        np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]]),
    ],
    ids=["constant", "wider", "moved", "unknown"],
)
def test_a_sample_that_differs_needs_another_scaler(vectors: Floats) -> None:
    fitted = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    scaler = Scaler.fit(features(2), fitted)
    assert scaler.suits(features(2), fitted, 0.1)
    assert not scaler.suits(features(2), vectors, 0.1)
    assert not Scaler.fit(features(2), vectors).suits(features(2), fitted, 0.1)


def test_other_weights_scales_or_names_need_another_scaler() -> None:
    vectors = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    scaler, mine = Scaler.fit(features(2), vectors), features(2)
    for other in (
        [mine[0], replace(mine[1], weight=7.0)],
        [mine[0], replace(mine[1], scale="linear")],
        mine[::-1],
        mine[:1],
    ):
        assert not scaler.measures(other)
        assert not scaler.suits(other, vectors[:, : len(other)], 0.1)


def test_a_constant_feature_contributes_nothing_for_anybody() -> None:
    scaler = Scaler.fit([LOG], column([0.1 + 0.2] * 100))
    assert scaler.columns[0].divisor == 1
    assert_array_equal(scaler.transform(column([0.3, 0, 1e6])), np.zeros((3, 1)))


@given(SAMPLES)
def test_points_are_finite_whatever_was_seen(vectors: Floats) -> None:
    scaler = Scaler.fit(features(vectors.shape[1]), vectors)
    points = scaler.transform(vectors)
    assert np.isfinite(points).all()
    assert not points[~np.isfinite(vectors)].any()


@given(SAMPLES)
def test_its_json_gives_the_same_scaler_bit_for_bit(vectors: Floats) -> None:
    scaler = Scaler.fit(features(vectors.shape[1]), vectors)
    assert Scaler.from_dict(json.loads(json.dumps(scaler.to_dict()))) == scaler


def test_the_inverse_leads_back_to_feature_units() -> None:
    vectors = np.random.default_rng(2).normal(0, 50, (300, 2))
    scaler = Scaler.fit([LOG, LINEAR], vectors)
    inside = vectors[50:60]
    low, high = (scaler.inverse(np.full((1, 2), far)) for far in (-2.0, 2.0))
    inside = np.clip(inside, np.maximum(low, -40), np.minimum(high, 40))
    assert_allclose(scaler.inverse(scaler.transform(inside)), inside)


def test_a_feature_without_weight_leads_back_to_its_centre() -> None:
    scaler = Scaler((Column("days", log=False, low=0, high=9, centre=4, divisor=2, weight=0),))
    assert scaler.transform(column([9])).item() == 0
    assert scaler.inverse(column([0.0])).item() == 4


def test_the_vectors_that_are_given_stay_as_they_were() -> None:
    vectors = column([1.0, np.nan, 7.0])
    before = vectors.copy()
    Scaler.fit([LOG], vectors).transform(vectors)
    assert_array_equal(vectors, before)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_features_does_not_change_a_column(vectors: Floats, draws: Random) -> None:
    n = vectors.shape[1]
    order = list(range(n))
    draws.shuffle(order)
    plain = Scaler.fit(features(n), vectors)
    shuffled = Scaler.fit([features(n)[i] for i in order], vectors[:, order])
    assert_array_equal(plain.transform(vectors)[:, order], shuffled.transform(vectors[:, order]))


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 1\), features are 2"):
        Scaler.fit([LOG, LINEAR], column([1, 2, 3]))


@pytest.mark.parametrize("wrong", [{"divisor": 0.0}, {"centre": float("nan")}, {"low": 10.0}])
def test_a_column_that_cannot_scale_is_refused(wrong: dict[str, float]) -> None:
    good = Column("days", log=False, low=0, high=9, centre=4, divisor=2, weight=1)
    with pytest.raises(ValueError, match="'days' cannot scale"):
        replace(good, **wrong)  # type: ignore[arg-type]  # wrong on purpose
