"""What customers told of themselves: how it is read, kept, and counted beside behaviour."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from models.accumulators import update
from models.attributes import MAX_TEXT, code_of, coordinate, read_traits
from models.columns import Floats
from models.features import Attribute, Feature, Form, Kind
from models.profiles import DAY_MS, IDENTIFY, ProfileSchema
from models.scaling import Scaler
from tests.models.test_accumulators import START_MS, columns, event

AGE, CITY = Attribute("age", Form.NUMBER), Attribute("address.city", Form.TEXT)
MEMBER = Attribute("member", Form.FLAG)
CITIES = ("Berlin", "Oslo", "Rome")


def one_of(values: tuple[str, ...], weight: float = 1.0) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            f"city={value}",
            Kind.CATEGORY,
            scale="linear",
            weight=weight,
            attribute=CITY,
            values=(value,),
            group="city",
        )
        for value in values
    )


SCHEMA = ProfileSchema(
    (
        Feature("activity", Kind.COUNT),
        Feature("age", Kind.NUMBER, attribute=AGE, scale="linear"),
        Feature("member", Kind.FLAG, attribute=MEMBER, scale="linear"),
        *one_of(CITIES),
    )
)
NAN = float("nan")


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ({}, {}),
        ({"age": 42, "other": 1}, {AGE: 42.0}),
        ({"age": " 42.5 "}, {AGE: 42.5}),
        ({"age": None}, {AGE: NAN}),
        ({"age": "young"}, {}),
        ({"age": "inf"}, {}),
        ({"age": NAN}, {}),
        ({"age": 10**400}, {}),
        ({"age": [42]}, {}),
        ({"member": True}, {MEMBER: 1.0}),
        ({"member": "No"}, {MEMBER: 0.0}),
        ({"member": 0}, {MEMBER: 0.0}),
        ({"member": 2}, {}),
        ({"address": {"city": " OSLO"}}, {CITY: code_of("Oslo")}),
        ({"address": {"city": 7}}, {CITY: code_of("7")}),
        ({"address": {"city": ""}}, {}),
        ({"address": {"city": "x" * (MAX_TEXT + 1)}}, {}),
        ({"address": {"city": None}}, {CITY: NAN}),
        ({"address": "Oslo", "address.city": "Oslo"}, {}),
        ({"address": {}}, {}),
    ],
)
def test_a_trait_is_read_as_its_attribute_says(
    traits: dict[str, Any], told: dict[Attribute, float]
) -> None:
    found = {SCHEMA.attributes[at]: value for at, value in read_traits(traits, SCHEMA.attributes)}
    assert found.keys() == told.keys()
    assert_array_equal(list(found.values()), list(told.values()))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.sampled_from(["age", "address", "city", "member"]), inside, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["age", "address", "member"]), ANYTHING))
def test_whatever_is_told_is_a_bounded_number_an_unknown_or_nothing(traits: dict[str, Any]) -> None:
    for at, value in read_traits(traits, SCHEMA.attributes):
        assert 0 <= at < len(SCHEMA.attributes)
        assert np.isnan(value) or abs(value) <= 2**53


tellings = st.lists(
    st.fixed_dictionaries(
        {
            "customer": st.integers(0, 2),
            "time_ms": st.integers(START_MS, START_MS + 9),
            "id": st.integers(1, 40),
            "type": st.sampled_from([IDENTIFY, "something_else"]),
            "told": st.dictionaries(st.integers(0, 2), st.sampled_from([0.0, 1.0, 42.0, NAN])).map(
                lambda told: sorted(told.items())
            ),
        }
    ).map(lambda told: event(**told)),
    min_size=1,
    max_size=30,
)


def learned(*batches: list[dict[str, Any]]) -> np.ndarray:
    rows = SCHEMA.empty(3)
    for batch in batches:
        update(SCHEMA, rows, columns(batch, SCHEMA))
    return rows


@given(tellings)
def test_what_is_told_at_once_is_kept_as_if_told_one_by_one(events: list[dict[str, Any]]) -> None:
    at_once, one_by_one = learned(events), learned(*([one] for one in events))
    for name in ("attributes", "attribute_ms"):
        assert_array_equal(at_once[name], one_by_one[name])


@given(tellings, st.randoms())
def test_the_latest_wins_in_whatever_order_it_is_told(
    events: list[dict[str, Any]], random: Any
) -> None:
    for at, one in enumerate(events):
        one["id"], one["time_ms"] = at + 1, START_MS + at
    turned = random.sample(events, len(events))
    for name in ("attributes", "attribute_ms"):
        assert_array_equal(learned(events)[name], learned(turned)[name])


def test_of_one_moment_the_last_told_counts_and_a_late_one_fills_what_is_unknown() -> None:
    first = event(id=1, time_ms=START_MS + 5, told=[(0, 30.0)])
    same = event(id=2, time_ms=START_MS + 5, told=[(0, 31.0)])
    late = event(id=3, time_ms=START_MS, told=[(0, 29.0), (1, 1.0)])
    rows = learned([first, same, late])
    assert rows["attributes"][0].tolist() == [31.0, 1.0, 0.0]
    assert rows["attribute_ms"][0].tolist() == [START_MS + 5, START_MS, 0]


def test_a_trait_can_be_taken_back() -> None:
    told = event(id=1, told=[(0, 30.0)])
    taken_back = event(id=2, time_ms=START_MS + 1, told=[(0, NAN)])
    age = SCHEMA.names.index("age")
    assert SCHEMA.vectors(learned([told]), START_MS)[0, age] == 30
    rows = SCHEMA.decode(SCHEMA.encode(learned([told, taken_back])))
    assert np.isnan(SCHEMA.vectors(rows, START_MS)[0, age])


def test_who_told_nothing_has_unknown_traits() -> None:
    found = SCHEMA.vectors(learned([event()]), START_MS)[0]
    assert np.isnan(found[1:]).all()
    assert found[0] == 1


def test_a_category_is_one_of_its_values_or_another() -> None:
    stored = np.array([code_of("oslo"), code_of("Paris"), NAN])
    found = [coordinate(feature, stored).tolist() for feature in one_of(CITIES)]
    assert_array_equal(found, [[0, 0, NAN], [1, 0, NAN], [0, 0, NAN]])


def test_a_value_that_is_not_declared_lies_in_one_bucket_of_all() -> None:
    stored = np.array([code_of(f"city {at}") for at in range(200)])
    buckets = [
        Feature("", Kind.BUCKET, attribute=CITY, bucket=(at, 4), group="city") for at in range(4)
    ]
    found = np.array([coordinate(feature, stored) for feature in buckets])
    assert_array_equal(found.sum(axis=0), np.ones(200))
    assert (found.sum(axis=1) > 20).all()


def customers(n: int, shares: list[float]) -> Floats:
    """Vectors of `SCHEMA` after its first feature, where half the customers told nothing."""
    rng = np.random.default_rng(3)
    city = rng.choice(len(shares), n, p=shares)
    known = np.where(np.arange(n) % 2, 1.0, NAN)
    return np.stack([known * (city == at) for at in range(len(shares))], axis=1)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.2] * 5, [0.9, 0.07, 0.02, 0.01]])
def test_a_category_counts_as_much_as_a_number_however_many_values_it_has(
    shares: list[float],
) -> None:
    vectors = customers(20_000, shares)
    weight = 0.5
    scaler = Scaler.fit(one_of(tuple(map(str, range(len(shares)))), weight), vectors)
    points = scaler.transform(vectors)
    known = points[1::2]
    assert_allclose(known.var(axis=0).sum(), weight**2, rtol=1e-6)
    apart = ((known[vectors[1::2, 0] == 1][0] - known[vectors[1::2, 1] == 1][0]) ** 2).sum()
    observed = 1 - (vectors[1::2].mean(axis=0) ** 2).sum()
    assert_allclose(apart, 2 * weight**2 / observed, rtol=1e-6)


def test_who_told_nothing_stands_in_the_middle_and_alters_nothing() -> None:
    vectors = customers(4_000, [0.4, 0.4, 0.2])
    scaler = Scaler.fit(one_of(CITIES), vectors)
    points = scaler.transform(vectors)
    assert not points[::2].any()
    assert_allclose(points[1::2].mean(axis=0), 0, atol=1e-12)
    assert Scaler.fit(one_of(CITIES), vectors[1::2]) == scaler


def test_where_nobody_tells_anything_traits_change_no_distance() -> None:
    rows = learned([event(customer=at, id=at + 1) for at in range(3)])
    vectors = SCHEMA.vectors(rows, START_MS + DAY_MS)
    points = Scaler.fit(SCHEMA.features, vectors).transform(vectors)
    assert not points[:, 1:].any()


def test_a_ranked_value_stands_between_its_neighbours() -> None:
    steps = ("under 15K", "15-24K", "25-34K", "35-49K")
    income = Feature("income", Kind.RANK, attribute=Attribute("income", Form.TEXT), values=steps)
    ranks = coordinate(income, np.array([code_of(step) for step in steps]))
    assert (ranks[0], ranks[-1]) == (0, 1)
    assert_allclose([later - earlier for earlier, later in pairwise(ranks)], 1 / 3)
