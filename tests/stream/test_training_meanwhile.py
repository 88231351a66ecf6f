"""What goes on while a thread trains a model."""

import asyncio
import threading
from typing import Any

import pytest

from models.snapshots import Snapshot
from models.trainer import Trainer
from tests.stream.lane_kit import until
from tests.stream.training_kit import TrainingKit, named


class Slow:
    """A training that lasts until it is released."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.released = threading.Event()
        self.customers: set[int] = set()

    def last(self, trainer: Trainer) -> None:
        self.customers.add(trainer.customers)
        self.began.set()
        assert self.released.wait(10)
        self.customers.add(trainer.customers)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made, train = Slow(), Trainer.train

    def train_slowly(trainer: Trainer, **moment: Any) -> Snapshot:
        made.last(trainer)
        return train(trainer, **moment)

    monkeypatch.setattr(Trainer, "train", train_slowly)
    return made


@pytest.fixture
async def kit() -> TrainingKit:
    made = TrainingKit()
    await made.assign()
    await made.send(range(20))
    return made


async def test_the_loop_turns_and_what_is_read_is_learned_afterwards(
    kit: TrainingKit, slow: Slow
) -> None:
    working = asyncio.create_task(kit.training.work())
    await until(slow.began.is_set)
    learning = asyncio.create_task(kit.send(range(20, 25)))
    await asyncio.wait([working, learning], timeout=0.05)
    assert not working.done()
    assert not learning.done()
    slow.released.set()
    await asyncio.gather(working, learning)
    assert slow.customers == {20}
    assert kit.published.customers == 20
    assert kit.customers == named(*range(25))


async def test_a_model_of_a_trainer_that_is_revoked_meanwhile_is_not_published(
    kit: TrainingKit, slow: Slow
) -> None:
    working = asyncio.create_task(kit.training.work())
    await until(slow.began.is_set)
    await kit.assign()
    slow.released.set()
    await working
    assert kit.shelf.blobs == {}
    await kit.send(range(15))
    await kit.training.work()
    assert (kit.published.customers, kit.published.epoch) == (15, 2)
