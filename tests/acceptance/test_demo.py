"""What the bounded demo promises of the line that it prints."""

import json
from typing import Any

KEYS = {
    "events",
    "processed",
    "rejected",
    "customers",
    "unassigned",
    "segments",
    "changes",
    "duplicates",
    "events_per_second",
    "latency_ms",
}


def test_it_prints_one_line_and_nothing_else(lines: list[str]) -> None:
    assert len(lines) == 1
    assert isinstance(json.loads(lines[0]), dict)


def test_the_line_has_every_promised_key(summary: dict[str, Any]) -> None:
    assert set(summary) == KEYS
    assert set(summary["latency_ms"]) == {"p50", "p99"}
    assert all(set(segment) == {"id", "name", "size"} for segment in summary["segments"])


def test_every_event_is_either_processed_or_rejected(summary: dict[str, Any], asked: int) -> None:
    assert summary["events"] == asked
    assert summary["processed"] + summary["rejected"] == asked
    assert summary["rejected"] == 0


def test_every_customer_is_counted_in_one_place(summary: dict[str, Any]) -> None:
    sizes = sum(segment["size"] for segment in summary["segments"])
    assert sizes + summary["unassigned"] == summary["customers"] > 0


def test_segments_have_ids_and_names_of_their_own(summary: dict[str, Any]) -> None:
    segments = summary["segments"]
    assert len(segments) > 1
    assert summary["unassigned"] == 0
    assert len({segment["id"] for segment in segments}) == len(segments)
    assert len({segment["name"] for segment in segments}) == len(segments)


def test_everybody_who_got_a_segment_was_told_of_once(summary: dict[str, Any]) -> None:
    assert summary["changes"] >= summary["customers"]
    assert summary["duplicates"] == 0


def test_figures_of_speed_are_measured(summary: dict[str, Any]) -> None:
    assert summary["events_per_second"] > 0
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
