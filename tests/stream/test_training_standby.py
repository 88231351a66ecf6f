"""A trainer that Kafka has not chosen."""

import pytest
from faust.types import TP

from tests.stream.training_kit import TrainingKit


@pytest.fixture
def kit() -> TrainingKit:
    return TrainingKit()


async def test_who_does_not_get_it_stands_by_and_publishes_nothing(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.assign([TP("shoal.events", 0)])
    assert kit.training.is_ready
    await kit.training.work()
    assert kit.shelf.blobs == {}
    assert "customers" not in kit.shelf.training


async def test_a_stand_by_that_is_revoked_is_not_ready_until_it_is_assigned_again(
    kit: TrainingKit,
) -> None:
    await kit.training.assign([])
    assert kit.training.is_ready
    await kit.training.quiesce()
    assert not kit.training.is_ready
    await kit.assign()
    assert kit.shelf.epoch == 1
