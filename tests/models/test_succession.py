"""The segments of a new model, as heirs of the model before."""

from dataclasses import replace

import numpy as np

from models.features import Feature, Kind
from models.identity import match
from models.snapshots import Retirement, Segment, Trait
from models.succession import RETIREMENTS_KEPT, describe, retire
from tests.models.test_snapshots import model

FEATURES = (
    Feature("f0", Kind.COUNT, high="many", low="few"),
    Feature("f1", Kind.COUNT, high="much", low="little"),
)
POINTS = np.array([[-1.0, 0], [-1, 0], [-1, 0], [3, 0]])
LABELS = np.array([0, 0, 0, 1])


def test_an_heir_keeps_name_and_birth_and_a_newcomer_gets_its_own() -> None:
    before = replace(
        model(k=1),
        segments=(Segment(1, "My few", 0.5, 2, Trait("f0", high=False, strength=2.0)),),
        centroids=np.zeros((1, 2)),
    )
    matching = match(np.array([1, 1, 1, 0]), LABELS, [1], k=2, next_number=3)
    heir, newcomer = describe(FEATURES, POINTS, LABELS, matching, before=before, version=5)
    assert (heir.number, heir.name, heir.born_version, heir.share) == (1, "My few", 2, 0.75)
    assert (newcomer.number, newcomer.name, newcomer.born_version) == (3, "Many", 5)
    assert newcomer.traits == (Trait("f0", high=True, strength=3.0),)


def test_the_successor_of_a_segment_without_members_is_the_one_nearest_to_it() -> None:
    before = model(k=2)
    matching = match(np.zeros(4, dtype=np.int64), LABELS, [1, 3], k=2, next_number=5)
    centroids = before.centroids[::-1]
    retired = retire(matching, centroids, before.scaler, before=before, version=5)
    assert retired == (*before.retired, Retirement(1, 6, 5), Retirement(3, 5, 5))


def test_only_the_last_retirements_are_kept() -> None:
    many = tuple(Retirement(2, 1, i) for i in range(RETIREMENTS_KEPT))
    before = replace(model(k=2), retired=many)
    matching = match(
        np.array([1, 1, 1, 3]), np.zeros(4, dtype=np.int64), [1, 3], k=1, next_number=5
    )
    retired = retire(matching, before.centroids[:1], before.scaler, before=before, version=5)
    assert retired == (*many[1:], Retirement(3, 1, 5))


def test_the_first_model_retires_nobody() -> None:
    matching = match(np.zeros(4, dtype=np.int64), LABELS, [], k=2, next_number=1)
    assert retire(matching, POINTS[:2], model().scaler, before=None, version=1) == ()
