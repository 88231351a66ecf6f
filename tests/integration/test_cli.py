"""The command line as a user meets it: what it prints, and how it fails."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from config.settings import Settings
from stream.embedded import EmbeddedRedis, free_port

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shoal(settings: Settings, tmp_path: Path) -> Run:
    """Runs `shoal`, away from the repository, with the test's servers in its environment."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
        ours = settings.environment() | {"SHOAL_START_TIMEOUT_SECONDS": "2"}
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "stream.cli", *arguments],
            env=plain | ours | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line, exit code 2, nothing on standard output."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_a_broker_that_is_not_there(shoal: Run) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert_refused(shoal("worker", SHOAL_KAFKA=address), address, "SHOAL_KAFKA")


def test_an_address_that_is_none(shoal: Run) -> None:
    assert_refused(shoal("worker", SHOAL_KAFKA="nonsense"), "SHOAL_KAFKA", "host:port")


def test_a_redis_that_is_not_there(shoal: Run) -> None:
    shoal("topics", "create")
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    result = shoal("worker", SHOAL_REDIS=url)
    assert_refused(result, "SHOAL_REDIS")
    assert "secret" not in result.stderr


def test_topics_that_are_not_there(shoal: Run) -> None:
    assert_refused(shoal("worker"), "shoal topics create")


def test_a_topic_with_another_number_of_partitions(shoal: Run) -> None:
    shoal("topics", "create")
    assert_refused(shoal("worker", SHOAL_PARTITIONS="9"), "has 4 partitions", "settings say 9")


def test_a_port_in_use(shoal: Run, redis_server: EmbeddedRedis) -> None:
    shoal("topics", "create")
    port = str(redis_server.port)
    assert_refused(shoal("worker", "--metrics-port", port), port, "SHOAL_METRICS_PORT")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("features: {x: {kind: wishful}}", "features.x.kind"),
        ("features: {x: {kind: count, half_life_days: 0}}", "half_life_days"),
        ("features: {x: {kind: count, halflife: 3}}", "halflife"),
        ("features: {}", "features"),
        ("features: [", "YAML"),
    ],
)
def test_a_segmentation_that_cannot_be_used(
    shoal: Run, tmp_path: Path, text: str, word: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    assert_refused(shoal("worker", SHOAL_SEGMENTATION=str(path)), "bad.yaml", word)


def test_a_replay_file_with_unknown_columns(shoal: Run, tmp_path: Path) -> None:
    shoal("topics", "create")
    path = tmp_path / "events.csv"
    path.write_text("event_id,customer_id,type,timestamp,shoe_size\n", encoding="utf-8")
    assert_refused(shoal("replay", str(path)), "shoe_size")


def test_a_replay_file_that_is_not_there(shoal: Run) -> None:
    assert_refused(shoal("replay", "nowhere.csv"), "nowhere.csv")


def test_the_faust_command_refuses_the_same_way(settings: Settings, tmp_path: Path) -> None:
    variables = {"SHOAL_KAFKA": f"127.0.0.1:{free_port()}", "SHOAL_START_TIMEOUT_SECONDS": "1"}
    plain = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
    result = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "stream.app", "worker"],
        env=plain | variables | {"SHOAL_REDIS": settings.redis_url(), "SHOAL_METRICS_PORT": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_refused(result, "SHOAL_KAFKA")


def test_check_says_what_is_wrong_and_then_that_all_is_well(shoal: Run) -> None:
    wrong = shoal("check")
    assert wrong.returncode == 2
    assert "WRONG topics" in wrong.stdout
    assert "shoal topics create" in wrong.stdout
    assert "created" in shoal("topics", "create").stdout
    assert "exists" in shoal("topics", "create").stdout
    right = shoal("check")
    assert right.returncode == 0, right.stdout
    assert "WRONG" not in right.stdout


def test_segments_and_customers_before_anything_happened(shoal: Run) -> None:
    found = json.loads(shoal("segments", "--json").stdout)
    assert (found["customers"], found["segments"]) == (0, [])
    assert "no segments yet" in shoal("segments").stdout
    assert_refused(shoal("customer", "nobody"), "nobody")


def test_the_schemas_are_json_schemas(shoal: Run) -> None:
    both = json.loads(shoal("schema").stdout)
    assert set(both) == {"event", "change", "model"}
    for schema in both.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_replay_sends_a_file_byte_for_byte(shoal: Run, tmp_path: Path) -> None:
    shoal("topics", "create")
    path = tmp_path / "events.jsonl"
    path.write_text('{"customer_id": "ann"}\nnot json\n', encoding="utf-8")
    result = shoal("replay", str(path))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "2 events sent\n"
