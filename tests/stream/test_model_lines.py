"""Models of several segmentations: published, told, brought back, held and released."""

import asyncio
import json
import threading
from typing import Any

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber
from prometheus_client import REGISTRY

from config.segmentation import GroupingConfig, SegmentationConfig
from models.labels import Label, LabelBook
from models.profiles import DAY_MS
from models.snapshots import Snapshot
from models.trainer import Trainer
from stream import training
from stream.model_events import model_event_bytes
from tests.stream.lane_kit import until
from tests.stream.training_kit import CONFIG, TrainingKit

SOURCE = "/shoal/trainer"
SEVERAL = CONFIG.model_copy(
    update={
        "segmentations": {
            "value": GroupingConfig(features={"orders": 1.0}),
            "age": GroupingConfig(features={"tenure": 1.0}, model={"k": 3, "min_customers": 30}),
        }
    }
)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 1_000_000, 1_000))
    monkeypatch.setattr("stream.model_line.monotonic", lambda: next(ticks))


async def trained(config: SegmentationConfig = CONFIG, name: str = "default") -> TrainingKit:
    """A trainer that has published models 1 and 2."""
    kit = TrainingKit(config=config, name=name)
    await kit.assign()
    await kit.send(range(40))
    await a_day_passes(kit)
    await a_day_passes(kit)
    assert kit.shelf.version == 2
    return kit


async def a_day_passes(kit: TrainingKit) -> None:
    """Enough for a new model."""
    kit.wall_ms += DAY_MS
    await kit.training.work()


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_each_segmentation_has_models_of_its_own_from_the_same_profiles() -> None:
    kit = TrainingKit(config=SEVERAL, name="value")
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    value, age = kit.catalogue.shelves["value"], kit.catalogue.shelves["age"]
    assert (value.version, age.version) == (1, 0)
    assert age.training["customers"] == value.training["customers"] == 20
    await kit.send(range(20, 40))
    await kit.training.work()
    assert (value.published.feature_names, age.published.feature_names) == (
        ("orders",),
        ("tenure",),
    )
    assert (value.epoch, age.epoch) == (1, 1)
    assert {event["subject"] for event in kit.events} == {"value", "age"}


async def test_a_model_is_told_once_it_is_in_force_and_never_twice_by_one_trainer() -> None:
    kit = await trained()
    await kit.training.work()
    told = [(key, value) for _, key, value, _ in kit.producer.sent]
    models = [Snapshot.from_json(blob) for blob in kit.shelf.blobs.values()]
    assert told == [(b"default", model_event_bytes(model, SOURCE)) for model in models]
    assert kit.shelf.training["announced"] == 2


async def test_a_successor_tells_again_what_nobody_has_said_was_told() -> None:
    kit = await trained()
    kit.shelf.training["announced"] = 1
    await kit.assign()
    await kit.training.work()
    assert kit.producer.values[1] == kit.producer.values[2]
    assert len(kit.events) == 3
    await kit.assign()
    await kit.training.work()
    assert len(kit.events) == 3


async def test_of_models_from_before_there_were_events_the_last_is_told() -> None:
    kit = await trained()
    del kit.shelf.training["announced"]
    kit.producer.sent.clear()
    await kit.assign()
    await kit.training.work()
    assert [event["data"]["version"] for event in kit.events] == [2]


async def test_a_model_that_could_not_be_told_is_told_before_the_next() -> None:
    kit = await trained()
    kit.shelf.training["announced"] = 0
    kit.producer.sent.clear()
    await kit.assign()
    await kit.send(range(40))
    await a_day_passes(kit)
    assert [event["data"]["version"] for event in kit.events] == [1, 2, 3]


async def test_a_producer_that_is_broken_ends_the_process() -> None:
    kit = await trained()
    kit.producer.outcomes = iter([OutOfOrderSequenceNumber()])
    await a_day_passes(kit)
    assert "restart this process" in str(kit.crashes[0])
    assert not kit.training.is_ready


async def test_after_a_rollback_the_trainer_learns_but_publishes_nothing_until_released() -> None:
    kit = await trained()
    before = Snapshot.from_json(kit.shelf.blobs[1])
    await kit.roll_back(1)
    await kit.send(range(40, 60))
    await a_day_passes(kit)
    assert kit.training.is_ready
    assert (kit.shelf.version, kit.shelf.training["customers"]) == (3, 60)
    assert kit.published.segments == before.segments
    assert kit.events[-1]["data"]["reason"] == "rollback"
    assert kit.events[-1]["data"]["restored"] == 1
    assert metric("shoal_models_held", segmentation="default") == 1
    await a_day_passes(kit)
    assert kit.shelf.version == 3
    await kit.catalogue.release("default")
    await kit.training.work()
    assert (kit.shelf.version, kit.published.epoch) == (4, 2)
    assert kit.published.next_number >= before.next_number
    assert metric("shoal_models_held", segmentation="default") == 0


async def test_a_rollback_of_one_segmentation_leaves_the_others_alone() -> None:
    kit = await trained(SEVERAL, "value")
    other = kit.catalogue.shelves["age"]
    assert other.version == 2
    await kit.roll_back(1)
    await a_day_passes(kit)
    assert (kit.shelf.version, kit.shelf.epoch) == (3, 2)
    assert (other.version, other.epoch) == (3, 1)


async def test_a_trainer_that_begins_while_models_are_held_holds_them_too() -> None:
    kit = await trained()
    await kit.roll_back(1)
    await kit.assign()
    await kit.send(range(40))
    await a_day_passes(kit)
    assert (kit.shelf.version, kit.shelf.epoch) == (3, 3)
    await kit.roll_back(2)
    await a_day_passes(kit)
    assert kit.training.is_ready
    assert (kit.shelf.version, kit.shelf.epoch) == (4, 4)
    await kit.catalogue.release("default")
    await a_day_passes(kit)
    assert kit.shelf.version == 5


async def test_a_model_that_was_trained_during_a_rollback_is_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = await trained()
    began, released, train = threading.Event(), threading.Event(), Trainer.train

    def train_slowly(trainer: Trainer, **moment: Any) -> Snapshot:
        began.set()
        assert released.wait(10)
        return train(trainer, **moment)

    monkeypatch.setattr(Trainer, "train", train_slowly)
    monkeypatch.setattr(training, "STALE_REST_SECONDS", 0.01)
    working = asyncio.create_task(a_day_passes(kit))
    await until(began.is_set)
    await kit.roll_back(1)
    released.set()
    await working
    await until(lambda: kit.training.is_ready)
    await kit.training.work()
    assert kit.shelf.version == 3
    assert kit.published.reason == "rollback"


async def test_publications_are_counted_by_why_they_were() -> None:
    name, labels = "shoal_models_published_total", {"segmentation": "default", "reason": "first"}
    before = metric(name, **labels) or 0
    kit = await trained()
    assert metric(name, **labels) == before + 1
    assert metric("shoal_trainer_customers", segmentation="default") == 40
    assert json.loads(kit.shelf.blobs[1])["reason"] == "first"


async def test_a_name_that_an_operator_has_given_is_given_to_nobody_else() -> None:
    kit = await trained()
    taken = kit.published.segments[0].name
    kit.labels.books["default"] = LabelBook(1, {77: Label(name=taken)})
    await a_day_passes(kit)
    assert kit.trainer.reserved == {77: taken}
    assert taken not in {segment.name for segment in kit.published.segments}
