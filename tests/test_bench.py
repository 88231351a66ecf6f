import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from bench import throughput
from bench.common import (
    BenchError,
    Spread,
    cpu_seconds,
    memory,
    parse_cpu_seconds,
    parse_memory,
    tell,
)
from bench.contenders import rounds
from bench.contenders.job import Terms
from bench.contenders.running import Contender, Performance
from bench.load import customers_of, visitors
from bench.measurements import STAGES, Run, fault, fault_of_told, stages_us_per_event
from stream.events import parse
from stream.inspection import SegmentReport
from stream.money import Money
from stream.scrape import Scrape
from stream.sources import SourceEvent

TOLD: dict[str, tuple[int, str | None]] = {"ann": (1, "s1"), "bob": (2, None)}
REPORT = SegmentReport(customers=10, unassigned=0, model=1, learned=10, needed=5, segments=[])


def run_at(rate: float) -> Run:
    return Run(
        rate,
        cpu_us_per_event=rate / 10,
        stages_us_per_event=dict.fromkeys(STAGES, rate),
        change_rate=0.05,
        terms=Terms(b"{}", batch=100, profile_bytes=300),
    )


def test_processor_time_is_read_behind_a_process_name_with_spaces_and_parentheses() -> None:
    counters = " ".join(str(number) for number in range(4, 14))
    assert parse_cpu_seconds(f"1 (faust (a) b) S {counters} 150 50 0 0", 100) == 2.0


def test_memory_is_read_in_megabytes_of_a_million_bytes() -> None:
    used = parse_memory("Name:\tpython: 3\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\n")
    assert (used.rss_mb, used.peak_mb) == (1.024, 2.048)


def test_a_process_that_works_uses_processor_time_and_memory() -> None:
    before = cpu_seconds(os.getpid())
    for _ in range(1_000):
        if cpu_seconds(os.getpid()) > before:
            break
        sum(range(100_000))
    assert cpu_seconds(os.getpid()) > before
    used = memory(os.getpid())
    assert used.peak_mb >= used.rss_mb > 1


def test_the_median_of_runs_is_given_with_their_range() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(median=2.0, lowest=1.0, highest=5.0)


def test_visitors_cause_one_and_a_half_events_each_that_a_worker_accepts() -> None:
    events = list(visitors(100))
    assert len(events) == 150
    assert customers_of(events) == 100
    parsed = [
        parse(
            event.value,
            event.customer_id.encode(),
            received_ms=event.time_ms,
            now_ms=event.time_ms,
            money=Money("EUR", {}),
            correct_skew=False,
        )
        for event in events
    ]
    assert len({event.event_id for event in parsed}) == 150
    assert [event.time_ms for event in parsed] == [event.time_ms for event in events]
    assert sum(event.type == "order_completed" for event in parsed) == 50
    assert len({event.value for event in parsed if event.value}) > 40


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"processed": 99}, "100 events were sent, 99 processed and 0 rejected"),
        ({"processed": 101}, "100 events were sent, 101 processed and 0 rejected"),
        ({"processed": 90, "rejected": 10}, "10 of 100 events were rejected"),
        ({"duplicates": 2}, "2 of 100 events were left out as duplicates"),
        ({"customers": 11}, "the events are of 11 customers, Redis knows 10"),
        ({"report": replace(REPORT, unassigned=3)}, "3 of 10 customers are in no segment"),
    ],
)
def test_a_run_that_did_not_do_its_work_does_not_count(
    change: dict[str, Any], complaint: str
) -> None:
    whole: dict[str, Any] = {
        "sent": 100,
        "processed": 100,
        "rejected": 0,
        "duplicates": 0,
        "customers": 10,
        "report": REPORT,
    }
    assert fault(**whole) == ""
    assert complaint in fault(**(whole | change))


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"ann": (1, "s1")}, "of 2 customers, 1 were told of"),
        (TOLD | {"bob": (2, "s3")}, "told of 1 customers is not in Redis, as of bob"),
        (TOLD | {"ann": (2, "s1")}, "told of 1 customers is not in Redis, as of ann"),
    ],
)
def test_what_was_told_last_must_be_what_pages_show(
    told: dict[str, tuple[int, str | None]], complaint: str
) -> None:
    assert fault_of_told(2, TOLD, TOLD) == ""
    assert complaint in fault_of_told(2, told, TOLD)


