"""Segments stay what they are, and customers where they are, when nothing happens but models."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.assignment import assign
from models.columns import Floats, Ints
from models.snapshots import Snapshot
from models.trainer import Trainer
from models.training import TrainingConfig
from tests.models.crowds import NOW_MS, SEGMENTATION, Crowd, customers, profiles

PUBLICATIONS = 50
CONFIG = TrainingConfig(k=6)


@cache
def everybody() -> Floats:
    """The vectors of 20 000 customers of six personas."""
    return Crowd.of(6).draw(20_000)[1]


class Still:
    """A trainer for customers who do nothing, whose sample is drawn again before each model.

    `moved` tells who ever changed segment, by the rule that workers go by; `ids` are all that
    were in force.
    """

    def __init__(self, vectors: Floats, config: TrainingConfig, seed: int = 1) -> None:
        self.vectors = vectors
        self.rows = profiles(vectors)
        self.names = customers(range(len(vectors)))
        self.draws = np.random.default_rng(seed)
        self.moved = np.zeros(len(vectors), dtype=np.bool_)
        self.segment = np.zeros(len(vectors), dtype=np.uint32)
        self.ids: set[int] = set()
        self.trainer = Trainer(SEGMENTATION, config, seed)

    def sample(self, chosen: Ints) -> None:
        """Let these customers, by index, be the sample."""
        names = [self.names[i] for i in chosen.tolist()]
        self.trainer.forget(list(set(self.trainer.population.customers) - set(names)))
        self.trainer.observe(names, self.rows[chosen], NOW_MS)

    def publish(self, n: int) -> Snapshot:
        """The next model, of `n` customers drawn at random."""
        self.sample(np.sort(self.draws.choice(len(self.rows), n, replace=False)))
        snapshot = self.trainer.train(NOW_MS, 0, 1)
        segment = assign(snapshot, self.vectors, self.segment).segment
        self.moved |= (segment != self.segment) & (self.segment > 0)
        self.segment = segment
        self.ids |= set(snapshot.numbers.tolist())
        return snapshot


@pytest.mark.parametrize("k", [6, 9], ids=["as many as there are", "too many"])
def test_fifty_models_of_a_sample_drawn_anew_change_no_id_and_hardly_a_customer(k: int) -> None:
    still = Still(everybody(), replace(CONFIG, k=k))
    for _ in range(PUBLICATIONS + 1):
        snapshot = still.publish(10_000)
    assert snapshot.version == PUBLICATIONS + 1
    assert len(still.ids) == k
    assert still.moved.mean() <= 0.005


def test_a_restart_another_seed_and_another_leader_change_nothing() -> None:
    still = Still(everybody(), CONFIG)
    snapshot = still.publish(10_000)
    for number in range(10):
        still.trainer = Trainer(SEGMENTATION, CONFIG, seed=100 + number)
        still.trainer.resume(Snapshot.from_json(snapshot.to_json()))
        snapshot = still.publish(10_000)
    assert len(still.ids) == 6
    assert still.moved.mean() <= 0.005
    assert {s.name for s in snapshot.segments} == {s.name for s in still.publish(10_000).segments}


def test_small_samples_are_no_reason_to_move_either() -> None:
    still = Still(everybody()[:4_000], CONFIG)
    for _ in range(PUBLICATIONS + 1):
        still.publish(1_000)
    assert len(still.ids) == 6
    assert still.moved.mean() <= 0.005


def test_a_young_sample_grows_up_with_its_ids() -> None:
    new_ids = []
    for seed in range(6):
        still = Still(Crowd.of(5, seed=seed).draw(20_000, seed)[1], replace(CONFIG, k=5))
        size = 200
        while size < 20_000:
            still.sample(np.arange(size))
            assert still.trainer.due(NOW_MS) in {"first", "growth"}
            still.ids |= set(still.trainer.train(NOW_MS, 0, 1).numbers.tolist())
            assert still.trainer.due(NOW_MS) is None
            size = int(size * 1.5) + 1
        new_ids.append(len(still.ids) - 5)
    # Two hundred customers may have been cut across two personas: then nobody's members stay.
    assert max(new_ids) <= 1
    assert sum(new_ids) <= 1


def test_customers_who_act_as_before_are_no_reason_for_a_model() -> None:
    crowd = Crowd.of(6)
    truth, vectors = crowd.draw(5_000)
    still = Still(vectors, CONFIG)
    still.publish(5_000)
    reasons = []
    for step in range(100):
        acting = still.draws.choice(5_000, 200, replace=False)
        rows = profiles(crowd.vectors(truth[acting], step))
        still.trainer.observe([still.names[i] for i in acting.tolist()], rows, NOW_MS)
        reasons.append(still.trainer.due(NOW_MS))
        if reasons[-1]:
            still.trainer.train(NOW_MS, 0, 1)
    assert sum(reason is not None for reason in reasons) <= 2
