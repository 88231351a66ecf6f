"""What the members of a segment are like."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.personas import Persona
from models.portraits import Crowd
from models.snapshots import Snapshot, Trait
from models.wording import Wording
from tests.models.test_snapshots import model

FEATURES = (
    Feature("orders", Kind.COUNT, half_life_days=60, unit="orders"),
    Feature("spent", Kind.SUM, of="value", half_life_days=60, unit="spent", currency="EUR"),
    Feature("support", Kind.COUNT, unit="support contacts"),
    Feature("age", Kind.NUMBER, unit="years"),
    Feature("region#1", Kind.BUCKET),
)
LABELS = np.array([0, 0, 0, 1, 1, 1])
VECTORS = np.array(
    [
        [1.0, 10, 0, 30, 1],
        [2, 20, 0, np.nan, 1],
        [3, 30, 0, 40, 0],
        [8, 300, 0, np.nan, 0],
        [9, 300, 0, np.nan, 0],
        [10, 340, 6, np.nan, 0],
    ]
)
CUSTOMERS = tuple(CustomerId(f"c{i}") for i in range(6))
MANY = Trait("orders", high=True, strength=1.0)
OLD = Trait("age", high=True, strength=0.9)


def portray(
    vectors: np.ndarray = VECTORS, features: tuple[Feature, ...] = FEATURES
) -> list[Persona]:
    points = VECTORS[:, :1] - 5.5
    return list(
        Crowd(CUSTOMERS, features, vectors).portray(
            points,
            LABELS,
            np.array([[-3.5], [3.6]]),
            [(), (MANY, OLD, Trait("support", high=True, strength=0.5))],
            [(), ("orders", "age", "support")],
        )
    )


def test_a_typical_value_is_the_median_in_the_features_own_unit() -> None:
    few, many = portray()
    factor = 90 / (60 / np.log(2))
    assert [t.feature for t in few.typical] == ["orders", "spent", "support", "age"]
    orders = many.typical[0]
    assert (orders.value, orders.everybody) == (round(9 * factor, 3), round(5.5 * factor, 3))
    assert (orders.unit, orders.text) == ("orders in 90 days", "9.4 orders in 90 days")
    assert orders.usual == "5.7"
    assert few.typical[1].text == "21 EUR spent in 90 days"


def test_where_the_median_says_nothing_the_mean_does() -> None:
    _, many = portray()
    support = many.typical[2]
    assert (support.value, support.everybody) == (2.0, 1.0)
    assert support.text == "2 support contacts on average"


def test_what_nobody_in_a_segment_has_told_is_left_out() -> None:
    few, many = portray()
    assert few.typical[3].text == "35 years"
    assert [t.feature for t in many.typical] == ["orders", "spent", "support"]
    assert many.highlights == ("9.4 orders in 90 days", "2 support contacts on average")


def test_the_sentence_says_how_many_what_they_bring_and_what_is_typical() -> None:
    few, many = portray()
    assert many.sentence == (
        "50% of customers, 94% of revenue: "
        "typically 9.4 orders in 90 days and 2 support contacts on average."
    )
    assert few.sentence == "50% of customers, 6% of revenue: nothing sets them apart."


def test_revenue_is_what_a_feature_sums_and_unknown_without_one() -> None:
    assert [p.revenue_share for p in portray()] == [pytest.approx(0.06), pytest.approx(0.94)]
    others = [0, 2, 3, 4]
    without = tuple(FEATURES[i] for i in others)
    assert [p.revenue_share for p in portray(VECTORS[:, others], without)] == [None, None]
    assert portray(np.zeros_like(VECTORS))[0].revenue_share is None


def test_examples_are_the_members_nearest_to_the_centroid() -> None:
    few, many = portray()
    assert few.examples == ("c1", "c0", "c2")
    assert many.examples == ("c4", "c5", "c3")


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (Feature("f", Kind.COUNT, half_life_days=14, unit="views"), 10.0, "15 views in 30 days"),
        (Feature("f", Kind.COUNT, half_life_days=0.5, unit="views"), 1.0, "1.4 views a day"),
        (Feature("f", Kind.COUNT, unit="orders"), 1.0, "1 order"),
        (Feature("page_views", Kind.COUNT), 2.0, "2 page views"),
        (
            Feature("f", Kind.MEAN, of="value", unit="per order", currency="GBP"),
            64.2,
            "64 GBP per order",
        ),
        (
            Feature("f", Kind.RATIO, unit="share of orders with a coupon"),
            0.455,
            "46% of orders with a coupon",
        ),
        (
            Feature("f", Kind.RECENCY, cap_days=180, unit="days since the last order"),
            180.0,
            "180+ days since the last order",
        ),
        (
            Feature("f", Kind.RECENCY, unit="days since the last order"),
            1.0,
            "1 day since the last order",
        ),
        (
            Feature("f", Kind.DISTINCT, half_life_days=60, unit="categories"),
            1.0,
            "1 category in 90 days",
        ),
        (Feature("newsletter", Kind.FLAG, unit="newsletter"), 0.7, "70% with newsletter"),
        (Feature("f", Kind.RANK, values=("low", "mid", "high")), 0.6, "f mid"),
    ],
)
def test_values_are_told_in_the_words_of_a_shop(feature: Feature, value: float, text: str) -> None:
    assert Wording.of(feature).text(value) == text


def test_a_flag_is_told_by_the_share_of_those_who_have_it() -> None:
    flags = (*FEATURES[:3], Feature("newsletter", Kind.FLAG, unit="newsletter"), FEATURES[4])
    vectors = VECTORS.copy()
    vectors[:, 3] = [1, 0, 0, 1, 1, np.nan]
    assert [p.typical[3].text for p in portray(vectors, flags)] == [
        "33% with newsletter",
        "100% with newsletter",
    ]


def test_a_persona_survives_the_snapshot() -> None:
    told = portray()[1]
    known = model()
    first, *others = known.segments
    stored = replace(known, segments=(replace(first, persona=told), *others)).to_json()
    assert Snapshot.from_json(stored).segments[0].persona == told


def test_a_model_from_before_there_were_personas_has_none() -> None:
    content = json.loads(model().to_json())
    for segment in content["segments"]:
        segment.pop("persona")
    assert all(s.persona is None for s in Snapshot.from_json(json.dumps(content).encode()).segments)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(list(Kind)))
def test_every_value_of_every_kind_has_words(value: float, kind: Kind) -> None:
    feature = Feature("a_feature", kind, half_life_days=30, values=("low", "high"))
    text = Wording.of(feature).text(np.clip(value, 0, 1) if kind is Kind.RANK else value)
    assert "feature" in text
