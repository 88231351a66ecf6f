"""Event time, which one wrong date does not move."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.clock import CONFIRMATIONS, DAY_MS, EventClock

START_MS = 1_500_000_000_000
# Days apart, so that there are jumps, and close together, so that some are confirmed.
TIMES = st.lists(
    st.builds(
        lambda day, ms: START_MS + day * DAY_MS + ms, st.integers(-4, 4), st.integers(0, DAY_MS)
    ),
    max_size=30,
)
STEADY = st.lists(st.integers(0, DAY_MS // 2), min_size=CONFIRMATIONS, max_size=20).map(
    lambda pauses: list(accumulate(pauses, initial=START_MS))
)


def test_a_new_clock_knows_no_time() -> None:
    assert EventClock().now_ms == EventClock().advance([]).now_ms == 0


def test_before_three_events_now_is_the_earliest() -> None:
    late = START_MS + 400 * DAY_MS
    assert EventClock().advance([late]).now_ms == late
    assert EventClock().advance([late, START_MS]).now_ms == START_MS


def test_up_to_a_day_is_believed_at_once_and_a_millisecond_more_is_not() -> None:
    clock = EventClock(START_MS)
    assert clock.advance([START_MS + DAY_MS]).now_ms == START_MS + DAY_MS
    assert clock.advance([START_MS + DAY_MS + 1]).now_ms == START_MS
    among_others = [START_MS, START_MS + DAY_MS, START_MS + 9 * DAY_MS]
    assert clock.advance(among_others).now_ms == START_MS + DAY_MS


def test_after_a_silent_month_the_third_event_moves_the_clock() -> None:
    later = [START_MS + 30 * DAY_MS + hour * 3_600_000 for hour in (2, 0, 1)]
    clock = EventClock(START_MS)
    assert clock.advance(later[:2]).now_ms == START_MS
    assert clock.advance(later).now_ms == later[0]


def test_of_three_jumps_far_apart_the_nearest_is_believed() -> None:
    jumps = [START_MS + days * DAY_MS for days in (90, 20, 55)]
    assert EventClock(START_MS).advance(jumps).now_ms == START_MS + 20 * DAY_MS


def test_an_event_in_time_takes_confirmations_away_and_a_late_one_does_not() -> None:
    jump = START_MS + 30 * DAY_MS
    clock = EventClock(START_MS).advance([jump, jump])
    assert clock.advance([START_MS, jump]).now_ms == START_MS
    assert clock.advance([START_MS - 2 * DAY_MS, jump]).now_ms == jump


@given(TIMES)
def test_time_never_moves_back(times: list[int]) -> None:
    clock = EventClock()
    for event_ms in times:
        before, clock = clock, clock.advance([event_ms])
        assert clock.time_ms >= before.time_ms
    assert bool(clock.time_ms) == (len(times) >= CONFIRMATIONS)


@given(TIMES)
def test_now_is_always_the_time_of_an_event(times: list[int]) -> None:
    for seen in range(1, len(times) + 1):
        assert EventClock().advance(times[:seen]).now_ms in times[:seen]


@given(TIMES)
def test_more_than_a_day_needs_three_events_beyond_it(times: list[int]) -> None:
    clock = EventClock()
    for seen, event_ms in enumerate(times, start=1):
        before, clock = clock.time_ms, clock.advance([event_ms])
        if clock.time_ms > before + DAY_MS:
            beyond = [time_ms for time_ms in times[:seen] if time_ms > before + DAY_MS]
            assert len(beyond) >= CONFIRMATIONS


@given(STEADY, st.integers(0, 20), st.integers(2, 9_000))
def test_one_wrong_date_in_the_future_moves_nothing(
    times: list[int], position: int, days: int
) -> None:
    at = min(position, len(times))
    wrong_ms = times[-1] + days * DAY_MS
    disturbed = EventClock().advance([*times[:at], wrong_ms, *times[at:]])
    assert disturbed.now_ms == EventClock().advance(times).now_ms == times[-1]


@given(STEADY, st.integers(CONFIRMATIONS, 20), st.integers(2, 9_000))
def test_a_wrong_date_in_the_past_moves_nothing(times: list[int], position: int, days: int) -> None:
    at = min(position, len(times))
    wrong_ms = START_MS - days * DAY_MS
    assert EventClock().advance([*times[:at], wrong_ms, *times[at:]]).now_ms == times[-1]


@given(TIMES, TIMES)
def test_a_batch_equals_its_events_one_by_one(before: list[int], times: list[int]) -> None:
    clock = one_by_one = EventClock().advance(before)
    for event_ms in times:
        one_by_one = one_by_one.advance([event_ms])
    assert clock.advance(times) == one_by_one


@given(TIMES, st.integers(0, 30))
def test_where_a_batch_is_cut_does_not_matter(times: list[int], cut: int) -> None:
    whole = EventClock().advance(times)
    assert EventClock().advance(times[:cut]).advance(times[cut:]) == whole


@given(TIMES, st.integers(0, 30))
def test_a_clock_that_was_stored_in_between_goes_on_as_if_it_were_not(
    times: list[int], cut: int
) -> None:
    stored = EventClock().advance(times[:cut]).to_text()
    assert EventClock.from_text(stored).advance(times[cut:]) == EventClock().advance(times)


@given(st.integers(0, START_MS), st.lists(st.integers(0, START_MS), max_size=2))
def test_the_text_reads_back(time_ms: int, jumps: list[int]) -> None:
    clock = EventClock(time_ms, tuple(jumps))
    assert EventClock.from_text(clock.to_text()) == clock


def test_the_text_of_a_lane_without_events_is_a_new_clock() -> None:
    assert EventClock.from_text("") == EventClock()


def test_a_text_that_is_no_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        EventClock.from_text("yesterday")
