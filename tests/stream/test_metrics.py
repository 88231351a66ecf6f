"""What a process shows before it has done anything."""

import subprocess
import sys
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream import changes, metrics
from stream.events import Reason
from stream.store import Outcome
from stream.waiting import SERVERS

PRINT = """
from prometheus_client import generate_latest
from config.settings import load_settings
from stream.app import create_worker_app

create_worker_app(load_settings())
print(generate_latest().decode())
"""


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, float]]:
    """Values of each series with a label beside the segmentation, by its name and that label."""
    done = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(done.stdout):
        for name, labels, value, *_ in family.samples:
            labels.pop("segmentation", None)
            if len(labels) == 1:
                found.setdefault(name, {}).update(dict.fromkeys(labels.values(), value))
    return found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("shoal_events_rejected_total", tuple(Reason)),
        ("shoal_segment_changes_total", get_args(changes.Reason)),
        ("shoal_stage_seconds_count", get_args(metrics.Stage)),
        ("shoal_steps_refused_total", tuple(set(Outcome) - {Outcome.APPLIED})),
        ("shoal_waiting_seconds_total", SERVERS),
    ],
)
def test_a_series_whose_labels_are_known_stands_at_zero_from_the_start(
    name: str, values: tuple[str, ...], shown: dict[str, dict[str, float]]
) -> None:
    assert shown[name] == dict.fromkeys(values, 0.0)
