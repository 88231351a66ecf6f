"""Local hours and weekdays, against the standard library."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calendar import hours_of, week_hours_of, weekdays_of

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe")


@given(st.lists(st.integers(1, 4_102_444_800_000), min_size=1, max_size=20), st.sampled_from(ZONES))
def test_hours_and_weekdays_are_what_clocks_there_show(times: list[int], zone: str) -> None:
    local = [datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone)) for time_ms in times]
    times_ms = np.array(times, dtype=np.int64)
    assert hours_of(times_ms, zone).tolist() == [moment.hour for moment in local]
    assert weekdays_of(times_ms, zone).tolist() == [moment.weekday() for moment in local]


@pytest.mark.parametrize(
    ("zone", "utc", "hour"),
    [
        ("Europe/Berlin", "2024-03-31T00:59:59", 1),
        ("Europe/Berlin", "2024-03-31T01:00:00", 3),
        ("Europe/Berlin", "2024-10-27T00:59:59", 2),
        ("Europe/Berlin", "2024-10-27T01:00:00", 2),
        ("Australia/Lord_Howe", "2024-10-05T15:29:59", 1),
        ("Australia/Lord_Howe", "2024-10-05T15:30:00", 2),
    ],
)
def test_clocks_are_changed_at_the_moment(zone: str, utc: str, hour: int) -> None:
    time_ms = round(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp() * 1000)
    assert hours_of(np.array([time_ms]), zone).tolist() == [hour]


def test_no_moments_have_no_hours() -> None:
    assert week_hours_of(np.empty(0, dtype=np.int64), "Europe/Berlin").shape == (0,)
