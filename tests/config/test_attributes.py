"""Local times, attributes and several segmentations, as they reach the core."""

from pathlib import Path

import pytest

from models.features import Kind, Selector
from tests.config.test_segmentation import VALID, feature, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segmentation.yaml"


def test_local_times_reach_the_core_as_they_were_written(path: Path) -> None:
    config = load(
        path, feature("kind: count, hours: [22, 6], days: [sun, sat]") + "timezone: Asia/Tokyo"
    )
    schema = config.profile_schema()
    assert schema.timezone == "Asia/Tokyo"
    assert schema.features[0].selector == Selector(hours=(22, 6), days=(5, 6))


def test_attributes_stand_behind_the_features_a_coordinate_for_each_value(path: Path) -> None:
    schema = load(
        path,
        VALID
        + """
attributes:
  age: {kind: number}
  kids: {values: [0, 1, 2+], weight: 0.25}
  country: {trait: address.country, buckets: 2}
  income: {values: [low, high], ordered: true, high: rich}
""",
    ).profile_schema()
    assert [(f.name, f.kind, f.group, f.weight) for f in schema.features[1:]] == [
        ("age", Kind.NUMBER, "", 0.5),
        ("kids=0", Kind.CATEGORY, "kids", 0.25),
        ("kids=1", Kind.CATEGORY, "kids", 0.25),
        ("kids=2+", Kind.CATEGORY, "kids", 0.25),
        ("country=group 1", Kind.BUCKET, "country", 0.5),
        ("country=group 2", Kind.BUCKET, "country", 0.5),
        ("income", Kind.RANK, "", 0.5),
    ]
    assert [a.name for a in schema.attributes] == [
        *("age:number", "kids:text", "address.country:text", "income:text")
    ]
    assert [(f.high, f.low) for f in (schema.features[2], schema.features[7])] == [
        ("kids 0", "not kids 0"),
        ("rich", "low income"),
    ]


def test_a_segmentation_weighs_all_values_of_an_attribute_by_its_name(path: Path) -> None:
    config = load(
        path,
        VALID
        + """
attributes: {kids: {values: [0, 1]}, age: {kind: number}}
segmentations:
  all: {}
  some: {features: {kids: 3, orders: 2}, model: {k: 4}}
""",
    )
    everything, some = config.groupings(config.profile_schema())
    assert everything.names == ("orders", "kids=0", "kids=1", "age")
    assert [(f.name, f.weight) for f in some.features] == [
        ("orders", 2),
        ("kids=0", 1.5),
        ("kids=1", 1.5),
    ]
    assert (config.training("all").k, config.training("some").k) == (6, 4)
