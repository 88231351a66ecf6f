"""Segments follow when the customers' groups change, and stay themselves elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from models.assignment import assign
from models.columns import Floats, Ints
from models.identifiers import CustomerId
from models.scaling import Scaler
from models.snapshots import Snapshot
from models.trainer import Trainer
from models.training import TrainingConfig
from tests.models.crowds import NOW_MS, SEGMENTATION, TOLD, Crowd, customers, profiles

N = 8_000
BATCH = 100
WITHIN = 5_000


class Changing:
    """A shop of customers who act in turn, each as the persona that `truth` names."""

    def __init__(self, crowd: Crowd, truth: Ints, k: int, seed: int = 0) -> None:
        self.crowd, self.truth = crowd, truth
        self.names = customers(range(len(truth)))
        self.draws = np.random.default_rng(seed)
        self.trainer = Trainer(SEGMENTATION, TrainingConfig(k=k, refresh_days=1e9), seed)
        self.vectors = crowd.vectors(truth, seed)
        self.trainer.observe(self.names, profiles(self.vectors), NOW_MS)
        self.reasons: list[str] = []
        self.publish("first")
        self.act(2_000)
        self.reasons = []

    def publish(self, reason: str | None) -> None:
        if reason:
            self.snapshot = self.trainer.train(NOW_MS, 0, 1)
            self.reasons.append(reason)

    def act(self, updates: int, among: Ints | None = None) -> None:
        """Let so many customers act, one of `among` after the other, and models be published."""
        everyone = np.arange(len(self.truth)) if among is None else among
        acting = np.resize(self.draws.permutation(everyone), updates)
        for at in range(0, updates, BATCH):
            now = acting[at : at + BATCH]
            self.vectors[now] = self.crowd.vectors(self.truth[now], int(self.draws.integers(2**31)))
            self.trainer.observe(
                [self.names[i] for i in now.tolist()], profiles(self.vectors[now]), NOW_MS
            )
            self.publish(self.trainer.due(NOW_MS))

    def homes(self) -> dict[int, int]:
        """The segment that most customers of each persona are in, and how it was found."""
        found = numbers(self.snapshot, self.vectors)
        return {
            persona: int(np.bincount(found[self.truth == persona]).argmax())
            for persona in np.unique(self.truth).tolist()
        }


def numbers(snapshot: Snapshot, vectors: Floats) -> Ints:
    nobody = np.zeros(len(vectors), dtype=np.uint32)
    return assign(snapshot, vectors, nobody).segment.astype(np.int64)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd.of(6, apart=5.0)


def test_each_persona_has_a_segment_of_its_own(crowd: Crowd) -> None:
    shop = Changing(crowd, crowd.draw(N)[0], k=6)
    assert len(set(shop.homes().values())) == 6


def test_nothing_changes_while_customers_act_as_before(crowd: Crowd) -> None:
    shop = Changing(crowd, crowd.draw(N)[0], k=6)
    before, first = shop.homes(), shop.snapshot
    shop.act(WITHIN)
    assert shop.homes() == before
    assert shop.snapshot.next_number == first.next_number
    assert len(shop.reasons) <= 1


def test_a_persona_that_drifts_takes_its_segment_along(crowd: Crowd) -> None:
    shop = Changing(crowd, crowd.draw(N)[0], k=6)
    shop.act(10_000)
    before, shop.reasons = shop.homes(), []
    means = crowd.means.copy()
    means[2] = means[2] * 0.4
    shop.crowd = replace(crowd, means=means)
    shop.act(WITHIN)
    assert "drift" in shop.reasons
    assert set(shop.reasons) <= {"drift", "granularity"}
    assert shop.homes() == before


def test_a_persona_whose_customers_leave_gives_its_place_to_a_new_one(crowd: Crowd) -> None:
    born, dead = 5, 4
    shop = Changing(crowd, crowd.without(born).draw(N)[0], k=5)
    before = shop.homes()
    goers = np.flatnonzero(shop.truth == dead)
    shop.trainer.forget([shop.names[i] for i in goers.tolist()])
    for i in goers.tolist():
        shop.names[i] = CustomerId(f"new{i}")
    shop.truth[goers] = born
    shop.vectors[goers] = crowd.vectors(shop.truth[goers], 9)
    shop.trainer.observe([shop.names[i] for i in goers], profiles(shop.vectors[goers]), NOW_MS)
    shop.act(WITHIN)
    after = shop.homes()
    assert len(set(after.values())) == 5
    assert {p: after[p] for p in range(dead)} == {p: before[p] for p in range(dead)}


def test_a_persona_that_is_born_gets_a_segment_where_two_are_hardly_told_apart() -> None:
    crowd, born = Crowd.of(5, apart=5.0), 4
    means = crowd.means.copy()
    means[3] = means[2] + 1.5 * np.eye(TOLD)[1]
    crowd = replace(crowd, means=means)
    shop = Changing(crowd, crowd.without(born).draw(N)[0], k=4)
    before = shop.homes()
    comers = np.flatnonzero(np.isin(shop.truth, (0, 1)))[:800]
    shop.truth[comers] = born
    shop.act(WITHIN, comers)
    after = shop.homes()
    assert list(after.values()).count(after[born]) == 1
    assert (after[0], after[1]) == (before[0], before[1])
    assert after[2] == after[3]


@pytest.mark.parametrize("n", [1, 2, 200])
def test_a_model_comes_of_whatever_customers_there_are(n: int) -> None:
    vectors = np.zeros((n, SEGMENTATION.schema.dtype["sums"].shape[0]))
    vectors[0] = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0, 1, 1e-300, 7, 7]
    trainer = Trainer(SEGMENTATION, TrainingConfig(k=6, min_customers=1))
    trainer.observe(customers(range(n)), profiles(vectors))
    with np.errstate(all="ignore"):
        first = trainer.train(NOW_MS, 0, 1)
        trainer.observe(customers(range(n)), profiles(vectors[::-1]))
        second = trainer.train(NOW_MS, 0, 1)
    for snapshot in (first, second):
        assert 1 <= len(snapshot.segments) <= min(n, 6)
        assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_one_absurd_customer_in_a_hundred_changes_no_segment(crowd: Crowd) -> None:
    truth, vectors = crowd.draw(N)
    shop = Changing(crowd, truth, k=6)
    before = numbers(shop.snapshot, vectors)
    absurd = np.arange(0, N, 101)
    vectors = vectors.copy()
    vectors[absurd, :TOLD] = 1e12
    shop.trainer.observe([shop.names[i] for i in absurd], profiles(vectors[absurd]), NOW_MS)
    shop.publish("time")
    sane = np.setdiff1d(np.arange(N), absurd)
    assert (numbers(shop.snapshot, vectors)[sane] == before[sane]).mean() > 0.99
    assert isinstance(shop.snapshot.scaler, Scaler)
