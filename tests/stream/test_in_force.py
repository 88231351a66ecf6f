"""What a worker knows to be in force, while Redis answers and while it does not."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from models.editions import Edition
from models.labels import Label, LabelBook
from models.segmentation import Segmentation
from stream.in_force import InForce
from tests.stream.lane_kit import SCHEMA, two_segments
from tests.stream.training_kit import MemoryCatalogue, MemoryLabels

FIRST = Segmentation("first", SCHEMA, SCHEMA.features)
SECOND = Segmentation("second", SCHEMA, SCHEMA.features[:1])


class FailingLabels(MemoryLabels):
    """Labels that cannot be asked for some segmentations."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_for: set[str] = set()

    async def revision(self, segmentation: str) -> int:
        if segmentation in self.fails_for:
            raise RedisConnectionError("gone")
        return self.books.get(segmentation, LabelBook()).revision


class Surroundings:
    """What is in Redis, and what became of the process."""

    def __init__(self, *segmentations: Segmentation) -> None:
        self.catalogue, self.labels = MemoryCatalogue(), FailingLabels()
        self.ended: list[Exception] = []
        editions = tuple(Edition(segmentation) for segmentation in segmentations)
        self.in_force = InForce(editions, self.catalogue, self.labels, self.ended.append)

    def publish(self, name: str, version: int, blob: bytes | None = None) -> None:
        shelf = self.catalogue.shelves[name]
        shelf.version = version
        model = replace(two_segments(version), segmentation=name)
        shelf.blobs[version] = model.to_json() if blob is None else blob

    @property
    def versions(self) -> Sequence[int]:
        return [edition.version for edition in self.in_force.editions]


@pytest.fixture
def around() -> Surroundings:
    return Surroundings(FIRST)


async def test_newer_models_and_labels_are_taken_over(around: Surroundings) -> None:
    await around.in_force.refresh()
    assert around.versions == [0]
    around.publish("first", 4)
    around.labels.books["first"] = LabelBook(revision=2, labels={1: Label(name="Tea")})
    await around.in_force.refresh()
    (edition,) = around.in_force.editions
    assert (edition.version, edition.labels.revision) == (4, 2)


async def test_a_model_is_taken_over_though_redis_failed_right_after_it_was_read(
    around: Surroundings,
) -> None:
    around.publish("first", 7)
    around.labels.fails_for = {"first"}
    with pytest.raises(RedisConnectionError):
        await around.in_force.refresh()
    around.labels.fails_for = set()
    await around.in_force.refresh()
    assert around.versions == [7]


async def test_one_segmentation_that_fails_does_not_hold_back_those_before_it() -> None:
    around = Surroundings(FIRST, SECOND)
    around.publish("first", 7)
    around.labels.fails_for = {"second"}
    with pytest.raises(RedisConnectionError):
        await around.in_force.refresh()
    assert around.versions == [7, 0]


async def test_who_asks_first_looks_for_all_and_nobody_looks_again(around: Surroundings) -> None:
    around.publish("first", 7)
    await asyncio.gather(*(around.in_force.known() for _ in range(8)))
    assert around.versions == [7]
    asked = around.catalogue.calls
    await around.in_force.known()
    assert around.catalogue.calls == asked


async def test_nothing_is_known_until_redis_has_answered(around: Surroundings) -> None:
    around.catalogue.fails = RedisConnectionError("gone")
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            await around.in_force.known()
    around.catalogue.fails = None
    around.publish("first", 7)
    await around.in_force.known()
    assert around.versions == [7]


async def test_a_damaged_model_changes_nothing_and_is_read_once(
    around: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    around.publish("first", 1)
    await around.in_force.refresh()
    around.publish("first", 2, b"{half")
    for _ in range(3):
        await around.in_force.refresh()
    assert around.versions == [1]
    assert len([line for line in caplog.messages if "model 2" in line]) == 1


async def test_a_model_of_other_features_is_not_taken_over() -> None:
    around = Surroundings(replace(FIRST, features=SCHEMA.features[:1]))
    around.publish("first", 3)
    await around.in_force.refresh()
    assert around.versions == [0]
