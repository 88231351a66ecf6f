"""Alerts and dashboard ask only for metrics that exist, and nothing measured goes unseen."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from stream import metrics
from stream.histogram import BatchHistogram

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "config" / "observability"
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana/dashboards/shoal.json").read_text())
PROVISIONING = FOLDER / "grafana/provisioning"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
JOBS = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
TARGET_LABELS = {"instance", "job"}
SUFFIXES: dict[str, dict[str, set[str]]] = {
    "counter": {"_total": set()},
    "gauge": {"": set()},
    "histogram": {"_bucket": {"le"}, "_sum": set(), "_count": set()},
}


def known_series() -> dict[str, set[str]]:
    """Name of every series that a Shoal process or Prometheus exposes, with its labels."""
    series = {"up": TARGET_LABELS}
    kinds = (MetricWrapperBase, BatchHistogram)
    for metric in [value for value in vars(metrics).values() if isinstance(value, kinds)]:
        own = metric._labelnames if isinstance(metric, MetricWrapperBase) else ()
        for family in metric.describe():
            for suffix, labels in SUFFIXES[family.type].items():
                series[family.name + suffix] = {*own, *labels, *TARGET_LABELS}
    return series


KNOWN = known_series()


def parse(expression: str) -> promql.Expr:
    """The syntax tree, with what Grafana would put in place of its variables."""
    filled = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
    assert "$" not in filled
    return promql.parse(filled)


def nodes(tree: promql.Expr) -> list[promql.Expr]:
    found: list[promql.Expr] = []
    promql.walk(tree, found.append)
    return found


def selectors(tree: promql.Expr) -> list[promql.VectorSelector]:
    return [node for node in nodes(tree) if isinstance(node, promql.VectorSelector)]


def grouped_by(tree: promql.Expr) -> Iterator[tuple[promql.AggregateExpr, list[str]]]:
    for node in nodes(tree):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            yield node, node.modifier.labels


def ports(service: str) -> set[int]:
    exposed = SERVICES[service].get("expose", [])
    return {int(port) for port in exposed}


def test_metric_names_carry_the_prefix_and_are_found() -> None:
    assert len(KNOWN) > 30
    assert all(name.startswith("shoal_") for name in KNOWN if name != "up")


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALERTS] + QUERIES)
def test_an_expression_asks_only_for_series_and_labels_that_exist(expression: str) -> None:
    tree = parse(expression)
    assert selectors(tree)
    for selector in selectors(tree):
        assert selector.name in KNOWN
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= KNOWN[selector.name]
        wanted = [m.value for m in selector.matchers.matchers if m.name == "job"]
        assert set(wanted) <= JOBS.keys()
    for aggregate, labels in grouped_by(tree):
        for selector in selectors(aggregate):
            assert set(labels) <= KNOWN[str(selector.name)]


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALERTS] + QUERIES)
def test_a_counter_is_only_read_as_a_rate_or_an_increase(expression: str) -> None:
    tree = parse(expression)
    inside = [n.vector_selector for n in nodes(tree) if isinstance(n, promql.MatrixSelector)]
    rated = {selector.name for selector in inside}
    cumulative = {
        s.name for s in selectors(tree) if re.search(r"_(total|bucket|sum)$", str(s.name))
    }
    assert cumulative <= rated


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALERTS] + QUERIES)
def test_a_model_is_judged_by_workers_alone(expression: str) -> None:
    # The trainer exposes the same gauges, forever 0.
    for selector in selectors(parse(expression)):
        if str(selector.name).startswith("shoal_model_"):
            assert 'job="shoal-worker"' in str(selector)


def test_everything_that_is_measured_is_on_the_dashboard() -> None:
    shown = {str(selector.name) for query in QUERIES for selector in selectors(parse(query))}
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    measured = {re.sub(r"_(bucket|sum|count)$", "", name) for name in KNOWN}
    assert measured - stems == set()


def test_prometheus_loads_the_alerts_that_compose_mounts() -> None:
    mounted = dict(mount.split(":")[:2] for mount in SERVICES["prometheus"]["volumes"])
    inside = {target: ROOT / source for source, target in mounted.items()}
    assert [inside[path] for path in PROMETHEUS["rule_files"]] == [FOLDER / "alerts.yml"]
    assert (
        f"--config.file={mounted['./config/observability/prometheus.yml']}"
        in (SERVICES["prometheus"]["command"])
    )


@pytest.mark.parametrize("service", ["worker", "trainer"])
def test_prometheus_finds_every_container_of_a_service_by_its_name(service: str) -> None:
    (discovery,) = JOBS[f"shoal-{service}"]["dns_sd_configs"]
    assert discovery["names"] == [service]
    assert discovery["type"] == "A"
    assert {discovery["port"]} == ports(service)


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert promql.parse_duration(rule.get("for", "1m")).total_seconds() > 0
    text = " ".join(rule["annotations"].values())
    tree = parse(rule["expr"])
    kept = {label for _, labels in grouped_by(tree) for label in labels} or KNOWN["up"]
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept


@pytest.mark.parametrize(
    "wanted",
    [
        "shoal_partition_lag",
        "shoal_waiting_seconds_total",
        "shoal_events_rejected_total",
        "shoal_model_age_seconds",
        "shoal_redis_errors_total",
        "shoal_kafka_errors_total",
        "shoal_steps_refused_total",
        "shoal_offset_gaps_total",
        "shoal_partitions_assigned",
    ],
)
def test_what_an_operator_must_hear_of_raises_an_alert(wanted: str) -> None:
    heard = {str(s.name) for rule in ALERTS for s in selectors(parse(rule["expr"]))}
    assert wanted in heard


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    datasources = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())
    (datasource,) = datasources["datasources"]
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] == datasource["uid"]
    assert SERVICES["prometheus"]["ports"][0].endswith(
        datasource["url"].removeprefix("http://prometheus")
    )
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/shoal.yml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert (
        f"./config/observability/grafana/dashboards:{folder}:ro" in SERVICES["grafana"]["volumes"]
    )
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/shoal.json"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_has_a_unit_and_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"]
    ids = [target["refId"] for target in panel["targets"]]
    assert len(ids) == len(set(ids))
    for target in panel["targets"]:
        legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        kept = {label for _, labels in grouped_by(parse(target["expr"])) for label in labels}
        assert legend <= (kept or TARGET_LABELS)
        assert legend or target["legendFormat"] or len(panel["targets"]) == 1


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations([panel["gridPos"] for panel in every], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)
