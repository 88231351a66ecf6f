"""What the benches of load send, see and let count."""

import json
import os
from collections import Counter
from dataclasses import replace
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import aftermath, watch
from bench.aftermath import Act, Telling, Told, expected, judge, largest_error
from bench.backlog import CatchingUp, summary_of, table_of
from bench.common import BenchError
from bench.feed import Feed
from bench.hot import HOT, latencies, others_rate, with_hot
from bench.load import simulated
from bench.stage import fault
from bench.timeline import Template, Timeline
from bench.watch import Look, by_second, cost, longest_stall, rate, until_lag
from config.segmentation import load_segmentation
from config.settings import Settings
from models.columns import Floats
from models.features import Feature, Flag, Kind, Selector
from models.layout import DAY_MS
from stream.inspection import SegmentReport
from stream.scrape import Scrape

EVENTS = simulated(300, 40)
LINE = Timeline.of(EVENTS, start_ms=1_700_000_000_000, rate=2_000)


def read(first: int, end: int) -> list[dict[str, Any]]:
    return [json.loads(value) for _, _, value in LINE.between(first, end)]


def test_events_come_around_under_new_ids_and_otherwise_the_same() -> None:
    once, again = read(0, 300), read(300, 600)
    assert len({event["event_id"] for event in [*once, *again]}) == 600
    for own in ("event_id", "timestamp"):
        for event in [*once, *again]:
            del event[own]
    assert once == again


def test_an_event_asked_for_by_its_number_is_the_same_every_time() -> None:
    assert read(250, 350) == [*read(250, 299), *read(299, 350)]


def test_events_happen_at_an_even_rate() -> None:
    times = [time_ms - LINE.start_ms for _, time_ms, _ in LINE.between(0, 2_001)]
    assert (times[1], times[2], times[1_000], times[2_000]) == (0, 1, 500, 1_000)
    assert LINE.until(LINE.start_ms + 500) == 1_000
    assert LINE.until(LINE.start_ms - 1) == 0


def test_times_are_written_as_they_are_counted() -> None:
    event = next(iter(read(2_999, 3_000)))
    assert event["timestamp"] == "2023-11-14T22:13:21.499Z"


def test_all_times_of_an_event_are_known_by_its_place_in_the_circle() -> None:
    assert LINE.times_of(7, 700) == [LINE.time_ms(number) for number in (7, 307, 607)]


def acts(count: int = 3) -> list[Act]:
    times_ms = [day * DAY_MS for day in range(count)]
    return [Act("order_completed", 10.0, times_ms), Act("product_viewed", 0.0, [0])]


def test_decayed_counts_and_sums_are_made_of_each_event_by_itself() -> None:
    orders = Selector(("order_completed",))
    count = Feature("f", Kind.COUNT, orders, half_life_days=1.0)
    assert expected(acts(), count, 2 * DAY_MS) == 1.75
    assert expected(acts(), replace(count, kind=Kind.SUM, of="value"), 2 * DAY_MS) == 17.5
    assert expected(acts(), replace(count, half_life_days=None), 2 * DAY_MS) == 3.0


@pytest.mark.parametrize(
    "feature",
    [
        Feature("f", Kind.RECENCY, Selector(("order_completed",))),
        Feature("f", Kind.COUNT, Selector(where=Flag.SESSION_START)),
    ],
)
def test_other_features_are_not_compared(feature: Feature) -> None:
    assert expected(acts(), feature, 0) != expected(acts(), feature, 0)


def test_amounts_are_those_of_orders() -> None:
    orders = [event for event in EVENTS if b'"order_completed"' in event.value]
    act = Act.of(Template.of(orders[0]), [])
    assert act.value == json.loads(orders[0].value)["properties"]["revenue"] > 0


