"""A trainer whose servers fail it."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream import training
from tests.stream.lane_kit import until
from tests.stream.training_kit import OLDER, TrainingKit, name, named


@pytest.fixture
def kit() -> TrainingKit:
    return TrainingKit()


async def test_a_model_that_could_not_be_published_is_published_later(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send(range(20))
    kit.catalogue.fails = TimeoutError()
    await kit.training.work()
    kit.catalogue.fails = None
    await kit.training.work()
    assert kit.shelf.version == 1


async def test_a_redis_that_is_away_while_layouts_are_read_costs_no_batch(
    kit: TrainingKit,
) -> None:
    kit.catalogue.layouts = {OLDER.id: OLDER.layout}
    await kit.assign()
    kit.catalogue.fails = RedisConnectionError("gone")
    calls = kit.catalogue.calls
    telling = asyncio.create_task(kit.tell([(name(1), kit.profiles([1], OLDER)[0])]))
    await until(lambda: kit.catalogue.calls > calls)
    kit.catalogue.fails = None
    await telling
    assert kit.customers == named(1)


async def test_a_trainer_that_was_refused_claims_again_while_it_is_assigned(
    kit: TrainingKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STALE_REST_SECONDS", 0.01)
    await kit.assign()
    await kit.send(range(20))
    kit.shelf.training["epoch"] += 1
    await kit.training.work()
    assert not kit.training.is_ready
    await until(lambda: kit.training.is_ready)
    assert kit.shelf.epoch == 3
