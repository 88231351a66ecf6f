"""`shoal evaluate` as a user meets it, on sources that need no server."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config.settings import DEFAULT_SEGMENTATION, Settings
from models.errors import ShoalError
from stream.evaluate import evaluate
from tests.stream.test_rehearsal import shop

Run = Callable[..., subprocess.CompletedProcess[str]]
ONE_WAY = """
model: {k: 2, min_customers: 6}
features:
  orders: {kind: count, events: [order_completed], half_life_days: 10}
  recency: {kind: recency, cap_days: 60}
"""
OTHER = (
    ONE_WAY.replace("k: 2", "k: 3") + "segmentations: {default: {}, value: {features: [orders]}}"
)


@pytest.fixture
def shoal(tmp_path: Path) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "stream.cli", "evaluate", *arguments],
            env=plain | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two configurations, and a log."""
    (tmp_path / "running.yaml").write_text(ONE_WAY, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
    lines = b"\n".join(event.value for event in shop())
    (tmp_path / "events.jsonl").write_bytes(lines + b"\n{half\n")
    return tmp_path


def evaluated(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_two_configurations_on_the_simulator(shoal: Run, tmp_path: Path) -> None:
    fewer = DEFAULT_SEGMENTATION.read_text(encoding="utf-8").replace("  k: 6 ", "  k: 4 ")
    (tmp_path / "fewer.yaml").write_text(fewer, encoding="utf-8")
    arguments = ("--candidate", "fewer.yaml", "--from", "simulator", "--limit", "8000")
    found = evaluated(shoal(*arguments, "--json"))
    assert (found["events"], found["rejected"]) == (8000, 0)
    (verdict,) = found["segmentations"]
    running, candidate = verdict["running"], verdict["candidate"]
    assert (len(running["segments"]), len(candidate["segments"])) == (6, 4)
    assert 0 < running["inertia"] < candidate["inertia"] < 1
    for side in (running, candidate):
        assert sum(segment["customers"] for segment in side["segments"]) == found["customers"]
        assert all(segment["name"] for segment in side["segments"])
        assert side["models"] > 1
        assert -1 < side["silhouette"] < 1
        moved = side["changes_per_customer"] * found["customers"]
        assert sum(side["reasons"].values()) == pytest.approx(moved, abs=1)
        assert 0 <= side["undone"] < 1
    for at, side in enumerate((running, candidate)):
        sizes: Counter[str] = Counter()
        for move in verdict["moves"]:
            sizes[move[at]] += move[2]
        assert sizes == {s["id"]: s["customers"] for s in side["segments"] if s["customers"]}
    assert 0.5 < verdict["together"] < 1


def test_a_configuration_agrees_with_itself(shoal: Run, files: Path) -> None:
    arguments = ("--candidate", "running.yaml", "--from", "events.jsonl", "--json")
    found = evaluated(shoal(*arguments, SHOAL_SEGMENTATION=str(files / "running.yaml")))
    (verdict,) = found["segmentations"]
    assert verdict["running"] == verdict["candidate"]
    assert verdict["together"] == 1.0
    assert all(old == new for old, new, _ in verdict["moves"])
    assert (found["rejected"], found["customers"]) == (1, 6)


def test_a_segmentation_that_only_one_of_them_has(shoal: Run, files: Path) -> None:
    running = str(files / "running.yaml")
    arguments = ("--candidate", "other.yaml", "--from", "events.jsonl")
    found = evaluated(shoal(*arguments, "--json", SHOAL_SEGMENTATION=running))
    default, value = found["segmentations"]
    assert (default["segmentation"], value["segmentation"]) == ("default", "value")
    assert value["running"] is None
    assert (value["moves"], value["together"]) == ([], None)
    assert value["candidate"]["segments"]
    shown = shoal(*arguments, SHOAL_SEGMENTATION=running)
    assert shown.returncode == 0, shown.stderr
    for segment in (*default["running"]["segments"], *value["candidate"]["segments"]):
        assert segment["id"] in shown.stdout
    assert "stay together" in shown.stdout
    assert "1 rejected" in shown.stdout


def test_a_candidate_that_cannot_be_used_is_one_line(shoal: Run, files: Path) -> None:
    (files / "bad.yaml").write_text("features: {x: {kind: wishful}}", encoding="utf-8")
    result = shoal("--candidate", "bad.yaml", "--from", "events.jsonl")
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "bad.yaml: features.x.kind" in line
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("source", "limit", "words"),
    [
        ("nowhere.csv", None, "check the path"),
        ("simulator", None, "simulator never ends.*--limit"),
        (None, None, "--from SOURCE or --from-kafka"),
        ("empty.jsonl", None, r"empty.jsonl has no event .*\(none at all\)"),
        ("broken.jsonl", None, r"broken.jsonl has no event .*\(1 invalid_json\)"),
        ("events.jsonl", 2, "2 customers, too few for segmentation default of .*running.yaml"),
    ],
)
async def test_what_cannot_be_compared_says_what_is_missing(
    files: Path, source: str | None, limit: int | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    (files / "empty.jsonl").touch()
    (files / "broken.jsonl").write_text("{half\n", encoding="utf-8")
    settings = Settings(segmentation=files / "running.yaml")
    with pytest.raises(ShoalError, match=words):
        await evaluate(
            settings,
            files / "other.yaml",
            source=source,
            from_kafka=False,
            limit=limit,
            console=Console(quiet=True),
        )