def test_stages_are_spread_over_the_events_and_absent_ones_are_zero() -> None:
    samples = {("shoal_stage_seconds_sum", frozenset({("stage", "step")})): 0.5}
    stages = stages_us_per_event(Scrape(samples, at=0.0), 1_000)
    assert stages == dict.fromkeys(STAGES, 0.0) | {"step": 500.0}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measurements that give fixed figures at once; which of them were made."""
    made: list[str] = []
    rates = iter([300.0, 100.0, 200.0] * 2)

    async def rate(
        warm_up: Sequence[SourceEvent], events: Sequence[SourceEvent], _: Console
    ) -> Run:
        assert (len(warm_up), len(events)) == (throughput.WARM_UP_EVENTS, 1_000)
        made.append("shoal")
        return run_at(next(rates))

    async def beside(
        contender: Contender,
        warm_up: Sequence[SourceEvent],
        events: Sequence[SourceEvent],
        terms: Terms,
        _: Console,
    ) -> Performance:
        assert terms.batch == 100
        assert len(warm_up) == throughput.WARM_UP_EVENTS
        made.append(f"{contender} {len(events)}")
        return Performance(50.0, 20.0)

    async def latencies(rates: Mapping[str, float]) -> dict[str, dict[str, float]]:
        made.extend(f"latency at {rate:.0f}" for rate in rates.values())
        return {
            name: {"events_per_second": round(rate), "p50": 100.0, "p99": 198.0}
            for name, rate in rates.items()
        }

    async def used(events: Sequence[SourceEvent], _: Console) -> dict[str, float]:
        made.append("memory")
        return {"customers": customers_of(events), "rss": 1.5, "peak": 2.5}

    monkeypatch.setattr(throughput, "MEMORY_CUSTOMERS", 10)
    monkeypatch.setattr(throughput, "newcomers", lambda events: list(visitors(events))[:events])
    monkeypatch.setattr(rounds, "measure_throughput", rate)
    monkeypatch.setattr(rounds, "run_contender", beside)
    monkeypatch.setattr(throughput, "_latencies", latencies)
    monkeypatch.setattr(throughput, "measure_memory", used)
    return made


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(throughput.main)
    return CliRunner().invoke(app, [*arguments, "--events", "1000"])


def test_json_is_one_line_with_every_figure(measured: list[str]) -> None:
    result = invoke("--json", "--runs", "3", "--contenders", "floor,quix")
    assert result.exit_code == 0
    in_turn = ["shoal", "quix 1000", "floor 1000"] * 6
    assert measured == [*in_turn, "latency at 2000", "latency at 210", "memory"]
    (line,) = result.stdout.splitlines()
    figures = json.loads(line)
    assert figures.pop("machine").keys() == {"cores", "python"}
    compared = {
        "events_per_second": {"shoal": 200, "quix": 50, "floor": 50},
        "ratio": {"quix": 4.0, "floor": 4.0},
        "spread": {
            "events_per_second": {"shoal": [100, 300], "quix": [50, 50], "floor": [50, 50]},
            "ratio": {"quix": [2.0, 6.0], "floor": [2.0, 6.0]},
        },
        "cpu_us_per_event": {"shoal": 20.0, "quix": 20.0, "floor": 20.0},
        "cpu_ratio": {"quix": 1.0, "floor": 1.0},
        "stages_us_per_event": dict.fromkeys(STAGES, 200.0),
        "change_rate": 0.05,
    }
    assert figures == {
        "events": 1000,
        "customers": 20000,
        "runs": 3,
        **compared,
        "changing": compared,
        "latency_ms": {
            "idle": {"events_per_second": 2000, "p50": 100.0, "p99": 198.0},
            "loaded": {"events_per_second": 210, "p50": 100.0, "p99": 198.0},
        },
        "worker_rss_mb": {"customers": 10, "rss": 1.5, "peak": 2.5},
    }


def test_a_contender_that_nobody_knows_is_wrong_usage(measured: list[str]) -> None:
    result = invoke("--contenders", "floor,spark")
    assert result.exit_code == 2
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "'spark' is not a valid Contender: name some of quix, naive_faust, floor" in said
    assert measured == []


def test_people_get_a_table_of_what_they_asked_for(measured: list[str]) -> None:
    result = invoke("--only", "latency")
    assert result.exit_code == 0
    assert measured == ["latency at 2000"]
    assert "198.0 ms" in result.stdout
    assert "events/s" not in result.stdout.replace("at 2000 events/s", "")
    assert "memory" not in result.stdout


def test_a_run_that_does_not_count_ends_in_a_message_and_no_figure(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> Run:
        raise BenchError("this run does not count: 7 of 10 customers are in no segment")

    monkeypatch.setattr(rounds, "measure_throughput", broken)
    result = invoke("--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "7 of 10 customers are in no segment" in result.stderr
    assert measured == []


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bench_prints_a_line_of_json_or_a_table_and_where_its_plot_is(
    *, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure() -> dict[str, Any]:
        return {"rate": 7}

    drawn: list[dict[str, Any]] = []

    def draw(result: dict[str, Any]) -> Path:
        drawn.append(result)
        return tmp_path / "plot.png"

    tell(measure(), as_json=as_json, table_of=lambda _: Table("figure"), draw=draw)
    shown = capsys.readouterr()
    if as_json:
        assert (json.loads(shown.out), drawn) == ({"rate": 7}, [])
    else:
        assert "figure" in shown.out
        assert "drawn:" in shown.err
        assert drawn == [{"rate": 7}]


def test_a_bench_whose_work_was_not_done_says_so_and_prints_no_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure() -> dict[str, Any]:
        raise BenchError("3 events are missing")

    with pytest.raises(typer.Exit):
        tell(measure(), as_json=True, table_of=lambda _: Table(), draw=lambda _: tmp_path)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: 3 events are missing\n")
