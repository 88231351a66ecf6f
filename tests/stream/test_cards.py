"""What people and programs read of a segment."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from redis.asyncio import Redis

from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.labels import Label, LabelBook
from models.lineage import Group
from models.personas import Persona, Typical
from models.profiles import ProfileSchema
from models.scaling import Scaler
from models.snapshots import Segment, Snapshot, Trait
from models.tastes import Preference, Tastes
from stream.cards import Cards, make_cards, segment_cards
from stream.catalogue import Catalogue
from stream.cluster import RedisClient
from stream.labels import Labels
from stream.names import Keys
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


def portrayed(version: int = 1) -> Snapshot:
    """A model that knows what its segments are like, and of one group."""
    few, many = two_segments().segments
    persona = Persona(
        sentence="Half of them.",
        highlights=("5 orders",),
        typical=(Typical("orders", 5.0, 2.0, "orders", "5 orders", "2"),),
        revenue_share=0.91234,
        examples=(CustomerId("ann"),),
    )
    third = replace(many, number=3, name="Third", share=0.1)
    model = two_segments(version)
    return replace(
        model,
        segments=(few, replace(many, persona=persona), third),
        centroids=np.vstack([model.centroids, model.centroids[:1]]),
        next_number=4,
        groups=(Group(1, (2, 3), 1.0), Group(2, (1, 2, 3), 3.0)),
    )


def test_a_card_says_what_the_model_the_operators_and_the_events_say() -> None:
    labels = LabelBook(4, {2: Label("VIP", "/vip", tags=("gold",)), 3: Label(offer="tea")})
    tastes: Tastes = {2: {"hours": (Preference("20", 0.12345, 1.999),)}}
    few, many, third = make_cards(portrayed(version=7), SCHEMA, labels, tastes)
    assert (many.name, many.given_name, many.label.landing_page) == ("VIP", "Many orders", "/vip")
    assert (many.sentence, many.revenue_share, many.examples) == ("Half of them.", 0.9123, ("ann",))
    assert many.typical["orders"].text == "5 orders"
    assert many.prefers == {"hours": (Preference("20", 0.1235, 2.0),)}
    assert (third.name, third.label.offer) == ("Third", "tea")
    assert (few.sentence, few.revenue_share, few.prefers) == ("", None, {})


def test_a_card_names_the_coarser_views_but_not_that_of_everybody() -> None:
    labels = LabelBook(1, {2: Label("VIP")})
    few, many, _ = make_cards(portrayed(), SCHEMA, labels)
    (group,) = many.groups
    assert (group.id, group.name, group.segments) == ("g1", "VIP and 1 more", ("s2", "s3"))
    assert few.groups == ()


async def publish(redis: RedisClient, keys: Keys, model: Snapshot) -> None:
    catalogue = Catalogue(redis, keys)
    epoch = await catalogue.claim_training("default")
    await catalogue.publish_model(
        model.to_json(), version=model.version, epoch=epoch, segments={}, segmentation="default"
    )


async def test_cards_are_made_anew_of_what_redis_holds(redis: Redis, namespace: str) -> None:
    keys = Keys(namespace)
    cards, labels = Cards(redis, keys, SCHEMA), Labels(redis, keys)
    assert await cards.of("default") == []
    await publish(redis, keys, portrayed())
    assert await cards.refresh("default")
    assert await labels.write("default", {2: Label("VIP")}, revision=0)
    assert await cards.refresh("default")
    stored = await Catalogue(redis, keys).segments("default")
    assert [card["name"] for card in stored.values()] == ["Few orders", "VIP", "Third"]
    await publish(redis, keys, two_segments(version=2))
    assert await cards.refresh("default")
    assert list(await Catalogue(redis, keys).segments("default")) == ["s1", "s2"]


async def test_cards_of_a_model_or_a_label_that_has_gone_on_are_not_written(
    redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(namespace)
    cards, labels = Cards(redis, keys, SCHEMA), Labels(redis, keys)
    await publish(redis, keys, portrayed())
    made = await cards._made("default")

    async def of_before(_: str) -> object:
        return made

    monkeypatch.setattr(cards, "_made", of_before)
    assert await labels.write("default", {2: Label("VIP")}, revision=0)
    assert not await cards.refresh("default")
    assert await Catalogue(redis, keys).segments("default") == {}
