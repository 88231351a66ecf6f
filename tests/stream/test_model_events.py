"""The event of a published model."""

import json
from dataclasses import replace

import jsonschema
import pytest

from models.lineage import REASONS, Granularity, Lineage, Reason
from models.snapshots import Snapshot
from stream.model_events import model_event, model_event_bytes, model_schema
from tests.models.test_snapshots import model

SOURCE = "/shop/trainer"
LINEAGE = Lineage(
    previous=3, born=(1, 5), died=((2, 1), (4, 0)), splits=((2, (1, 5)),), merges=((5, (2, 4)),)
)
CHOICE = Granularity(3, ((2, 0.4), (3, 0.5)), "3 segments, silhouette 0.50")
FULL = replace(model(), lineage=LINEAGE, granularity=CHOICE, reason="granularity")


def test_the_event_says_what_is_in_force_and_what_became_of_the_segments_before() -> None:
    told = json.loads(model_event_bytes(FULL, SOURCE))
    data = told.pop("data")
    assert told.pop("id")
    assert told == {
        "specversion": "1.0",
        "source": SOURCE,
        "type": "shoal.model.published.v1",
        "subject": "default",
        "time": "2023-11-14T22:13:20Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:shoal:schema:model-published:1",
    }
    assert data == {
        "segmentation": "default",
        "version": 4,
        "previous": 3,
        "restored": None,
        "reason": "granularity",
        "customers": 321,
        "k": 3,
        "granularity": {
            "reason": "3 segments, silhouette 0.50",
            "scores": [{"k": 2, "score": 0.4}, {"k": 3, "score": 0.5}],
        },
        "segments": [
            {"id": "s1", "name": "Name 0", "share": 1 / 3, "born": True},
            {"id": "s3", "name": "Name 1", "share": 1 / 3, "born": False},
            {"id": "s5", "name": "Name 2", "share": 1 / 3, "born": True},
        ],
        "births": ["s1", "s5"],
        "deaths": [{"id": "s2", "successor": "s1"}, {"id": "s4", "successor": None}],
        "splits": [{"id": "s2", "into": ["s1", "s5"]}],
        "merges": [{"id": "s5", "of": ["s2", "s4"]}],
    }


def test_a_model_has_one_event_however_often_it_is_told() -> None:
    stored = Snapshot.from_json(FULL.to_json())
    assert model_event_bytes(stored, SOURCE) == model_event_bytes(FULL, SOURCE)


def test_models_have_ids_of_their_own() -> None:
    others = (
        replace(FULL, version=5),
        replace(FULL, segmentation="value"),
        replace(FULL, created_ms=FULL.created_ms + 1),
    )
    assert len({model_event(made, SOURCE).id for made in (FULL, *others)}) == 4


@pytest.mark.parametrize("reason", REASONS)
def test_an_event_of_every_reason_fits_the_schema(reason: Reason) -> None:
    schema = model_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for snapshot in (model(), replace(FULL, reason=reason)):
        jsonschema.validate(json.loads(model_event_bytes(snapshot, SOURCE)), schema)
