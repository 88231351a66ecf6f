"""The pages say what the code does: names, defaults, reasons, types and sizes."""

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from config.segmentation import ModelConfig, SegmentationConfig, load_segmentation
from config.settings import DEFAULT_SEGMENTATION, Settings
from models.identifiers import CustomerId
from stream import changes, metrics
from stream.event_types import KNOWN_TYPES, RESERVED_TYPES, SYNONYMS
from stream.events import Reason
from stream.histogram import BatchHistogram
from stream.names import Keys, Topics
from stream.publisher import _headers
from tests.pages import (
    ARCHITECTURE,
    DOCS,
    EVENTS,
    OPERATIONS,
    ROOT,
    TEXT,
    between,
    cells_of,
    quoted,
    rows_of,
    section,
)

Metric = MetricWrapperBase | BatchHistogram
METRICS = [value for value in vars(metrics).values() if isinstance(value, Metric)]
SETTINGS = rows_of(section(OPERATIONS, "Settings"))
SEGMENTATION = rows_of(section(OPERATIONS, "The segmentation file"))
TYPES = section(EVENTS, "Types")
REJECTED = section(EVENTS, "Rejected events")


def shown(default: object) -> str:
    """A default as the tables write it."""
    if default is PydanticUndefined:
        return ""
    if default is None or default == {}:
        return "none"
    if isinstance(default, dict):
        return ", ".join(f"`{name}`" for name in default)
    if isinstance(default, Path):
        return f"`{default.relative_to(ROOT)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def described(metric: Metric) -> tuple[str, list[str]]:
    """Name of a metric as Prometheus shows it, and its labels."""
    (description,) = metric.describe()
    suffix = "_total" if description.type == "counter" else ""
    labels = metric._labelnames if isinstance(metric, MetricWrapperBase) else ()
    return description.name + suffix, list(labels)


def test_every_setting_is_listed_with_its_default_and_no_other() -> None:
    known = {f"SHOAL_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert SETTINGS.keys() == known.keys()
    assert {n: row[0] for n, row in SETTINGS.items()} == {
        name: shown(field.default) for name, field in known.items()
    }


def test_every_key_of_the_segmentation_file_is_listed_with_its_default() -> None:
    model = {f"model.{name}": field for name, field in ModelConfig.model_fields.items()}
    known = SegmentationConfig.model_fields | model
    del known["model"]
    assert {n: row[0] for n, row in SEGMENTATION.items()} == {
        name: shown(field.default) for name, field in known.items()
    }


def test_every_metric_is_explained_with_its_labels_and_no_other() -> None:
    explained = re.findall(r"`(shoal_\w+)(?:{([\w, ]+)})?`", section(OPERATIONS, "Metrics"))
    told: dict[str, list[str]] = {}
    for name, labels in explained:
        told.setdefault(name, []).extend(labels.split(", ") if labels else [])
    assert len(METRICS) > 20
    assert told == dict(map(described, METRICS))


def test_every_alert_has_a_row() -> None:
    groups = yaml.safe_load((ROOT / "config/observability/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert rows_of(section(OPERATIONS, "Alerts")).keys() == alerts


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_a_rejection_says_what_is_wrong_and_what_to_do(reason: Reason) -> None:
    wrong, action = rows_of(REJECTED)[reason.value]
    assert wrong
    assert action


def test_no_reason_or_header_of_a_rejected_record_is_made_up() -> None:
    headers = set(re.findall(r'^ +"(\w+)":', inspect.getsource(_headers), re.MULTILINE))
    assert len(headers) > 5
    assert rows_of(REJECTED).keys() == headers | set(Reason)


def test_every_known_type_is_listed_once_and_no_other() -> None:
    listed = quoted(between(TYPES, "All known types:", "A type of your own"))
    assert sorted(listed) == sorted(KNOWN_TYPES)


def test_reserved_types_and_second_names_are_listed() -> None:
    assert set(quoted(TYPES)) >= RESERVED_TYPES
    told = rows_of(between(TYPES, "| sent | read as |", "Every event counts"))
    assert {name: quoted(row[0]) for name, row in told.items()} == {
        name: [ours] for name, ours in SYNONYMS.items()
    }


def test_what_each_type_feeds_is_what_the_default_segmentation_says() -> None:
    features = load_segmentation(DEFAULT_SEGMENTATION).features
    fed: dict[str, set[str]] = {}
    for name, feature in features.items():
        for kind in feature.events + (feature.among.events if feature.among else ()):
            fed.setdefault(kind, set()).add(name)
    told: dict[str, set[str]] = {}
    kinds: list[str] = []
    for cells in cells_of(between(TYPES, "| type | features |", "All known types:")):
        kinds = quoted(cells[0]) or kinds  # a long row goes on in the next
        for kind in kinds:
            told.setdefault(kind, set()).update(quoted(cells[1]))
    assert told == fed
    of_all = {name for name, feature in features.items() if not feature.events}
    assert set(quoted(between(TYPES, "Every event counts", "So does a type"))) == of_all


def test_every_redis_key_is_listed_and_no_other() -> None:
    keys = Keys("shoal")
    parts: dict[str, Any] = {
        "customer": CustomerId("<customer>"),
        "segmentation": "<segmentation>",
        "partition": "<partition>",
        "version": "<version>",
        "kind": "<kind>",
    }
    known = set()
    for name in vars(Keys).keys() - {"namespace", "profile_prefix", "lanes", "profiles", "place"}:
        if not name.startswith("_"):
            made = getattr(keys, name)
            wanted = [] if isinstance(made, str) else inspect.signature(made).parameters
            known.add(made(**{part: parts[part] for part in wanted}) if wanted else made)
    assert len(known) > 10
    assert rows_of(section(ARCHITECTURE, "Redis keys")).keys() == known


def test_every_topic_and_consumer_group_is_listed_and_no_other() -> None:
    topics = Topics("shoal")
    names = [name for name, value in vars(Topics).items() if isinstance(value, property)]
    groups = {topics.worker_group, topics.trainer_group}
    text = section(ARCHITECTURE, "Kafka topics")
    assert rows_of(text).keys() == {getattr(topics, name) for name in names} - groups
    assert set(quoted(text)) >= groups


def test_the_size_of_a_profile_is_what_the_pages_say() -> None:
    schema = load_segmentation(DEFAULT_SEGMENTATION).profile_schema()
    row = schema.empty(1)
    (empty,) = schema.encode(row)
    row.view("u1")[8:] = 0xFF
    row["last_ms"] = 0x7F7F7F7F_7F7F7F7F  # other times are stored as the difference: no zero either
    (full,) = schema.encode(row)
    size = schema.dtype.itemsize
    record = TEXT[DOCS / "decisions/0004-numpy-records.md"]
    assert f"a record has {size} bytes" in ARCHITECTURE
    assert f"it has {len(empty)} bytes of head and bitmap" in ARCHITECTURE
    assert f"at most {len(full)}." in ARCHITECTURE
    assert f"| {size} bytes," in OPERATIONS
    assert f"{size} bytes; " in record


def test_every_reason_of_a_change_is_explained() -> None:
    told = quoted(between(ARCHITECTURE, "- `reason` is", "- `id` is"))
    assert set(told) - {"reason", "to"} == set(get_args(changes.Reason))


def test_every_decision_is_in_the_index() -> None:
    index = TEXT[DOCS / "decisions/README.md"]
    records = sorted((DOCS / "decisions").glob("0*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    for path in records:
        assert f"({path.name})" in index
        assert TEXT[path].startswith(f"# {path.name[:4]}: ")
