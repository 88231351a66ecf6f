"""A rehearsal does what a worker and a trainer would, and does it the same way every time."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import Settings
from models.columns import Rows
from models.identifiers import CustomerId
from models.profiles import DAY_MS
from stream.app import step_maker
from stream.rehearsal import HOUR_MS, Moment, Pace, Rehearsal
from stream.sources import SourceEvent, open_source
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import Kit, record, until

START_MS = 1_500_000_000_000
SETTINGS = Settings(clock="replay", partitions=1)
CONFIG = SegmentationConfig.model_validate(
    {
        "expire_after_days": 100,
        "model": {"k": 2, "min_customers": 6},
        "features": {
            "orders": {"kind": "count", "events": ["order_completed"], "half_life_days": 10},
            "spent": {"kind": "sum", "of": "value", "half_life_days": 10},
            "recency": {"kind": "recency", "cap_days": 60},
            "choice": {"kind": "distinct", "half_life_days": 10},
        },
    }
)
COUNTED = ("first_ms", "last_ms", "visit_ms", "session", "times", "window", "bits", "ids")


def event(customer: str, number: int, days: float = 0.0, **properties: Any) -> SourceEvent:
    time_ms = START_MS + int(days * DAY_MS)
    content = {
        "event_id": f"{customer}-{number}",
        "customer_id": customer,
        "type": "order_completed",
        "timestamp": datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(),
        "properties": {"value": 10.0} | properties,
    }
    return SourceEvent(customer, time_ms, json.dumps(content).encode())


def shop(days: int = 30) -> list[SourceEvent]:
    """Three customers who order twice a day for a week, three who order every other day."""
    keen = [(f"keen{n}", day / 2 + n / 100) for n in range(3) for day in range(14)]
    calm = [(f"calm{n}", day + n / 100) for n in range(3) for day in range(0, days, 2)]
    ordered = sorted(keen + calm, key=lambda visit: visit[1])
    return [event(name, at, days) for at, (name, days) in enumerate(ordered)]


def rehearsed(
    events: Iterable[SourceEvent], pace: Pace | None = None, config: SegmentationConfig = CONFIG
) -> tuple[Rehearsal, list[Moment]]:
    rehearsal = Rehearsal(SETTINGS, config, pace)
    return rehearsal, list(rehearsal.run(events))


def by_name(rehearsal: Rehearsal) -> Rows:
    customers = rehearsal.customers
    rows: Rows = rehearsal.rows[np.argsort(customers)]
    return rows


def assert_same_counts(one: Rows, other: Rows) -> None:
    for name in COUNTED:
        assert (one[name] == other[name]).all(), name
    np.testing.assert_allclose(one["sums"], other["sums"], rtol=1e-9)


def told(moments: Sequence[Moment]) -> list[tuple[Any, ...]]:
    """Every change: who, when, why, from where to where."""
    return [
        (
            change.id,
            change.time,
            change.data.reason,
            change.data.origin and change.data.origin.id,
            change.data.target and change.data.target.id,
        )
        for moment in moments
        for scored in moment.scored
        for change in scored.changes
    ]


async def test_it_counts_what_a_lane_counts() -> None:
    events = list(islice(open_source("simulator", customers=40), 500))
    config = load_segmentation(SETTINGS.segmentation)
    rehearsal, _ = rehearsed(events, Pace(batch_events=64), config)
    kit, maker = Kit(MemoryStore()), step_maker(SETTINGS, config)
    kit.wall_ms = events[-1].time_ms
    async with kit.running(maker) as lane:
        for at in range(0, len(events), 7):
            part = [
                record(at + i, e.value, e.customer_id.encode())
                for i, e in enumerate(events[at : at + 7])
            ]
            await lane.inbox.put(kit.kafka.batch(*part))
        await until(lambda: lane.next_offset == len(events))
    assert isinstance(kit.store, MemoryStore)
    profiles = kit.store.lanes[0].profiles
    assert sorted(profiles) == sorted(rehearsal.customers)
    stored = maker.schema.decode([profiles[CustomerId(name)] for name in sorted(profiles)])
    assert_same_counts(by_name(rehearsal), stored)


@given(
    visits=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.floats(0, 20)), max_size=30
    ),
    batch_events=st.integers(1, 12),
    step_hours=st.integers(1, 200),
)
@hypothesis_settings(max_examples=40)
def test_no_pace_changes_what_is_counted(
    visits: list[tuple[str, int, float]], batch_events: int, step_hours: int
) -> None:
    events = [event(name, number, days, category=str(number)) for name, number, days in visits]
    whole, _ = rehearsed(events)
    parts, _ = rehearsed(events, Pace(batch_events, step_hours * HOUR_MS))
    assert whole.events == parts.events == len(events)
    assert_same_counts(by_name(whole), by_name(parts))


def test_the_same_events_give_the_same_models_and_changes() -> None:
    first, moments = rehearsed(shop())
    second, again = rehearsed(shop())
    models = [model.to_json() for moment in moments for model in moment.published]
    assert len(models) > 3
    assert models == [model.to_json() for moment in again for model in moment.published]
    assert told(moments)
    assert told(moments) == told(again)
    assert (first.rows == second.rows).all()


def test_who_goes_quiet_moves_without_an_event() -> None:
    rehearsal, moments = rehearsed(shop())
    names = [customer[:4] for customer in rehearsal.customers]
    (segmentation,) = rehearsal.maker.segmentations
    numbers = segmentation.numbers(rehearsal.rows).tolist()
    assert len(set(zip(names, numbers, strict=True))) == 2
    reasons = {reason for _, _, reason, _, _ in told(moments)}
    assert reasons <= {"event", "time", "model"}
    week = START_MS + 8 * DAY_MS
    looked_at = {
        str(customer)[:4]
        for moment in moments[:-1]
        if moment.now_ms > week
        for scored in moment.scored
        for customer in scored.customers
    }
    assert looked_at == {"keen", "calm"}


def test_who_stays_away_for_too_long_is_forgotten() -> None:
    rehearsal, moments = rehearsed([event("gone", 0), *shop(days=120)])
    assert {customer[:4] for customer in rehearsal.customers} == {"calm"}
    left = [reason for _, _, reason, _, target in told(moments) if target is None]
    assert left == ["expired"] * 4


def test_everyone_is_scored_by_the_last_models() -> None:
    config = CONFIG.model_copy(update={"segmentations": CONFIG.segmentations | two_segmentations()})
    rehearsal, moments = rehearsed(shop(), config=config)
    versions = [edition.version for edition in rehearsal.editions]
    assert all(versions)
    assert (rehearsal.rows["model"] == versions).all()
    published = [model.segmentation for moment in moments for model in moment.published]
    assert set(published) == {"default", "value"}


def two_segmentations() -> dict[str, Any]:
    other = CONFIG.model_dump() | {"segmentations": {"value": {"features": ["spent", "orders"]}}}
    return dict(SegmentationConfig.model_validate(other).segmentations)


@pytest.mark.parametrize("hours", [24, 240])
def test_models_come_no_more_often_than_the_pace_says(hours: int) -> None:
    _, moments = rehearsed(shop(), Pace(publish_ms=hours * HOUR_MS))
    times = [moment.now_ms for moment in moments[:-1] if moment.published]
    assert len(times) > 1
    assert min(np.diff(times)) >= hours * HOUR_MS


def test_what_cannot_be_read_is_counted_and_ages_nobody() -> None:
    far = event("calm0", 999, days=20_000)
    broken = [SourceEvent("", 0, b"{half"), SourceEvent("x", START_MS, b"[]"), far]
    rehearsal, _ = rehearsed([*shop(), *broken])
    assert dict(rehearsal.rejected) == {"invalid_json": 1, "invalid": 1, "timestamp_in_future": 1}
    assert rehearsal.now_ms < START_MS + 40 * DAY_MS


def test_nothing_at_all_is_a_rehearsal_too(tmp_path: Path) -> None:
    empty = tmp_path / "events.jsonl"
    empty.touch()
    rehearsal, moments = rehearsed(open_source(str(empty)))
    assert len(moments) == 1
    assert (rehearsal.customers, rehearsal.events, len(rehearsal.rows)) == ([], 0, 0)
