import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.common import Spread
from bench.contenders import job as job_module
from bench.contenders.checks import (
    Page,
    expected_offsets,
    expected_pages,
    fault_of_offsets,
    fault_of_pages,
)
from bench.contenders.job import Job, Meter, Terms
from bench.contenders.naive_faust import Clusterer
from bench.contenders.profile import FEATURES, Column, Model, Profile, take, vector
from bench.contenders.rounds import Round, summary_of
from bench.contenders.running import Contender, Performance, run_contender
from bench.load import newcomers, simulated
from bench.measurements import STAGES, Run
from stream.sources import SourceEvent

DAYS = ("2024-01-01", "2024-01-15", "2024-03-01")


def event(kind: str, day: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": f"{day}T00:00:00Z", **more}


def profile_of(*events: dict[str, Any]) -> Profile:
    profile: Profile = {}
    for each in events:
        take(profile, each)
    return profile


def column(name: str, **changes: Any) -> dict[str, Any]:
    plain = {"log": False, "low": 0.0, "high": 9.0, "centre": 0.0, "divisor": 1.0, "weight": 1.0}
    return {"name": name} | plain | changes


def snapshot(*centroids: list[float]) -> str:
    names = ("left out", *FEATURES)
    content = {
        "scaler": [column(name) for name in names],
        "centroids": [[7.0, *centroid] for centroid in centroids],
        "segments": [{"id": f"s{number}"} for number in range(1, len(centroids) + 1)],
    }
    return json.dumps(content)


def spread_over(views: float, emails: float) -> list[float]:
    return [{"views": views, "email_engagement": emails}.get(name, 0.0) for name in FEATURES]


MODEL = Model.of(snapshot(spread_over(1.0, 0.0), spread_over(0.0, 1.0)))


def test_a_sum_halves_in_its_half_life() -> None:
    profile = profile_of(event("product_viewed", DAYS[0]), event("email_opened", DAYS[1]))
    assert profile["events"] == 2
    assert vector(profile)["views"] == 0.5
    assert vector(profile)["email_engagement"] == 1.0


def test_a_late_event_counts_as_much_as_if_it_had_come_in_time() -> None:
    in_time = profile_of(event("product_viewed", DAYS[0]), event("product_viewed", DAYS[1]))
    late = profile_of(event("product_viewed", DAYS[1]), event("product_viewed", DAYS[0]))
    assert late["views"] == in_time["views"]
    assert late["last_ms"] == in_time["last_ms"]


def test_what_was_spent_and_when_follows_from_orders_alone() -> None:
    ordered = event("order_completed", DAYS[0], properties={"revenue": 40.0})
    features = vector(profile_of(ordered, event("signed_in", DAYS[2])))
    assert features["recency"] == features["tenure"] == 60.0
    assert features["monetary"] == 20.0
    assert vector(profile_of(event("signed_in", DAYS[0])))["recency"] == 180


def test_a_visit_counts_once() -> None:
    visits = [event("product_viewed", DAYS[0], session_id=name) for name in ("a", "a", "b")]
    assert profile_of(*visits)["sessions"] == 2.0


def test_a_value_is_curved_and_limited_as_in_the_published_model() -> None:
    logarithmic = Column("views", log=True, low=-1.0, high=1.0, centre=0.0, divisor=1.0)
    assert logarithmic.curve(1.0) == math.log(2)
    assert logarithmic.curve(-99.0) == -1.0
    assert replace(logarithmic, log=False).curve(0.5) == 0.5


def test_a_customer_is_in_the_nearest_segment_and_river_says_the_same() -> None:
    viewer = profile_of(event("product_viewed", DAYS[0]))
    reader = profile_of(event("email_opened", DAYS[0]))
    for judge in (MODEL, Clusterer(MODEL), Model.from_dict(MODEL.to_dict())):
        assert [judge.segment_of(profile) for profile in (viewer, reader)] == ["s1", "s2"]


def job_of(directory: Path, *, warm_up: int, events: int) -> Job:
    return Job(
        kafka="", redis="", events_topic="", changes_topic="", partitions=1, warm_up=warm_up,
        events=events, model={}, batch=1, profile_bytes=8, directory=str(directory),
    )  # fmt: skip


def test_a_meter_counts_from_the_first_event_to_the_last(tmp_path: Path) -> None:
    job = job_of(tmp_path, warm_up=0, events=3)
    meter = Meter(job)
    meter.begin()
    assert not meter.count(2)
    assert not job.result.exists()
    assert meter.count(1)
    assert json.loads(job.result.read_text()).keys() == {"events", "seconds", "cpu_seconds"}


def test_a_meter_leaves_out_what_was_begun_before_the_warm_up_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([7.0, 10.0])
    monkeypatch.setattr(job_module, "monotonic", lambda: next(clock))
    job = job_of(tmp_path, warm_up=5, events=4)
    meter = Meter(job)
    meter.begin(3)
    meter.begin(1)
    meter.begin(2)
    assert not meter.count(5)
    meter.begin(3)
    assert meter.count(4)
    told = json.loads(job.result.read_text())
    assert (told["events"], told["seconds"]) == (5, 3.0)


def source(customer: str, kind: str) -> SourceEvent:
    return SourceEvent(customer, 1, json.dumps(event(kind, DAYS[0])).encode())


EVENTS = [source("ann", "product_viewed"), source("bob", "email_opened")] * 2
PAGES = {"ann": Page(2, "s1"), "bob": Page(2, "s2")}
TOLD = {"ann": "s1", "bob": "s2"}


def test_right_results_are_accepted() -> None:
    expected = expected_pages(EVENTS, MODEL, json.loads)
    assert expected == PAGES
    assert fault_of_pages(expected, PAGES, TOLD) == ""


@pytest.mark.parametrize(
    ("found", "told", "complaint"),
    [
        ({"ann": PAGES["ann"]}, TOLD, "of 2 customers, Redis knows 1"),
        (PAGES | {"cid": Page(1, "s1")}, TOLD, "of 2 customers, Redis knows 3"),
        (PAGES | {"bob": Page(1, "s2")}, TOLD, "4 events were sent, 3 were counted"),
        ({"ann": Page(3, "s1"), "bob": Page(1, "s2")}, TOLD, "of 2 customers were not counted"),
        (PAGES | {"bob": Page(2, None)}, TOLD, "1 of 2 customers are in no segment"),
        (PAGES | {"bob": Page(2, "s1")}, TOLD, "1 customers are not in the nearest segment"),
        (PAGES, TOLD | {"ann": "s2"}, "told of 1 customers is not in Redis, as of ann"),
        (PAGES, {"ann": "s1"}, "told of 1 customers is not in Redis, as of bob"),
    ],
)
def test_wrong_results_are_refused(
    found: dict[str, Page], told: dict[str, str | None], complaint: str
) -> None:
    assert complaint in fault_of_pages(PAGES, found, told)


def test_the_floor_must_have_written_everybody_and_gone_to_the_end() -> None:
    expected = expected_offsets(EVENTS, lambda key: int(key == b"bob"))
    assert expected == ({0: 2, 1: 2}, {"ann": 1, "bob": 1})
    ends, last = expected
    assert fault_of_offsets(expected, expected, due=2) == ""
    assert "3 were handled" in fault_of_offsets(expected, (ends | {1: 1}, last), due=2)
    assert "profiles of 1" in fault_of_offsets(expected, (ends, {"ann": 1}), due=2)
    assert "1 are due" in fault_of_offsets(expected, expected, due=1)
    assert "as of bob" in fault_of_offsets(expected, (ends, last | {"bob": 0}), due=2)


def round_of(shoal: float, quix: float) -> Round:
    run = Run(
        events_per_second=shoal,
        cpu_us_per_event=1.0,
        stages_us_per_event=dict.fromkeys(STAGES, 1.0),
        change_rate=0.25,
        terms=Terms(b"", 1, 1),
    )
    return Round(run, {Contender.QUIX: Performance(quix, 5.0)})


def test_ratios_are_made_within_a_round() -> None:
    summary = summary_of([round_of(100, 10), round_of(40, 20), round_of(90, 30)])
    assert summary["events_per_second"] == {"shoal": 90, "quix": 20}
    assert summary["ratio"] == {"quix": Spread.of([10.0, 2.0, 3.0]).median}
    assert summary["spread"]["ratio"] == {"quix": [2.0, 10.0]}
    assert summary["cpu_us_per_event"] == {"shoal": 1.0, "quix": 5.0}
    assert summary["cpu_ratio"] == {"quix": 5.0}
    assert summary["change_rate"] == 0.25


def test_newcomers_do_not_only_look_around() -> None:
    events = newcomers(200)
    assert len(events) == 200
    assert not any(b"product_viewed" in each.value for each in events)
    assert [each.time_ms for each in events] == sorted(each.time_ms for each in events)


@pytest.mark.slow
@pytest.mark.parametrize("contender", [Contender.FLOOR, Contender.NAIVE_FAUST])
async def test_a_contender_does_its_work_on_real_servers(contender: Contender) -> None:
    terms = Terms(snapshot(spread_over(1.0, 0.0), spread_over(0.0, 1.0)).encode(), 50, 300)
    events = simulated(200, customers=50)
    measured = await run_contender(contender, events[:50], events[50:], terms, Console(stderr=True))
    assert measured.events_per_second > 0
    assert measured.cpu_us_per_event > 0