@pytest.mark.parametrize("value", [5.0, float("nan")])
async def test_sums_that_are_not_what_they_should_be_do_not_count(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    async def counted(*_: Any) -> Floats:
        return np.full((len(feed.customers), len(schema.features)), value)

    settings = Settings(partitions=1)
    feed = Feed(settings, LINE)
    schema = load_segmentation(settings.segmentation).profile_schema()
    monkeypatch.setattr(aftermath, "_vectors", counted)
    local: Any = SimpleNamespace(settings=settings)
    with pytest.raises(BenchError, match="a decayed sum is"):
        await largest_error(local, feed)


def looks(handled: list[int], written: int = 100) -> list[Look]:
    return [Look(at / 2, (done, 0), (written, 0)) for at, done in enumerate(handled)]


def test_a_rate_is_what_was_handled_between_the_first_look_and_the_last() -> None:
    assert rate(looks([10, 20, 40])) == 30.0


def test_a_cost_is_the_time_of_the_processor_over_what_was_handled_meanwhile() -> None:
    first, last = Look(0, (10,), (50,), cpu_seconds=3.0), Look(9, (50,), (50,), cpu_seconds=3.002)
    assert cost([first, last]) == pytest.approx(50.0)


def test_the_longest_stall_is_the_longest_time_without_progress() -> None:
    assert longest_stall(looks([0, 10, 10, 10, 20, 20, 30])) == 1.0
    assert longest_stall(looks([0, 10, 20])) == 0.0


def test_of_each_second_the_last_look_is_kept() -> None:
    assert [seen.handled[0] for seen in by_second(looks([0, 10, 20, 30, 40]))] == [10, 30, 40]


class Lanes:
    """Lanes that are further at each look, seen from a worker that is this process."""

    def __init__(self, *handled: int) -> None:
        self._handled = list(handled)
        self.partitions = range(1)

    async def lanes(self, _: range) -> list[dict[str, str]]:
        handled = self._handled.pop(0) if len(self._handled) > 1 else self._handled[0]
        return [{"next_offset": str(handled)}]

    @property
    def local(self) -> Any:
        processes = SimpleNamespace(check=lambda: None, pid=lambda _: os.getpid())
        self.catalogue = self
        return SimpleNamespace(observer=self, processes=processes)


async def lags(*handled: int, starting: bool = False) -> list[int]:
    feed: Any = SimpleNamespace(ends=[9])
    seen = await until_lag(Lanes(*handled).local, feed, 1, every_seconds=0, starting=starting)
    return [one.lag for one in seen]


async def test_a_worker_is_watched_until_little_enough_waits() -> None:
    assert await lags(3, 3, 5, 8, 9) == [6, 6, 4, 1]


async def test_what_a_starting_worker_does_before_its_first_step_is_left_out() -> None:
    assert await lags(3, 3, 3, 5, 8, starting=True) == [6, 4, 1]


@pytest.mark.parametrize("starting", [True, False])
async def test_a_worker_that_does_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, *, starting: bool
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(BenchError, match="6 events wait, and nothing moves"):
        await lags(3, 3, starting=starting)


async def test_events_wait_in_the_partitions_of_their_customers() -> None:
    feed = Feed(Settings(partitions=4), LINE)
    batches = feed._batches(0, 300, stamp_ms=None)
    counted = Counter(feed.customers[name][0] for name, _, _ in LINE.between(0, 300))
    assert {partition: batch.record_count() for partition, batch in batches} == counted
    assert dict(enumerate(feed.ends)) == counted


async def test_what_is_too_much_for_one_batch_goes_in_several() -> None:
    feed = Feed(Settings(partitions=1), LINE)
    feed._producer._message_accumulator._batch_size = 5_000
    sizes = [batch.record_count() for _, batch in feed._batches(0, 300, stamp_ms=None)]
    assert len(sizes) > 2
    assert sum(sizes) == feed.ends[0] == 300


async def test_another_pace_goes_on_where_the_last_one_was() -> None:
    feed = Feed(Settings(partitions=1), LINE, clock_ms=lambda: 50_000)
    feed.sent = 700
    feed.pace(100, ago_seconds=2)
    assert [feed.timeline.time_ms(number) for number in (700, 900)] == [48_000, 50_000]
    assert feed.timeline.until(50_000) == 900


def told(who: str, at_ms: int, model: int, *, time: str = "t", partition: int = 0) -> Told:
    return Told(at_ms, partition, f"{who}-{at_ms}-{model}", who, time, "event", model)


MODELS = [told("default", 0, 1), told("default", 10_000, 2)]


def test_changes_are_told_once_a_step_and_by_the_newest_model() -> None:
    changes = [told("ann", 100, 1), told("bob", 11_000, 1, time="u"), told("ann", 13_000, 2)]
    found = judge([replace(c, time=str(c.at_ms)) for c in changes], MODELS, since_ms=50)
    assert found == Telling(3, 3, again=0, twice=0, outdated=0, models=1, followed_ms=3_000)


def test_a_second_change_of_a_customer_in_one_step_is_found() -> None:
    assert judge([told("ann", 1, 1), told("ann", 2, 1)], MODELS, since_ms=1).twice == 1


def test_a_worker_uses_the_model_that_was_in_force_when_it_was_started() -> None:
    assert judge([told("ann", 20_000, 1)], MODELS, since_ms=20_000).outdated == 1


def test_once_a_model_is_used_each_lane_ends_the_step_that_is_on_its_way_and_no_other() -> None:
    changes = [
        told("ann", 11_000, 2, partition=0),
        told("bob", 11_001, 1, partition=1, time="u"),
        told("cid", 11_002, 1, partition=1, time="u"),
        told("dan", 11_003, 1, partition=1, time="v"),
    ]
    assert judge(changes[:3], MODELS, since_ms=50).outdated == 0
    assert judge(changes, MODELS, since_ms=50).outdated == 1


def test_a_change_that_a_claim_tells_again_counts_once() -> None:
    found = judge([told("ann", 100, 1)] * 2, [], since_ms=0)
    assert (found.changes, found.again, found.twice) == (1, 1, 0)


def test_what_was_told_before_the_outage_ended_is_left_out() -> None:
    assert judge([told("ann", 100, 1)], [], since_ms=101).changes == 0


REPORT = SegmentReport(customers=9, unassigned=0, model=1, learned=9, needed=5, segments=[])


def metrics(processed: int, duplicate: int = 0) -> Scrape:
    counted = {"processed": processed, "duplicate": duplicate}
    samples = {(f"shoal_events_{name}_total", frozenset[Any]()): n for name, n in counted.items()}
    return Scrape({key: float(value) for key, value in samples.items()}, at=0.0)


@pytest.mark.parametrize(
    ("seen", "report", "complaint"),
    [
        (metrics(99), REPORT, "100 events were sent, 99 were processed"),
        (metrics(100, duplicate=1), REPORT, "1 events were left out"),
        (metrics(100), replace(REPORT, unassigned=2), "2 of 9 customers are in no segment"),
    ],
)
def test_a_run_that_did_not_do_its_work_does_not_count(
    seen: Scrape, report: SegmentReport, complaint: str
) -> None:
    assert fault(metrics(100), 100, REPORT) == ""
    assert fault(seen, 100, report) == complaint


CALM = Telling(5, 4, again=0, twice=0, outdated=0, models=1, followed_ms=0)


def caught_up(told_of: Telling = CALM, per_look: int = 10) -> CatchingUp:
    handled = list(accumulate([per_look] * 10, initial=0))
    return CatchingUp(100, looks(handled), told_of, largest_error=1e-15)


def test_an_outage_is_set_beside_the_full_rate() -> None:
    found = summary_of(caught_up(), [caught_up(per_look=8), caught_up(per_look=12)], 2_000)
    assert found["events_per_second"] == {"catching_up": 20, "full_rate": 20, "ratio": 1.0}
    assert found["drain_seconds"] == 5.0
    assert found["falls_steadily"]
    assert found["seconds_in_which_lag_rose"] == 0
    assert found["changes_per_event"] == {"catching_up": 0.04, "full_rate": 0.04}
    assert found["lag"][-1] == [5.0, 0, 0]
    assert json.loads(json.dumps(found)) == found
    assert table_of(found).row_count == 9


def test_what_should_not_have_been_told_is_a_figure() -> None:
    found = summary_of(caught_up(replace(CALM, twice=1, outdated=2)), [caught_up()], 2_000)
    assert found["changes"]["superseded_in_their_step"] == 1
    assert found["changes"]["by_outdated_model"] == 2


def test_a_hot_customer_has_an_even_share_of_the_events() -> None:
    circle = with_hot(LINE.circle)
    hot = [at for at, template in enumerate(circle) if template.customer_id == HOT]
    assert len(hot) == 90
    assert max(after - before for before, after in pairwise(hot)) == 4
    assert all(circle[at].fields["customer_id"] == HOT for at in hot)
    others = set(range(300)) - set(hot)
    assert all(circle[at] == LINE.circle[at] for at in others)


def test_the_rate_of_the_others_ends_when_none_of_theirs_waits() -> None:
    seen = [
        Look(0.0, (0, 0, 0), (90, 10, 10)),
        Look(1.0, (10, 8, 8), (90, 10, 10)),
        Look(2.0, (20, 10, 10), (90, 10, 10)),
        Look(9.0, (90, 10, 10), (90, 10, 10)),
    ]
    assert others_rate(seen, hot=0) == 10.0


def test_an_event_takes_from_when_it_was_written_until_it_is_behind_the_lane() -> None:
    seen = [
        Look(0.0, (0, 5), (0, 5)),
        Look(1.0, (0, 5), (2, 5)),
        Look(2.0, (1, 5), (3, 6)),
        Look(3.0, (3, 6), (3, 6)),
    ]
    assert latencies(seen, [0]).tolist() == [1.0, 2.0, 1.0]
    assert latencies(seen, [0, 1]).tolist() == [1.0, 2.0, 1.0, 1.0]
