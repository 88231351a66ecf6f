"""The default segmentation, and what a person reads when theirs is wrong."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from config.files import SettingsError
from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import DEFAULT_SEGMENTATION
from models.clusterers import ALGORITHMS
from models.features import ATTRIBUTE_KINDS, Flag, Kind, Selector
from stream.event_types import KNOWN_TYPES
from stream.money import Money

VALID = "features: {orders: {kind: count}}\n"


def feature(definition: str) -> str:
    return f"features:\n  orders: {{{definition}}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segmentation.yaml"


def load(path: Path, content: str | bytes) -> SegmentationConfig:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_segmentation(path)


def refusal(path: Path, content: str | bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        load(path, content)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


DEFAULT = load_segmentation(DEFAULT_SEGMENTATION)


def test_the_default_measures_at_least_fourteen_things() -> None:
    assert len(DEFAULT.features) >= 14
    assert {feature.kind for feature in DEFAULT.features.values()} == set(Kind) - ATTRIBUTE_KINDS


def test_the_default_counts_events_that_shoal_knows() -> None:
    named = set(DEFAULT.profile_schema().types)
    assert named <= KNOWN_TYPES


def test_every_default_feature_has_its_unit_and_its_words() -> None:
    for definition in DEFAULT.features.values():
        assert all((definition.unit, definition.high, definition.low))
    words = [word for f in DEFAULT.features.values() for word in (f.high, f.low)]
    assert len(set(words)) == len(words)


def test_the_default_is_written_out_where_a_file_may_leave_things_out() -> None:
    plain = SegmentationConfig.model_validate({"features": {"orders": {"kind": "count"}}})
    assert DEFAULT.model == plain.model
    assert DEFAULT.segmentations == plain.segmentations
    for name in ("currency", "session_timeout_minutes", "expire_after_days", "timezone"):
        assert getattr(DEFAULT, name) == getattr(plain, name)


def test_the_default_can_be_worked_with() -> None:
    schema = DEFAULT.profile_schema()
    vectors = schema.vectors(schema.empty(2), 1_500_000_000_000)
    assert vectors.shape == (2, len(DEFAULT.features))
    assert np.isfinite(vectors).all()
    assert Money(DEFAULT.currency, DEFAULT.rates).convert(100, "USD") == 92
    training = DEFAULT.training()
    assert (training.k, training.sample_target) == (6, DEFAULT.model.sample_customers)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_can_be_chosen(algorithm: str, path: Path) -> None:
    config = load(path, VALID + f"model: {{algorithm: {algorithm}}}")
    assert config.training().algorithm == algorithm


def test_a_feature_reaches_the_core_as_it_was_written(path: Path) -> None:
    config = load(
        path,
        feature(
            "kind: ratio, events: [b, a], where: discounted, among: {where: session_start}, "
            "half_life_days: 3, prior: 2, scale: linear, weight: 0.5, unit: share, high: much"
        ),
    )
    (made,) = config.profile_schema().features
    assert made.selector == Selector(("b", "a"), Flag.DISCOUNTED)
    assert made.among == Selector(where=Flag.SESSION_START)
    assert (made.name, made.kind, made.half_life_days, made.prior) == ("orders", Kind.RATIO, 3, 2)
    assert (made.scale, made.weight, made.unit) == ("linear", 0.5, "share")
    assert (made.high, made.low) == ("much", "low orders")


def test_features_keep_the_order_of_the_file(path: Path) -> None:
    config = load(path, "features: {z: {kind: count}, a: {kind: tenure}, m: {kind: count}}")
    assert config.profile_schema().names == ("z", "a", "m")


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        ("kind: median", "features.orders.kind: "),
        ("events: [a]", "features.orders.kind: "),
        ("kind: count, halflife: 3", "features.orders.halflife: "),
        ("kind: count, half_life_days: 0", "features.orders.half_life_days: "),
        ("kind: count, half_life_days: -1", "features.orders.half_life_days: "),
        ("kind: count, half_life_days: .nan", "features.orders.half_life_days: "),
        ("kind: count, half_life_days: long", "features.orders.half_life_days: "),
        ("kind: recency, cap_days: 0", "features.orders.cap_days: "),
        ("kind: recency, half_life_days: 3", "features.orders: kind recency takes no half_life"),
        ("kind: tenure, half_life_days: 3", "features.orders: kind tenure takes no half_life"),
        ("kind: recency, where: discounted", "features.orders: kind recency takes no `where`"),
        ("kind: interval, where: discounted", "features.orders: kind interval takes no `where`"),
        ("kind: distinct, where: discounted", "features.orders: kind distinct takes no `where`"),
        ("kind: ratio", "features.orders: kind ratio needs `among"),
        ("kind: sum", "features.orders: kind sum needs `of"),
        ("kind: mean", "features.orders: kind mean needs `of"),
        ("kind: sum, of: price", "features.orders.of: "),
        ("kind: count, where: refunded", "features.orders.where: "),
        ("kind: count, events: order", "features.orders.events: "),
        ("kind: count, events: [Order Completed]", "features.orders.events.0: "),
        ("kind: count, events: [a, on]", "features.orders.events.1: "),
        ("kind: ratio, among: {event: [a]}", "features.orders.among.event: "),
        ("kind: ratio, among: {}, prior: -1", "features.orders.prior: "),
        ("kind: count, scale: cubic", "features.orders.scale: "),
        ("kind: count, weight: 0", "features.orders.weight: "),
        ("kind: flag", "features.orders: kind flag is told, not measured"),
        ("kind: count, hours: [18]", "features.orders.hours.1: "),
        ("kind: count, hours: [18, 25]", "features.orders.hours.1: "),
        ("kind: count, hours: [18, 18]", "features.orders.hours: "),
        ("kind: count, days: [sunday]", "features.orders.days.0: "),
        ("kind: tenure, days: [sun]", "features.orders: kind tenure takes no"),
    ],
)
def test_a_wrong_feature_is_refused_in_one_line_that_names_the_place(
    definition: str, place: str, path: Path
) -> None:
    assert place in refusal(path, feature(definition))


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("name: Two Words", "name: "),
        ("currency: euro", "currency: "),
        ("currency: eur", "currency: "),
        ("rates: {usd: 0.9}", "rates.usd"),
        ("rates: {USD: 0}", "rates.USD: "),
        ("rates: {USD: .nan}", "rates.USD: "),
        ("rates: {USD: .inf}", "rates.USD: "),
        ("rates: {EUR: 2}", "rates: EUR is the own currency"),
        ("timezone: Europe/Atlantis", "timezone: 'Europe/Atlantis' is no time zone"),
        ("timezone: ../Berlin", "timezone: "),
        ("timezone: ''", "timezone: "),
        ("attributes: {orders: {kind: flag}}", "attributes.orders: there is a feature"),
        ("attributes: {age: {kind: numbers}}", "attributes.age.kind: "),
        ("attributes: {age: {kind: number, values: [1]}}", "attributes.age: kind number takes no"),
        ("attributes: {age: {kind: flag, scale: log}}", "attributes.age: kind flag takes no"),
        ("attributes: {age: {kind: number, ordered: true}}", "attributes.age: kind number takes"),
        ("attributes: {city: {high: big}}", "attributes.city: kind category takes no `high`"),
        ("attributes: {city: {values: [a, ' A']}}", "attributes.city: values: one is named twice"),
        ("attributes: {city: {values: [a], ordered: true}}", "attributes.city: ordered: name two"),
        ("attributes: {city: {values: [a], buckets: 3}}", "attributes.city: with `values`"),
        ("attributes: {city: {buckets: 65}}", "attributes.city.buckets: "),
        ("attributes: {city: {trait: a..b}}", "attributes.city.trait: "),
        ("segmentations: {}", "segmentations: "),
        ("segmentations: {Two Words: {}}", "segmentations.Two Words.[key]: "),
        ("segmentations: {a: {features: [views]}}", "segmentations.a.features: 'views' is no"),
        ("session_timeout_minutes: 0", "session_timeout_minutes: "),
        ("expire_after_days: 0", "expire_after_days: "),
        ("expire_after_days: .inf", "expire_after_days: "),
        ("expire_after_days: 1e300", "expire_after_days: "),
        ("model: {algorithm: dbscan}", "model.algorithm: "),
        ("model: {k: 0}", "model.k: "),
        ("model: {k: 101}", "model.k: "),
        ("model: {k: many}", "model.k: "),
        ("model: {k_min: 1}", "model.k_min: "),
        ("model: {k_max: 101}", "model.k_max: "),
        ("model: {k_min: 5, k_max: 4}", "model: k_min 5 is above k_max 4"),
        ("model: {margin: 1}", "model.margin: "),
        ("model: {min_customers: 0}", "model.min_customers: "),
        ("model: {sample_customers: 99}", "model.sample_customers: "),
        ("model: {publish_every_seconds: 0}", "model.publish_every_seconds: "),
        ("model: {min_new_share: -0.1}", "model.min_new_share: "),
        ("model: {segments: 3}", "model.segments: "),
        ("model: 6", "model: "),
        ("colour: red", "colour: "),
    ],
)
def test_a_wrong_line_is_refused_in_one_line_that_names_the_place(
    line: str, place: str, path: Path
) -> None:
    assert f"{path}: {place}" in refusal(path, VALID + line)


@pytest.mark.parametrize(
    "features", ["", "features:", "features: {}", "features: [orders]", "features: {orders: }"]
)
def test_without_a_feature_there_is_nothing_to_group_by(features: str, path: Path) -> None:
    assert "features" in refusal(path, f"name: default\n{features}")


@pytest.mark.parametrize("name", ["Orders", "two words", "1st", "o" * 49, "1", ""])
def test_a_feature_has_a_plain_name(name: str, path: Path) -> None:
    content = yaml.safe_dump({"features": {name: {"kind": "count"}}})
    assert f"features.{name}.[key]: " in refusal(path, content)


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "a: b: c",
        "\tname: x",
        VALID + "x: !!python/name:os.system",
        b"\xff\xfe",
        VALID + "name: 2017-02-30",
        VALID + "x: !!int a",
        "[" * 3_000,
        VALID + "rates: {USD: 1, USD: 2}",
        VALID + VALID,
    ],
)
def test_what_is_no_yaml_is_refused(content: str | bytes, path: Path) -> None:
    assert "is not readable YAML: " in refusal(path, content)


def test_an_empty_file_is_told_what_to_start_from(path: Path) -> None:
    for nothing in ("", "# only words\n", "---\n"):
        assert "is empty: copy the default segmentation.yaml" in refusal(path, nothing)


def test_a_file_that_is_missing_is_named(path: Path) -> None:
    for missing in (path, path.parent):
        with pytest.raises(SettingsError, match=str(missing)):
            load_segmentation(missing)


def test_all_that_is_wrong_is_named_at_once(path: Path) -> None:
    message = refusal(path, "name: '?'\nfeatures: {orders: {kind: sum}, views: {kind: nope}}")
    assert all(place in message for place in ("name: ", "features.orders: ", "features.views.kind"))
    assert message.endswith("Correct the file, then run `shoal check`")
