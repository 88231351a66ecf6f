"""The trainer's sample of customers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.columns import Rows
from models.features import Feature, Kind, Selector
from models.identifiers import CustomerId
from models.population import Population, are_in_sample, in_sample
from models.profiles import DAY_MS, ProfileSchema
from models.segmentation import Segmentation

ORDERS = Selector(("order_completed",))
START_MS = 1_500_000_000_000
SCHEMA = ProfileSchema(
    (
        Feature("frequency", Kind.COUNT, ORDERS, high="frequent buyers", low="rare buyers"),
        Feature("spend", Kind.SUM, ORDERS, of="value", high="high spend", low="low spend"),
        Feature(
            "recency",
            Kind.RECENCY,
            scale="linear",
            cap_days=90,
            high="gone quiet",
            low="active now",
        ),
        Feature("activity", Kind.COUNT, high="browsers", low="seldom here"),
    )
)
SEGMENTATION = Segmentation("default", SCHEMA, SCHEMA.features)
# What the groups differ in: orders, value of an order, days since the last event, events.
GROUPS = np.array([[40, 5, 1, 60], [2, 200, 30, 10], [0.2, 10, 2, 150], [3, 8, 80, 6]])


def ids(n: int, start: int = 0) -> list[CustomerId]:
    return [CustomerId(f"c{i}") for i in range(start, start + n)]


def shoppers(n: int, seed: int = 0, start_ms: int = START_MS) -> Rows:
    """Profiles of `n` customers of four groups, in turn."""
    rng = np.random.default_rng(seed)
    orders, value, days, events = (GROUPS[np.arange(n) % 4] * rng.lognormal(0, 0.2, (n, 4))).T
    rows = SCHEMA.empty(n)
    last_ms = start_ms + 100 * DAY_MS - (days * DAY_MS).astype(np.int64)
    rows["first_ms"], rows["last_ms"] = start_ms, last_ms
    rows["times"][:, 0] = last_ms
    measures = {"one": orders, "value": orders * value}
    for at, slot in enumerate(SCHEMA.slots):
        rows["sums"][:, at] = measures[slot.measure] if slot.selector == ORDERS else events
    return rows


@given(st.lists(st.text(max_size=8)), st.floats(0, 1))
def test_one_by_one_and_all_at_once_choose_the_same_customers(
    texts: list[str], threshold: float
) -> None:
    customers = [CustomerId(text) for text in texts]
    chosen = are_in_sample(customers, threshold).tolist()
    assert chosen == [in_sample(customer, threshold) for customer in customers]


def test_a_threshold_takes_that_part_of_all_customers() -> None:
    assert abs(are_in_sample(ids(20_000), 0.25).mean() - 0.25) < 0.01
    assert are_in_sample(ids(1000), 1.0).all()
    assert not are_in_sample(ids(1000), 0.0).any()


@given(st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_a_smaller_sample_is_in_the_larger(one: float, other: float) -> None:
    small, large = sorted((one, other))
    customers = ids(200)
    assert not (are_in_sample(customers, small) & ~are_in_sample(customers, large)).any()


Step = tuple[str, list[int], float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "remove", "expire", "lower"]),
        st.lists(st.integers(0, 30), max_size=12),
        st.floats(0.2, 1),
    ),
    max_size=25,
)


@given(STEPS)
def test_it_holds_what_a_dictionary_would_hold(steps: list[Step]) -> None:
    population, expected, threshold = Population(SCHEMA), dict[CustomerId, int](), 1.0
    for at, (what, whom, lower) in enumerate(steps, start=1):
        customers = [CustomerId(f"c{i}") for i in whom]
        rows = SCHEMA.empty(len(customers))
        rows["last_ms"] = at * 100 + np.arange(len(customers))
        if what == "lower":
            population.lower(lower)
            threshold = min(threshold, lower)
        elif what == "remove":
            population.remove(customers)
        else:
            rows["first_ms"] = 1 if what == "upsert" else 0
            population.upsert(customers, rows)
        for customer, last_ms in zip(customers, rows["last_ms"].tolist(), strict=True):
            if what == "upsert":
                expected[customer] = last_ms
            elif what != "lower":
                expected.pop(customer, None)
        expected = {c: last for c, last in expected.items() if in_sample(c, threshold)}
    held = zip(population.customers, population.rows["last_ms"].tolist(), strict=True)
    assert dict(held) == expected


def test_of_several_profiles_of_one_customer_the_last_counts() -> None:
    population = Population(SCHEMA)
    rows = shoppers(4)
    gone = SCHEMA.empty(1)
    taken = population.upsert(ids(1) * 3 + ids(2)[1:], np.concatenate([rows[:2], gone, rows[3:]]))
    assert taken.tolist() == [False, False, False, True]
    population.upsert(ids(1) * 3, np.concatenate([rows[:1], gone, rows[2:3]]))
    assert population.rows[population.customers.index(CustomerId("c0"))] == rows[2]


def test_the_order_of_arrival_does_not_show() -> None:
    rows, customers = shoppers(50), ids(50)
    one, other = Population(SCHEMA), Population(SCHEMA)
    one.upsert(customers, rows)
    one.upsert(ids(1, 99), shoppers(1))
    one.remove(ids(1, 99))
    for i in reversed(range(50)):
        other.upsert(customers[i : i + 1], rows[i : i + 1])
    assert_array_equal(one.ordered(), other.ordered())


def test_it_grows_beyond_its_first_capacity() -> None:
    population = Population(SCHEMA)
    rows = shoppers(5000)
    for at in range(0, 5000, 500):
        population.upsert(ids(500, at), rows[at : at + 500])
    assert_array_equal(population.rows, rows)
    assert population.vectors(START_MS).shape == (5000, 4)


def test_a_threshold_never_rises() -> None:
    population = Population(SCHEMA)
    population.lower(0.5)
    population.lower(0.9)
    assert population.threshold == 0.5


def test_one_wrong_date_is_not_the_latest_time() -> None:
    population = Population(SCHEMA)
    assert population.latest_ms == 0
    rows = shoppers(100)
    population.upsert(ids(100), rows)
    latest_ms = population.latest_ms
    assert latest_ms == rows["last_ms"].max()
    rows["last_ms"][7] += 4000 * DAY_MS
    population.upsert(ids(100), rows)
    assert latest_ms - 10 * DAY_MS < population.latest_ms <= latest_ms
