"""Batches of events against one event at a time, and against plain Python."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from models.accumulators import update
from models.columns import EventColumns, Rows
from models.features import Feature, Flag, Kind, Selector
from models.profiles import DAY_MS, IDENTIFY, ProfileSchema

ORDER, VIEW = "order_completed", "product_viewed"
START_MS = 1_500_000_000_000

SCHEMA = ProfileSchema(
    (
        Feature("recency", Kind.RECENCY, Selector((ORDER,))),
        Feature("frequency", Kind.COUNT, Selector((ORDER,)), half_life_days=30),
        Feature("monetary", Kind.SUM, Selector((ORDER,)), of="value", half_life_days=30),
        Feature("order_value", Kind.MEAN, Selector((ORDER,)), of="value", half_life_days=90),
        Feature("interval", Kind.INTERVAL, Selector((ORDER,)), half_life_days=180),
        Feature("views", Kind.COUNT, Selector((VIEW,)), half_life_days=7),
        Feature("sessions", Kind.COUNT, Selector(where=Flag.SESSION_START), half_life_days=30),
        Feature(
            "discounts",
            Kind.RATIO,
            Selector((ORDER,), Flag.DISCOUNTED),
            among=Selector((ORDER,)),
            half_life_days=90,
        ),
        Feature("items", Kind.SUM, Selector((ORDER,)), of="quantity"),
        Feature("breadth", Kind.DISTINCT, half_life_days=14),
        Feature("tenure", Kind.TENURE),
    )
)


def columns(events: list[dict[str, Any]], schema: ProfileSchema = SCHEMA) -> EventColumns:
    categories = [(at, c) for at, e in enumerate(events) for c in e["categories"]]
    told = [(at, *t) for at, e in enumerate(events) for t in e.get("told", ())]
    return EventColumns(
        customer=np.array([e["customer"] for e in events], dtype=np.int64),
        type=np.array([schema.types.get(e["type"], 0) for e in events], dtype=np.int64),
        time_ms=np.array([e["time_ms"] for e in events], dtype=np.int64),
        value=np.array([e["value"] for e in events], dtype=np.float64),
        quantity=np.array([e["quantity"] for e in events], dtype=np.float64),
        discounted=np.array([e["discounted"] for e in events], dtype=bool),
        session=np.array([e["session"] for e in events], dtype=np.uint64),
        id=np.array([e["id"] for e in events], dtype=np.uint64),
        offset=np.arange(len(events), dtype=np.int64),
        category_event=np.array([at for at, _ in categories], dtype=np.int64),
        category=np.array([c for _, c in categories], dtype=np.uint64),
        attribute_event=np.array([at for at, _, _ in told], dtype=np.int64),
        attribute=np.array([attribute for _, attribute, _ in told], dtype=np.int64),
        attribute_value=np.array([value for _, _, value in told], dtype=np.float64),
    )


def event(**changes: Any) -> dict[str, Any]:
    return {
        "customer": 0,
        "type": ORDER,
        "time_ms": START_MS,
        "value": 10.0,
        "quantity": 1.0,
        "discounted": False,
        "session": 0,
        "id": 1,
        "categories": [],
    } | changes


events_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "customer": st.integers(0, 3),
            "type": st.sampled_from([ORDER, VIEW, "something_else", IDENTIFY]),
            "time_ms": st.integers(START_MS, START_MS + 90 * DAY_MS),
            "value": st.floats(0, 1000),
            "quantity": st.integers(0, 9).map(float),
            "discounted": st.booleans(),
            "session": st.integers(0, 3),
            "id": st.integers(1, 60),
            "categories": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        }
    ),
    min_size=1,
    max_size=60,
)


def one_by_one(events: list[dict[str, Any]]) -> tuple[Rows, list[bool]]:
    rows, fresh = SCHEMA.empty(4), []
    for offset, one in enumerate(events):
        single = columns([one])
        object.__setattr__(single, "offset", np.array([offset]))
        fresh += update(SCHEMA, rows, single).tolist()
    return rows, fresh


def assert_same(left: Rows, right: Rows) -> None:
    for name in SCHEMA.dtype.names or ():
        if name == "sums":
            assert_allclose(left[name], right[name], rtol=1e-9, atol=1e-9)
        else:
            assert_array_equal(left[name], right[name], err_msg=name)


@given(events_strategy)
@settings(max_examples=300, deadline=None)
def test_a_batch_equals_its_events_one_by_one(events: list[dict[str, Any]]) -> None:
    rows = SCHEMA.empty(4)
    fresh = update(SCHEMA, rows, columns(events))
    expected, expected_fresh = one_by_one(events)
    assert fresh.tolist() == expected_fresh
    assert_same(rows, expected)


@given(events_strategy, st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_where_a_batch_is_cut_does_not_matter(events: list[dict[str, Any]], cut: int) -> None:
    whole, parts = SCHEMA.empty(4), SCHEMA.empty(4)
    update(SCHEMA, whole, columns(events))
    for part in (events[:cut], events[cut:]):
        if part:
            batch = columns(part)
            if part is not events[:cut]:
                object.__setattr__(batch, "offset", batch.offset + len(events[:cut]))
            update(SCHEMA, parts, batch)
    for name in set(SCHEMA.dtype.names or ()) - {"sums", "incarnation"}:
        assert_array_equal(whole[name], parts[name], err_msg=name)
    assert_allclose(whole["sums"], parts["sums"], rtol=1e-9, atol=1e-9)


@given(events_strategy)
@settings(max_examples=100, deadline=None)
def test_decayed_sums_are_what_plain_python_adds_up(events: list[dict[str, Any]]) -> None:
    for at, one in enumerate(events):
        one["id"] = at + 1
    rows = SCHEMA.empty(4)
    update(SCHEMA, rows, columns(events))
    now_ms = START_MS + 100 * DAY_MS
    vectors = SCHEMA.vectors(rows, now_ms)
    assert np.isfinite(vectors).all()
    for customer in range(4):
        orders = [e for e in events if e["customer"] == customer and e["type"] == ORDER]
        weights = [2 ** -((now_ms - e["time_ms"]) / DAY_MS / 30) for e in orders]
        spent = sum(w * e["value"] for w, e in zip(weights, orders, strict=True))
        vector = dict(zip(SCHEMA.names, vectors[customer], strict=True))
        assert math.isclose(vector["frequency"], sum(weights), rel_tol=1e-9, abs_tol=1e-9)
        assert math.isclose(vector["monetary"], spent, rel_tol=1e-9, abs_tol=1e-9)
        assert vector["items"] == sum(e["quantity"] for e in orders)
        if orders:
            latest = max(e["time_ms"] for e in orders)
            assert math.isclose(vector["recency"], (now_ms - latest) / DAY_MS)


def test_an_event_id_is_counted_once() -> None:
    rows = SCHEMA.empty(1)
    assert update(SCHEMA, rows, columns([event(id=5), event(id=5)])).tolist() == [True, False]
    assert update(SCHEMA, rows, columns([event(id=5), event(id=6)])).tolist() == [False, True]
    assert rows["sums"][0, 0] == 2


def test_the_last_sixteen_ids_are_remembered() -> None:
    rows = SCHEMA.empty(1)
    update(SCHEMA, rows, columns([event(id=i) for i in range(1, 18)]))
    assert rows["ids"][0].tolist() == list(range(17, 1, -1))
    assert update(SCHEMA, rows, columns([event(id=2)])).tolist() == [False]
    assert update(SCHEMA, rows, columns([event(id=1)])).tolist() == [True]


def test_a_late_event_counts_less_than_one_in_time() -> None:
    rows = SCHEMA.empty(1)
    late = event(id=2, time_ms=START_MS - 30 * DAY_MS)
    update(SCHEMA, rows, columns([event(id=1), late]))
    frequency = SCHEMA.vectors(rows, START_MS)[0, SCHEMA.names.index("frequency")]
    assert math.isclose(frequency, 1.5)


def test_a_pause_opens_a_new_visit_and_a_session_id_keeps_it_open() -> None:
    hour = 3_600_000
    sessions = SCHEMA.names.index("sessions")
    pauses = [event(id=i + 1, time_ms=START_MS + i * hour) for i in range(3)]
    rows = SCHEMA.empty(1)
    update(SCHEMA, rows, columns(pauses))
    assert math.isclose(SCHEMA.vectors(rows, START_MS)[0, sessions], 3, rel_tol=0.01)
    named = [one | {"session": 9} for one in pauses]
    rows = SCHEMA.empty(1)
    update(SCHEMA, rows, columns(named))
    assert math.isclose(SCHEMA.vectors(rows, START_MS)[0, sessions], 1, rel_tol=0.01)


def test_to_be_identified_is_no_visit_and_no_behaviour() -> None:
    schema = ProfileSchema((*SCHEMA.features, Feature("activity", Kind.COUNT)))
    minute_ms = 60_000
    order = event(id=1, session=5)
    known = event(id=2, type=IDENTIFY, time_ms=START_MS + 20 * minute_ms, session=9, categories=[1])
    view = event(id=3, type=VIEW, time_ms=START_MS + 40 * minute_ms, session=5)
    plain, told = schema.empty(1), schema.empty(1)
    update(schema, plain, columns([order, view]))
    update(schema, told, columns([order, known, view]))
    now_ms = START_MS + DAY_MS
    assert_array_equal(schema.vectors(told, now_ms), schema.vectors(plain, now_ms))
    newcomer = schema.empty(1)
    update(schema, newcomer, columns([known]))
    assert (newcomer["first_ms"][0], newcomer["last_ms"][0]) == (known["time_ms"],) * 2
    assert not newcomer["sums"].any()


def test_hours_and_days_are_those_of_the_time_zone() -> None:
    hour_ms = 3_600_000
    friday_21_utc_ms = 1_714_165_200_000  # 2024-04-26, Saturday of 06:00 in Tokyo
    for timezone, weekend, night in (("UTC", 0, 1), ("Asia/Tokyo", 1, 0), ("Europe/Berlin", 0, 1)):
        schema = ProfileSchema(
            (
                Feature("weekend", Kind.COUNT, Selector((ORDER,), days=(5, 6))),
                Feature("night", Kind.COUNT, Selector(hours=(21, 6))),
                Feature("saturday_mornings", Kind.COUNT, Selector(hours=(6, 7), days=(5,))),
            ),
            timezone=timezone,
        )
        rows = schema.empty(1)
        update(schema, rows, columns([event(time_ms=friday_21_utc_ms)], schema))
        found = schema.vectors(rows, friday_21_utc_ms + hour_ms)
        assert found.tolist() == [[weekend, night, weekend]], timezone


def test_breadth_counts_categories_and_forgets_them() -> None:
    breadth = SCHEMA.names.index("breadth")
    rows = SCHEMA.empty(1)
    update(SCHEMA, rows, columns([event(categories=[1, 2, 3]), event(id=2, categories=[3])]))
    assert math.isclose(SCHEMA.vectors(rows, START_MS)[0, breadth], 3, rel_tol=0.05)
    assert SCHEMA.vectors(rows, START_MS + 90 * DAY_MS)[0, breadth] == 0


def test_intervals_average_the_days_between_orders() -> None:
    rows = SCHEMA.empty(2)
    orders = [event(id=i + 1, time_ms=START_MS + i * 7 * DAY_MS) for i in range(4)]
    update(SCHEMA, rows, columns(orders))
    interval = SCHEMA.vectors(rows, START_MS + 21 * DAY_MS)[:, SCHEMA.names.index("interval")]
    assert_allclose(interval, [7, 365])
