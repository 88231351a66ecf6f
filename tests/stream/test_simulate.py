import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pytest

from stream.events import KNOWN_TYPES, parse
from stream.money import Money
from stream.simulate import PERSONAS, START_MS, Simulator, persona_of
from stream.sources import SourceEvent

DAY_MS = 86_400_000
SAMPLE = 30_000
CUSTOMERS = 400


@pytest.fixture(scope="module")
def events() -> list[SourceEvent]:
    return list(islice(Simulator(seed=7, customers=CUSTOMERS), SAMPLE))


@pytest.fixture(scope="module")
def contents(events: list[SourceEvent]) -> list[Any]:
    return [json.loads(event.value) for event in events]


def test_the_same_seed_gives_the_same_bytes(events: list[SourceEvent]) -> None:
    again = list(islice(Simulator(seed=7, customers=CUSTOMERS), 5_000))
    assert again == events[:5_000]


def test_another_seed_gives_another_story_with_other_ids(contents: list[Any]) -> None:
    other = [json.loads(event.value) for event in islice(Simulator(8, CUSTOMERS), 5_000)]
    assert [event["timestamp"] for event in other] != [e["timestamp"] for e in contents[:5_000]]
    assert not {event["event_id"] for event in other} & {event["event_id"] for event in contents}


def test_events_come_in_the_order_of_their_time(events: list[SourceEvent]) -> None:
    times = [event.time_ms for event in events]
    assert times == sorted(times)
    assert times[0] >= START_MS


def test_every_event_keeps_the_contract_with_a_known_type(events: list[SourceEvent]) -> None:
    money = Money("EUR", {})
    for event in events:
        parsed = parse(
            event.value,
            event.customer_id.encode(),
            received_ms=event.time_ms,
            now_ms=event.time_ms,
            money=money,
            correct_skew=True,
        )
        assert parsed.time_ms == event.time_ms
        assert parsed.type in KNOWN_TYPES
        assert parsed.unknown_currency is None


def test_event_ids_are_unique(contents: list[Any]) -> None:
    assert len({event["event_id"] for event in contents}) == len(contents)


def test_a_customer_causes_about_three_events_a_day(events: list[SourceEvent]) -> None:
    end_ms = events[-1].time_ms
    assert end_ms - START_MS > 21 * DAY_MS
    week = [event for event in events if event.time_ms > end_ms - 7 * DAY_MS]
    customers = {event.customer_id for event in events}
    assert 2 < len(week) / 7 / len(customers) < 4


def test_customers_arrive_over_time_each_with_a_sign_up(contents: list[Any]) -> None:
    first: dict[str, Any] = {}
    for event in contents:
        first.setdefault(event["customer_id"], event)
    assert {event["type"] for event in first.values()} == {"signed_up"}
    days = Counter(event["timestamp"][:10] for event in first.values())
    assert len(days) > 21
    assert max(days.values()) < CUSTOMERS / 5


def test_evenings_are_busy_and_nights_are_not(events: list[SourceEvent]) -> None:
    hours = Counter(event.time_ms // 3_600_000 % 24 for event in events)
    assert hours[20] > 5 * hours[3]


def test_an_order_follows_looking_choosing_and_checking_out(contents: list[Any]) -> None:
    sessions: dict[str, list[Any]] = defaultdict(list)
    for event in contents:
        if "session_id" in event:
            sessions[event["session_id"]].append(event)
    ordered = [s for s in sessions.values() if s[-1]["type"] == "order_completed"]
    assert len(ordered) > 500
    for session in ordered:
        kinds = [event["type"] for event in session]
        steps = ["product_viewed", "product_added", "checkout_started", "order_completed"]
        places = [kinds.index(kind) for kind in steps]
        assert places == sorted(places)
        paid = session[-1]["properties"]
        worth = sum(line["price"] * line["quantity"] for line in paid["products"])
        assert paid["revenue"] + paid.get("discount", 0) == pytest.approx(worth, abs=0.02)


def test_a_refund_gives_back_an_order_that_was_made(contents: list[Any]) -> None:
    orders = {
        event["properties"]["order_id"]: event["properties"]["revenue"]
        for event in contents
        if event["type"] == "order_completed"
    }
    refunds = [event["properties"] for event in contents if event["type"] == "order_refunded"]
    assert len(refunds) > 20
    assert all(orders[refund["order_id"]] == refund["revenue"] for refund in refunds)


def test_the_stream_goes_on_after_everybody_has_arrived() -> None:
    last = next(islice(Simulator(customers=2), 20_000, None))
    assert last.time_ms > START_MS + 365 * DAY_MS


def test_personas_have_the_shares_that_their_table_says() -> None:
    found = Counter(persona_of(f"c{number:06}").name for number in range(20_000))
    for persona in PERSONAS:
        assert found[persona.name] / 20_000 == pytest.approx(persona.share, abs=0.01)
    assert sum(persona.share for persona in PERSONAS) == pytest.approx(1)


def behaviour(contents: list[Any]) -> dict[str, np.ndarray]:
    """Of each customer: counts by kind, spending, days since the last event."""
    kinds = [
        *("product_viewed", "order_completed", "coupon_entered"),
        *("email_opened", "support_contacted", "order_refunded"),
    ]
    rows: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(kinds) + 2))
    end = datetime.fromisoformat(contents[-1]["timestamp"])
    for event in contents:
        row = rows[event["customer_id"]]
        if event["type"] in kinds:
            row[kinds.index(event["type"])] += 1
        if event["type"] == "order_completed":
            row[-2] += event["properties"]["revenue"]
        row[-1] = (end - datetime.fromisoformat(event["timestamp"])) / timedelta(days=1)
    return rows


def test_customers_of_one_persona_are_alike_and_unlike_the_others() -> None:
    stream = islice(Simulator(customers=CUSTOMERS), 80_000)
    rows = behaviour([json.loads(event.value) for event in stream])
    customers = list(rows)
    names = np.array([persona_of(customer).name for customer in customers])
    vectors = np.log1p(np.array([rows[customer] for customer in customers]))
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    personas = sorted(set(names))
    centroids = np.array([vectors[names == name].mean(axis=0) for name in personas])
    distances = ((vectors[:, None] - centroids) ** 2).sum(axis=2)
    found = np.array(personas)[distances.argmin(axis=1)]
    hits = {name: float((found[names == name] == name).mean()) for name in personas}
    assert len(hits) == len(PERSONAS)
    assert min(hits.values()) > 0.75, hits
