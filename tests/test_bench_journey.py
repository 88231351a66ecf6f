"""The comparison with an offline analyst and with other clusterers, on small data."""

from itertools import islice

import numpy as np
import pytest

from bench.quality.contenders import PartialFit, SparkRule, contenders
from bench.quality.journey import compared, replayed, taught
from config.segmentation import load_segmentation
from config.settings import DEFAULT_SEGMENTATION, Settings
from models.columns import Floats
from models.lloyd import inertia
from models.profiles import DAY_MS
from stream.rehearsal import Rehearsal
from stream.simulate import START_MS
from stream.sources import open_source

CORNERS = np.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])


def corners(n: int, seed: int = 0) -> Floats:
    """Points around three corners, in random order."""
    random = np.random.default_rng(seed)
    points: Floats = CORNERS[random.integers(0, 3, n)] + random.normal(size=(n, 3))
    return points


def test_sparks_rule_is_a_mean_that_forgets() -> None:
    rule = SparkRule(1, seed=0)
    rule.learn(np.array([[0.0], [2.0]]))
    assert rule.centres().tolist() == [[1.0]]
    for _ in range(10):
        rule.learn(np.array([[5.0]]))
    weights = 0.5 ** (np.arange(9, -1, -1) / 10)
    expected = (1.0 * 2 * 0.5 + 5.0 * weights.sum()) / (2 * 0.5 + weights.sum())
    assert rule.centres()[0, 0] == pytest.approx(expected)


def test_sparks_rule_takes_a_dying_cluster_to_the_heaviest() -> None:
    rule = SparkRule(2, seed=0)
    rule.learn(np.array([[0.0], [0.1], [50.0]]))
    for _ in range(300):
        rule.learn(np.array([[0.0], [0.1]]))
    assert np.abs(rule.centres()).max() < 1


@pytest.mark.parametrize("made", [SparkRule(3, 1), PartialFit(3, 1)])
def test_contenders_by_batches_find_plain_clusters(made: SparkRule | PartialFit) -> None:
    found = taught(made, corners(1_000))
    assert inertia(corners(500, 1), found) < 1.2 * inertia(corners(500, 1), CORNERS)


def test_every_contender_has_centres_and_goes_on_learning() -> None:
    for name, contender in contenders(3, 3, radius=2.0, seed=1).items():
        first = taught(contender, corners(1_500))
        assert first.shape[1] == 3, name
        assert np.isfinite(first).all(), name
        again = taught(contender, corners(1_500, 1) + 5.0)
        assert not np.array_equal(first, again), name


def test_asking_for_centres_changes_nothing() -> None:
    one, other = (contenders(3, 3, radius=2.0, seed=1) for _ in range(2))
    for name in one:
        for start in range(0, 1_500, 250):
            part = corners(250, start)
            one[name].learn(part)
            one[name].centres()
            other[name].learn(part)
        assert np.array_equal(one[name].centres(), other[name].centres()), name


def test_a_replay_is_compared_at_each_mark() -> None:
    rehearsal = Rehearsal(Settings(), load_segmentation(DEFAULT_SEGMENTATION))
    events = islice(open_source("simulator", customers=800), 12_000)
    marks = [START_MS + day * DAY_MS for day in (4, 5)]
    stretches = list(replayed(rehearsal, events, START_MS, marks))
    assert len(stretches) == 2
    for stretch in stretches:
        assert stretch.shown.shape[1] == stretch.everybody.shape[1] == 18
        assert 200 < len(stretch.everybody) < 800
    journey = compared(stretches, seed=7)
    assert len(journey.inertia) == len(journey.silhouette) == 2
    assert all(0.95 < ratio < 1.2 for ratio in journey.inertia)
    assert all(len(ratios) == 2 for ratios in journey.river.values())
    assert journey.river.keys() == journey.clusters.keys() == contenders(2, 2, 1.0, 0).keys()
    assert all(ratio > 0.9 for ratios in journey.river.values() for ratio in ratios)
