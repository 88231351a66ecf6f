"""What people and programs read of a segment."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.features import Feature, Kind
from models.profiles import ProfileSchema
from models.scaling import Scaler
from models.snapshots import Segment, Snapshot, Trait
from stream.cards import segment_cards
from tests.stream.lane_kit import SCHEMA, two_segments


def units(*names: str) -> ProfileSchema:
    return ProfileSchema(tuple(Feature(name, Kind.COUNT, unit=f"{name}!") for name in names))


def test_a_card_says_what_is_typical_in_the_features_own_units() -> None:
    cards = segment_cards(two_segments(version=3), SCHEMA)
    assert list(cards) == ["s1", "s2"]
    few, many = (json.loads(card) for card in cards.values())
    assert few["name"] == "Few orders"
    assert (few["share"], few["since_model"], few["model"]) == (0.5, 1, 3)
    typical = [card["typical"]["orders"]["value"] for card in (few, many)]
    assert_allclose(typical, [1, 5], rtol=0.05)  # scaled values end at the sample's quantiles
    assert set(few["typical"]) == set(SCHEMA.names)


def test_units_are_those_of_the_configuration_and_none_where_it_knows_none() -> None:
    cards = segment_cards(two_segments(), units("orders"))
    typical = json.loads(cards["s1"])["typical"]
    assert typical["orders"]["unit"] == "orders!"
    assert typical["recency"]["unit"] == ""


def test_traits_say_much_or_little_and_keep_their_order() -> None:
    traits = (Trait("recency", high=True, strength=2.0), Trait("orders", high=False, strength=1.0))
    segment = Segment(1, "Größe\n🐟", 1 / 3, 2, traits[0], traits)
    model = replace(two_segments(), segments=(segment, two_segments().segments[1]))
    told = segment_cards(model, SCHEMA)["s1"]
    assert "Größe" in told
    card = json.loads(told)
    assert (card["name"], card["share"], card["since_model"]) == ("Größe\n🐟", 0.3333, 2)
    assert card["traits"] == [
        {"feature": "recency", "high": True},
        {"feature": "orders", "high": False},
    ]


def far(centroid: float) -> Snapshot:
    """A model whose centroids lie that far out, on a logarithmic and on a linear feature."""
    features = (Feature("log", Kind.COUNT), Feature("linear", Kind.COUNT, scale="linear"))
    scaler = Scaler.fit(features, np.array([[0.0, 0.0], [1e6, 90.0], [2e6, 5.0]]))
    return replace(two_segments(), scaler=scaler, centroids=np.full((2, 2), centroid))


@pytest.mark.parametrize("centroid", [-5.0, -1.0, 0.0, 1.0, 5.0])
def test_typical_values_go_through_the_scaler_and_back(centroid: float) -> None:
    model = far(centroid)
    card = json.loads(segment_cards(model, units("log", "linear"))["s2"])
    values = [card["typical"][name]["value"] for name in ("log", "linear")]
    assert_allclose([values], model.scaler.inverse(model.centroids[1:]), atol=5e-4)
