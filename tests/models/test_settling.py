"""What is carried over, what is held and what takes over."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models import settling
from models.columns import Floats
from models.lineage import Granularity
from models.lloyd import inertia, lloyd
from models.settling import Settled, Settler
from models.training import TrainingConfig

CONFIG = TrainingConfig(k=4)
NAMES = ("a", "b")
NOTHING = np.empty((0, 2))
CORNERS = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
TRAPPED = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 20.0], [20.0, 10.0]])
"""Two centroids in one corner, one between two corners: Lloyd's steps do not lead out of it."""


def corners(n: int = 500, seed: int = 0) -> Floats:
    draws = np.random.default_rng(seed)
    places = CORNERS[draws.integers(0, 4, n)]
    return np.asarray(places + draws.normal(0, 1, (n, 2)))


def settle(
    settler: Settler,
    points: Floats,
    carried: Floats,
    held: Floats | None = None,
    *,
    seed: int = 0,
    redrawn: float = 0.0,
) -> Settled:
    return settler.settle(points, carried, held, np.random.default_rng(seed), redrawn=redrawn)


def test_the_first_clusters_are_those_that_are_there() -> None:
    settled = settle(Settler(CONFIG, NAMES), corners(), NOTHING)
    found = settled.centroids[np.lexsort(settled.centroids.round().T)]
    assert np.abs(found - CORNERS).max() < 0.5
    assert not settled.held
    assert settled.granularity is None


def test_centroids_that_fit_about_as_well_stay_exactly() -> None:
    before = settle(Settler(CONFIG, NAMES), corners(), NOTHING).centroids
    settled = settle(Settler(CONFIG, NAMES), corners(seed=1), before, before, redrawn=1.0)
    assert settled.held
    assert_array_equal(settled.centroids, before)
    assert_array_equal(settled.clusterer.centroids, before)


def test_centroids_that_do_not_fit_any_more_move() -> None:
    before = settle(Settler(CONFIG, NAMES), corners(), NOTHING).centroids
    points = corners() + np.array([1.0, 0.0])
    settled = settle(Settler(CONFIG, NAMES), points, before, before)
    assert not settled.held
    assert np.abs(settled.centroids - before - np.array([1.0, 0.0])).max() < 1e-9


def test_a_centroid_that_lost_its_members_is_not_held() -> None:
    held = np.vstack([CORNERS, [[300.0, 300.0]]])
    settled = settle(Settler(replace(CONFIG, k=5), NAMES), corners(), CORNERS, held)
    assert not settled.held
    assert len(settled.centroids) == 5
    assert np.abs(settled.centroids).max() < 30


def test_what_does_far_better_takes_over_at_once() -> None:
    settler = Settler(CONFIG, NAMES)
    settled = settle(settler, corners(), TRAPPED)
    assert inertia(corners(), settled.centroids) < 2.2 * 500
    assert not settler.is_challenged


def test_what_does_a_little_better_takes_over_when_it_lasts() -> None:
    points = corners()
    gain = 1 - inertia(points, CORNERS) / inertia(points, lloyd(points, TRAPPED, 50))
    settler = Settler(replace(CONFIG, challenger_gain=gain * 0.8), NAMES)
    stays = [settle(settler, points, TRAPPED, seed=seed) for seed in range(2)]
    assert [inertia(points, s.centroids) < 1200 for s in stays] == [False, False]
    assert settler.is_challenged
    assert inertia(points, settle(settler, points, TRAPPED, seed=3).centroids) < 1200
    assert not settler.is_challenged


def test_a_lead_that_was_interrupted_begins_anew() -> None:
    points = corners()
    gain = 1 - inertia(points, CORNERS) / inertia(points, lloyd(points, TRAPPED, 50))
    settler = Settler(replace(CONFIG, challenger_gain=gain * 0.8), NAMES)
    for _ in range(4):
        settle(settler, points, TRAPPED)
        settle(settler, points, TRAPPED)
        assert settler.is_challenged
        settle(settler, points, CORNERS)
        assert not settler.is_challenged


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ([5, 5, 5], [4, 4, 5]),
        ([5, 6, 6], [4, 4, 6]),
        ([5, 3, 5, 5], [4, 4, 4, 4]),
        ([5, 5, 4, 5], [4, 4, 4, 4]),
        ([3, 3, 3], [4, 4, 3]),
    ],
    ids=["lasting", "more and more", "more, then fewer", "interrupted", "fewer"],
)
def test_another_number_of_segments_has_to_last(
    said: list[int], taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(said)

    def choose(
        points: Floats, *, k_min: int, k_max: int, rng: object, current: int | None
    ) -> Granularity:
        assert (len(points), k_min, k_max, current) == (500, 3, 6, 4)
        assert isinstance(rng, np.random.Generator)
        k = next(answers)
        return Granularity(k, ((4, 0.1), (k, 0.2)), f"{k} are best")

    monkeypatch.setattr(settling, "choose", choose)
    settler = Settler(replace(CONFIG, k="auto", k_max=6), NAMES)
    settled = [settle(settler, corners(), CORNERS) for _ in said]
    assert [s.granularity.k for s in settled if s.granularity] == taken
    assert [len(s.centroids) for s in settled] == taken
    first = settled[0].granularity
    assert first is not None
    assert first.scores == ((4, 0.1), (said[0], 0.2))
    assert first.reason == (
        f"4 stay until others do better 3 times running, now 1: {said[0]} are best"
    )


def test_no_more_clusters_come_than_there_are_points() -> None:
    points = np.repeat(CORNERS[:3], 50, axis=0)
    settler = Settler(replace(CONFIG, k=9), NAMES)
    first = settle(settler, points, NOTHING)
    assert len(first.centroids) == 3
    assert len(settle(settler, points, first.centroids, first.centroids).centroids) == 3
    alone = settle(settler, points[:1], NOTHING)
    assert_array_equal(alone.centroids, points[:1])
