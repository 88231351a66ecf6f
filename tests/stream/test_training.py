"""The trainer's shell: it claims, learns, publishes in time, and lives through faults."""

import asyncio
import json

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from models.profiles import DAY_MS
from tests.stream.lane_kit import START_MS, until
from tests.stream.training_kit import OLDER, POPULATION, TrainingKit, name, named

FIRST_PAUSE_SECONDS = 0.1


@pytest.fixture
def kit() -> TrainingKit:
    return TrainingKit()


class Monotonic:
    """A clock that passes when it is told to."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    clock = Monotonic()
    monkeypatch.setattr("stream.model_line.monotonic", clock)
    return clock


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the trainer paused; none of it really passes."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def pass_at_once(seconds: float) -> None:
        if seconds >= FIRST_PAUSE_SECONDS:
            slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("stream.training.asyncio.sleep", pass_at_once)
    return slept


async def test_whoever_gets_the_population_claims_an_epoch_and_reads_from_the_start(
    kit: TrainingKit,
) -> None:
    assert not kit.training.is_ready
    await kit.assign()
    assert kit.shelf.epoch == 1
    assert kit.consumer.positions == [{POPULATION: 0}]


async def test_every_assignment_starts_afresh_under_a_new_epoch(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send([1, 2])
    await kit.assign()
    assert kit.shelf.epoch == 2
    assert kit.customers == set()
    assert kit.consumer.positions == [{POPULATION: 0}] * 2


async def test_batches_are_learned_and_told_of(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send([1, 2, 3])
    await kit.send([3, 4])
    await kit.training.work()
    assert kit.customers == named(1, 2, 3, 4)
    report = kit.shelf.training
    assert (report["customers"], report["needed"], report["offset"]) == (4, 10, 5)


async def test_before_it_is_assigned_nothing_is_learned(kit: TrainingKit) -> None:
    await kit.send([1, 2])
    await kit.assign()
    assert kit.customers == set()


async def test_a_batch_from_before_the_seek_is_left_alone(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.tell([(name(1), kit.profiles([1])[0])], seeks=0)
    await kit.tell([(name(2), kit.profiles([2])[0])], seeks=1)
    assert kit.customers == named(2)


async def test_who_is_gone_is_forgotten(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send(range(5))
    await kit.tell([(name(1), None), (name(3), b""), (name(99), None)])
    assert kit.customers == named(0, 2, 4)


async def test_of_several_records_of_one_customer_the_last_counts(kit: TrainingKit) -> None:
    await kit.assign()
    alive = kit.profiles([1])[0]
    await kit.tell([(name(1), None), (name(1), alive), (name(2), alive), (name(2), None)])
    assert kit.customers == named(1)


async def test_there_is_no_model_before_there_are_enough_customers(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send(range(9))
    await kit.training.work()
    assert kit.shelf.version == 0
    await kit.send([9])
    await kit.training.work()
    assert kit.shelf.version == 1
    assert kit.published.customers == 10
    assert (kit.published.epoch, kit.published.created_ms) == (1, kit.wall_ms)


async def test_a_model_comes_with_a_card_for_each_of_its_segments(kit: TrainingKit) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    ids = {segment.id: segment.name for segment in kit.published.segments}
    assert {card: json.loads(text)["name"] for card, text in kit.shelf.cards.items()} == ids
    assert len(ids) == 2


async def test_a_second_model_waits_for_news_and_for_its_time(
    kit: TrainingKit, monotonic: Monotonic
) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    monotonic.seconds += 31
    await kit.training.work()
    assert kit.shelf.version == 1  # nothing is new
    await kit.send(range(20, 23))
    await kit.training.work()
    assert kit.shelf.version == 1  # too little is
    await kit.send(range(23, 26))
    await kit.training.work()
    assert kit.shelf.version == 2
    await kit.send(range(26, 33))
    monotonic.seconds += 29
    await kit.training.work()
    assert kit.shelf.version == 2  # too early
    monotonic.seconds += 1
    await kit.training.work()
    assert kit.shelf.version == 3


async def test_a_sample_that_has_outgrown_its_model_is_not_kept_waiting(
    kit: TrainingKit, monotonic: Monotonic
) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    monotonic.seconds += 3
    await kit.send(range(20, 29))
    await kit.training.work()
    assert kit.shelf.version == 1
    await kit.send([29])
    await kit.training.work()
    assert kit.shelf.version == 2


async def test_a_live_model_is_of_today_even_where_nobody_came(
    kit: TrainingKit, monotonic: Monotonic
) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    assert kit.published.now_ms == kit.wall_ms
    kit.wall_ms += DAY_MS
    monotonic.seconds += 30
    await kit.training.work()
    assert (kit.shelf.version, kit.published.now_ms) == (2, kit.wall_ms)


async def test_a_model_of_a_replay_is_of_its_latest_event() -> None:
    kit = TrainingKit(is_live=False)
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    assert kit.published.now_ms == START_MS + 19
    assert kit.published.created_ms == kit.wall_ms


async def test_a_successor_goes_on_from_the_model_in_force(
    kit: TrainingKit, monotonic: Monotonic
) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    first = kit.published
    await kit.assign()
    monotonic.seconds += 30
    await kit.send(range(25))
    await kit.training.work()
    assert (kit.published.version, kit.published.epoch) == (2, 2)
    assert {s.id for s in kit.published.segments} == {s.id for s in first.segments}


async def test_a_trainer_that_was_overtaken_stops_until_it_is_assigned_again(
    kit: TrainingKit,
) -> None:
    await kit.assign()
    await kit.send(range(20))
    await kit.catalogue.claim_training("default")
    await kit.training.work()
    assert not kit.training.is_ready
    assert kit.shelf.blobs == {}
    await kit.training.work()
    assert "customers" not in kit.shelf.training
    await kit.assign()
    await kit.send(range(20))
    await kit.training.work()
    assert kit.published.epoch == 3


@pytest.mark.parametrize("fault", [RedisConnectionError("gone"), OSError("gone"), TimeoutError()])
async def test_a_redis_that_is_away_is_waited_for_when_claiming(
    fault: Exception, kit: TrainingKit, pauses: list[float]
) -> None:
    kit.catalogue.fails = fault
    await kit.training.assign([POPULATION])
    await until(lambda: len(pauses) > 8)
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert not kit.training.is_ready
    kit.catalogue.fails = None
    await until(lambda: kit.training.is_ready)
    assert kit.crashes == []


async def test_a_trainer_that_waits_for_redis_can_be_revoked(kit: TrainingKit) -> None:
    kit.catalogue.fails = RedisConnectionError("gone")
    await kit.training.assign([POPULATION])
    await until(lambda: kit.catalogue.calls)
    await kit.training.quiesce()
    kit.catalogue.fails = None
    await kit.training.work()
    assert not kit.training.is_ready
    assert kit.shelf.epoch == 0


@pytest.mark.parametrize("fault", [RedisConnectionError("gone"), OSError("gone"), TimeoutError()])
async def test_a_redis_that_is_away_when_there_is_nothing_to_publish_is_passed_over(
    fault: Exception, kit: TrainingKit
) -> None:
    await kit.assign()
    await kit.send(range(5))
    kit.catalogue.fails = fault
    await kit.training.work()
    kit.catalogue.fails = None
    await kit.training.work()
    assert kit.training.is_ready
    assert kit.shelf.training["customers"] == 5


async def test_a_model_that_could_not_be_published_is_followed_by_one_with_the_next_news(
    kit: TrainingKit,
) -> None:
    await kit.assign()
    await kit.send(range(20))
    kit.catalogue.fails = TimeoutError()
    await kit.training.work()
    assert kit.shelf.blobs == {}
    kit.catalogue.fails = None
    await kit.send(range(20))
    await kit.training.work()
    assert kit.training.is_ready
    assert kit.published.customers == 20


async def test_profiles_of_an_older_configuration_are_read_once_their_layout_is_known(
    kit: TrainingKit,
) -> None:
    assert OLDER.id != kit.schema.id
    kit.catalogue.layouts = {OLDER.id: OLDER.layout}
    await kit.assign()
    await kit.tell([(name(1), kit.profiles([1], OLDER)[0])])
    assert kit.customers == named(1)


async def test_a_model_that_cannot_be_read_ends_the_process(kit: TrainingKit) -> None:
    kit.shelf.version = 1
    await kit.training.assign([POPULATION])
    await until(lambda: kit.crashes)
    assert "the stored model cannot be used" in str(kit.crashes[0])
    assert not kit.training.is_ready


async def test_cards_are_refreshed_by_whoever_trains_and_a_redis_that_is_away_is_passed_over(
    kit: TrainingKit,
) -> None:
    await kit.training.refresh_cards()
    assert kit.cards.refreshed == []
    await kit.assign()
    await kit.training.refresh_cards()
    assert kit.cards.refreshed == ["default"]
    kit.cards.fails = True
    await kit.training.refresh_cards()
    assert not kit.crashes
