"""Pictures and the table of targets, from the JSON of each bench."""

import json
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bench import __main__ as everything
from bench.plots import Result, draw_backlog, draw_batch_size, draw_latency, draw_scale
from bench.targets import TARGETS, Part, table_of

PNG = b"\x89PNG"
THROUGHPUT: Result = {
    "ratio": {"quix": 5.0, "naive_faust": 49.0, "floor": 0.7},
    "changing": {"ratio": {"quix": 3.0, "naive_faust": 21.0, "floor": 0.6}},
    "latency_ms": {"idle": {"p50": 4.0, "p99": 51.0}, "loaded": {"p99": 100.0}},
}
SCALE: Result = {
    "cpu_us_per_event": {"10000": 40.0, "1000000": 48.0},
    "redis_bytes_per_customer": 700,
    "worker_rss_mb": 400,
    "two_workers_ratio": 1.2,
    "start_seconds": 3.0,
    "trainer_cpu_share": 0.08,
}
BACKLOG: Result = {
    "events": 100,
    "live_events_per_second": 10,
    "events_per_second": {"catching_up": 19, "full_rate": 20, "ratio": 0.95},
    "longest_stall_seconds": 0.5,
    "changes": {"superseded_in_their_step": 0, "by_outdated_model": 0},
    "lag": [[0.0, 60, 40], [1.0, 30, 20], [2.0, 0, 0]],
}
HOT: Result = {
    "others_events_per_second": {"with": 9, "without": 10, "ratio": 0.9},
    "others_latency_ms": {"with": {"p99": 20.0}, "without": {"p99": 10.0}},
}
BATCH_SIZE: Result = {
    "runs": 3,
    "events_per_second": {
        size: {"median": rate, "lowest": rate - 5, "highest": rate + 5}
        for size, rate in (("50", 100), ("1000", 300))
    },
}
LATENCY: Result = {
    "highest": 1_000,
    "loads": [
        {"share": 0.1, "events_per_second": 100, "p50": 4.0, "p99": 9.0},
        {"share": 0.9, "events_per_second": 900, "p50": 40.0, "p99": 90.0},
    ],
}
RESULTS = {
    Part.THROUGHPUT: THROUGHPUT,
    Part.SCALE: SCALE,
    Part.BACKLOG: BACKLOG,
    Part.HOT: HOT,
    Part.BATCH_SIZE: BATCH_SIZE,
    Part.LATENCY: LATENCY,
}


@pytest.mark.parametrize(
    ("draw", "result"),
    [
        (draw_backlog, BACKLOG),
        (draw_batch_size, BATCH_SIZE),
        (draw_latency, LATENCY),
        (draw_scale, SCALE),
    ],
)
def test_a_picture_is_drawn_of_what_a_bench_found(
    draw: Callable[[Result, Path], Path], result: Result, tmp_path: Path
) -> None:
    path = draw(result, tmp_path / "new")
    assert path.parent == tmp_path / "new"
    assert path.read_bytes().startswith(PNG)


def shown(results: dict[Part, Result]) -> list[str]:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table_of(results))
    return [line for line in console.export_text().splitlines() if "│" in line]


def test_every_figure_stands_beside_its_target() -> None:
    lines = shown(RESULTS)
    assert len(lines) == len(TARGETS)
    missed = [line.split("│")[1].strip() for line in lines if line.split("│")[4].strip() == "no"]
    assert missed == [
        "Shoal / the obvious Faust, River and Redis app",
        "event to Redis, 2 000 events/s, p99",
        "two workers / one, CPU per event",
        "p99 of the others, with / without",
    ]


def test_beside_what_customers_do_by_nature_stands_what_they_do_when_many_change() -> None:
    last = [line.split("│")[5].strip() for line in shown(RESULTS)]
    assert last == ["3", "21", "0.6", *[""] * (len(TARGETS) - 3)]


def test_what_was_not_measured_is_not_in_the_table() -> None:
    assert len(shown({Part.HOT: HOT})) == 2


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(everything.main)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that print their figures at once, but the one that fails; which of them were run."""
    ran: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        name = command[2].removeprefix("bench.")
        ran.append(name)
        if name == Part.HOT:
            return subprocess.CompletedProcess(command, 1, b"")
        return subprocess.CompletedProcess(command, 0, json.dumps(RESULTS[Part(name)]).encode())

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_all_parts_are_measured_and_kept_though_one_fails(parts: list[str], tmp_path: Path) -> None:
    result = invoke("--folder", str(tmp_path))
    assert result.exit_code == 1
    assert parts == list(Part)
    assert "no figures of hot" in result.stderr
    assert "rate of catching up" in result.stdout
    assert "hot customer" not in result.stdout
    names = {path.name for path in tmp_path.iterdir()}
    kept = {f"{part}.json" for part in set(Part) - {Part.HOT}}
    assert names == kept | {"backlog.png", "batch_size.png", "latency.png", "scale.png"}


def test_parts_that_are_not_asked_for_are_shown_as_they_were_measured_last(
    parts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "scale.json").write_text(json.dumps(SCALE), encoding="utf-8")
    result = invoke("--only", "backlog", "--folder", str(tmp_path))
    assert result.exit_code == 0
    assert parts == ["backlog"]
    assert "Redis per customer" in result.stdout
    assert "longest stall" in result.stdout
