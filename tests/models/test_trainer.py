"""Learning from a sample of customers, publication after publication."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.assignment import assign
from models.clusterers import ALGORITHMS
from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.lloyd import inertia
from models.population import in_sample
from models.profiles import DAY_MS, ProfileSchema
from models.segmentation import Segmentation
from models.snapshots import Retirement, Snapshot
from models.trainer import TooFewCustomersError, Trainer, WrongSegmentationError
from models.training import TrainingConfig
from tests.models.test_population import (
    GROUPS,
    SCHEMA,
    SEGMENTATION,
    START_MS,
    ids,
    shoppers,
)

NOW_MS = START_MS + 100 * DAY_MS
CONFIG = TrainingConfig(k=4, min_customers=100)


def trainer(n: int = 400, seed: int = 3, config: TrainingConfig = CONFIG) -> Trainer:
    made = Trainer(SEGMENTATION, config, seed)
    made.observe(ids(n), shoppers(n))
    return made


def publish(made: Trainer, days: int = 0) -> Snapshot:
    return made.train(NOW_MS + days * DAY_MS, 1_700_000_000_000, 5)


def segments_of(snapshot: Snapshot, n: int = 400) -> list[int]:
    vectors = SCHEMA.vectors(shoppers(n), snapshot.now_ms)
    numbers: list[int] = assign(snapshot, vectors, np.zeros(n, dtype=np.uint32)).segment.tolist()
    return numbers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_groups_that_are_there_are_found_and_named(algorithm: str) -> None:
    snapshot = publish(trainer(config=replace(CONFIG, algorithm=algorithm)))
    found = np.array(segments_of(snapshot)).reshape(-1, len(GROUPS))
    assert (found == found[0]).all()
    assert sorted(found[0].tolist()) == [1, 2, 3, 4]
    names = [s.name if (s := snapshot.segment(n)) else "" for n in found[0].tolist()]
    assert [name.split(",")[0] for name in names] == [
        "Frequent buyers",
        "High spend",
        "Low spend",
        "Gone quiet",
    ]
    assert_allclose([s.share for s in snapshot.segments], 0.25)


def test_a_snapshot_says_where_it_comes_from() -> None:
    snapshot = publish(trainer())
    assert (snapshot.segmentation, snapshot.version, snapshot.epoch) == ("default", 1, 5)
    assert (snapshot.now_ms, snapshot.created_ms) == (NOW_MS, 1_700_000_000_000)
    assert (snapshot.customers, snapshot.sample_threshold, snapshot.margin) == (400, 1.0, 0.1)
    assert snapshot.feature_names == SCHEMA.names
    assert snapshot.next_number == 5
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_published_centroids_place_everybody_as_the_learner_does(algorithm: str) -> None:
    made = trainer(4000, config=replace(CONFIG, algorithm=algorithm, k=7))
    snapshot = publish(made)
    learner = made._clusterer
    assert learner is not None
    points = snapshot.scaler.transform(SCHEMA.vectors(shoppers(4000, seed=9), NOW_MS))
    rows = [learner.predict_one(dict(zip(SCHEMA.names, p, strict=True))) for p in points.tolist()]
    vectors = SCHEMA.vectors(shoppers(4000, seed=9), NOW_MS)
    assigned = assign(snapshot, vectors, np.zeros(4000, dtype=np.uint32))
    assert_array_equal(snapshot.numbers[rows], assigned.segment)
    assert len(set(rows)) == 7


def test_same_seed_same_snapshots() -> None:
    one, other = trainer(), trainer()
    for days in range(3):
        assert publish(one, days) == publish(other, days)
        for made in (one, other):
            made.observe(ids(40), shoppers(40, seed=days))


def test_a_first_model_does_not_depend_on_the_order_of_arrival() -> None:
    rows, customers, late = shoppers(400), ids(400), Trainer(SEGMENTATION, CONFIG, 3)
    late.observe(customers[::-1], shoppers(400, seed=8))
    for at in range(390, -10, -10):
        late.observe(customers[at : at + 10], rows[at : at + 10])
    assert publish(late) == publish(trainer())


def test_a_restarted_trainer_with_another_seed_goes_on_with_the_same_ids() -> None:
    before = trainer()
    publish(before)
    first = publish(before, days=1)
    after = Trainer(SEGMENTATION, CONFIG, seed=77)
    after.resume(Snapshot.from_json(first.to_json()))
    after.observe(ids(400)[::-1], shoppers(400)[::-1])
    second = publish(after, days=2)
    assert second.version == 3
    assert segments_of(second) == segments_of(first)
    assert {s.number: s.name for s in second.segments} == {s.number: s.name for s in first.segments}
    assert second.next_number == first.next_number
    assert [s.born_version for s in second.segments] == [1] * 4


def test_a_resumed_trainer_publishes_what_one_that_never_stopped_does() -> None:
    running, resumed = trainer(), Trainer(SEGMENTATION, CONFIG, seed=3)
    resumed.observe(ids(400), shoppers(400))
    resumed.resume(publish(running))
    assert publish(running, days=30) == publish(resumed, days=30)


def test_ids_stay_while_the_scaler_changes_under_them() -> None:
    made = trainer()
    first = publish(made)
    rows = shoppers(400)
    rows["sums"] *= 2
    made.observe(ids(400), rows)
    second = publish(made)
    assert second.scaler != first.scaler
    vectors = SCHEMA.vectors(rows, NOW_MS)
    nobody = np.zeros(400, dtype=np.uint32)
    assert assign(second, vectors, nobody).segment.tolist() == segments_of(first)


def test_a_group_that_appears_is_born_and_one_that_leaves_names_its_successor() -> None:
    made = trainer()
    first = publish(made)
    quiet = segments_of(first)[3]
    made.forget(ids(400)[3::4])
    newcomers = shoppers(400, seed=2)[3::4]
    newcomers["last_ms"] = newcomers["times"][:, 0] = NOW_MS
    newcomers["sums"] *= 300
    made.observe(ids(100, 1000), newcomers)
    second = publish(made)
    numbers = [s.number for s in second.segments]
    assert quiet not in numbers
    assert 5 in numbers
    assert second.next_number == 6
    assert [(r.number, r.version) for r in second.retired] == [(quiet, 2)]
    assert second.retired[0].successor in numbers
    third = publish(made)
    assert third.retired == second.retired
    assert {s.number for s in third.segments} == set(numbers)


def test_more_segments_are_seeded_and_the_others_keep_their_ids() -> None:
    made = trainer()
    first = publish(made)
    more = Trainer(SEGMENTATION, replace(CONFIG, k=6), seed=3)
    more.resume(first)
    more.observe(ids(400), shoppers(400))
    second = publish(more)
    assert len(second.segments) == 6
    assert len({s.number for s in second.segments} & {1, 2, 3, 4}) >= 2
    fewer = Trainer(SEGMENTATION, replace(CONFIG, k=3), seed=3)
    fewer.resume(first)
    fewer.observe(ids(400), shoppers(400))
    third = publish(fewer)
    assert len(third.segments) == 3
    assert len(third.retired) >= 1
    assert all(isinstance(r, Retirement) and third.segment(r.successor) for r in third.retired)


def test_changed_features_keep_the_ids_by_where_workers_put_the_customers() -> None:
    first = publish(trainer())
    schema = ProfileSchema((*SCHEMA.features[::-1], Feature("tenure", Kind.TENURE)))
    rows = shoppers(400)
    numbers = np.array(segments_of(first), dtype=np.uint32)
    rows["segment"][:, 0] = numbers
    stored = SCHEMA.encode(rows)
    schema.learn_layout(SCHEMA.id, SCHEMA.layout)
    made = Trainer(Segmentation("default", schema, schema.features), CONFIG, seed=3)
    made.resume(first)
    made.observe(ids(400), schema.decode(stored))
    assert made.due(NOW_MS) == "features"
    second = publish(made)
    assert second.feature_names == schema.names
    assigned = assign(second, schema.vectors(schema.decode(stored), NOW_MS), numbers)
    assert assigned.segment.tolist() == numbers.tolist()
    assert {s.name for s in second.segments} == {s.name for s in first.segments}


def test_the_learner_follows_between_publications() -> None:
    made = trainer()
    snapshot = publish(made)
    assert made._clusterer is not None
    rows = shoppers(400, seed=4)
    rows["sums"] *= 1.5
    points = snapshot.scaler.transform(SCHEMA.vectors(rows, NOW_MS))
    before = inertia(points, made._clusterer.centroids)
    assert_array_equal(made._clusterer.centroids, snapshot.centroids)
    made.observe(ids(400), rows, NOW_MS)
    assert inertia(points, made._clusterer.centroids) < before


def test_there_are_no_more_segments_than_distinct_customers() -> None:
    rows = np.repeat(shoppers(3), 50)
    made = Trainer(SEGMENTATION, CONFIG)
    made.observe(ids(150), rows)
    for _ in range(2):
        snapshot = made.train(NOW_MS, 0, 1)
        assert len(snapshot.segments) == 3
        assert (
            inertia(snapshot.scaler.transform(SCHEMA.vectors(rows, NOW_MS)), snapshot.centroids)
            < 1e-9
        )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_customers_who_are_all_alike_are_one_typical_segment(algorithm: str) -> None:
    made = Trainer(SEGMENTATION, replace(CONFIG, algorithm=algorithm))
    made.observe(ids(120), np.repeat(shoppers(1), 120))
    for _ in range(2):
        snapshot = made.train(NOW_MS, 0, 1)
        assert [(s.number, s.name, s.share) for s in snapshot.segments] == [
            (1, "Typical customers", 1.0)
        ]


def test_a_model_is_due_once_there_are_enough_customers_and_then_when_there_are_others() -> None:
    made = Trainer(SEGMENTATION, CONFIG)
    made.observe(ids(99), shoppers(99))
    assert made.due(NOW_MS) is None
    with pytest.raises(TooFewCustomersError, match="99 customers are too few to learn from, 100"):
        publish(made)
    made.observe(ids(1, 99), shoppers(1))
    assert made.due(NOW_MS) == "first"
    assert (made.customers, made.needed) == (100, 100)
    assert publish(made).reason == "first"
    assert made.due(NOW_MS) is None
    made.observe(ids(100), shoppers(100))
    assert made.due(NOW_MS) is None
    made.observe(ids(11, 100), shoppers(11))
    assert made.due(NOW_MS) is None
    made.forget(ids(1))
    assert made.due(NOW_MS) == "news"
    made.observe(ids(40, 200), shoppers(40))
    assert made.due(NOW_MS) == "growth"
    snapshot = publish(made)
    assert (snapshot.reason, snapshot.lineage.previous) == ("growth", 1)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_a_model_is_due_when_its_customers_have_aged() -> None:
    made = trainer()
    publish(made)
    assert made.due(NOW_MS + DAY_MS - 1) is None
    assert made.due(NOW_MS + DAY_MS) == "time"
    assert publish(made, days=1).reason == "time"


def test_who_reads_the_sample_back_waits_until_a_third_is_there() -> None:
    made = Trainer(SEGMENTATION, CONFIG, seed=3)
    made.resume(publish(trainer()))
    made.observe(ids(120), shoppers(120))
    assert made.due(NOW_MS + 2 * DAY_MS) is None
    made.observe(ids(20, 120), shoppers(20))
    assert made.due(NOW_MS + 2 * DAY_MS) == "time"
    made.observe(ids(260, 140), shoppers(260))
    assert made.due(NOW_MS) is None
    made.observe(ids(60, 400), shoppers(60))
    assert made.due(NOW_MS) == "news"


def test_a_model_is_due_when_a_feature_weighs_more_than_before() -> None:
    made = Trainer(
        Segmentation(
            "default", SCHEMA, (replace(SCHEMA.features[0], weight=3.0), *SCHEMA.features[1:])
        ),
        CONFIG,
        seed=3,
    )
    made.resume(publish(trainer()))
    made.observe(ids(400), shoppers(400))
    assert made.due(NOW_MS) == "features"
    assert publish(made).scaler.columns[0].weight == 3
    assert made.due(NOW_MS) is None


def test_who_was_not_seen_for_long_leaves_the_sample() -> None:
    made = trainer(config=replace(CONFIG, expire_after_ms=50 * DAY_MS))
    seen = int((shoppers(400)["last_ms"] >= NOW_MS - 50 * DAY_MS).sum())
    assert 290 < seen < 310
    assert publish(made).customers == made.customers == seen
    with pytest.raises(TooFewCustomersError, match="0 customers"):
        publish(made, days=400)


def test_too_large_a_sample_is_halved_by_hash_and_the_model_says_so() -> None:
    made = trainer(1000, config=replace(CONFIG, sample_target=300))
    assert made.threshold in {0.25, 0.125}
    assert 100 < made.customers <= 300
    assert set(made.population.customers) == {c for c in ids(1000) if in_sample(c, made.threshold)}
    snapshot = publish(made)
    assert snapshot.sample_threshold == made.threshold
    after = Trainer(SEGMENTATION, CONFIG)
    after.resume(snapshot)
    after.observe(ids(1000), shoppers(1000))
    assert after.customers == made.customers


def test_who_is_erased_is_not_learned_from() -> None:
    made = trainer()
    made.forget([CustomerId("c0"), CustomerId("nobody")])
    assert made.customers == 399
    assert publish(made).customers == 399


def test_the_model_of_another_segmentation_is_refused() -> None:
    other = Trainer(SEGMENTATION, replace(CONFIG, segmentation="loyalty"))
    with pytest.raises(WrongSegmentationError, match="'default', this trainer learns 'loyalty'"):
        other.resume(publish(trainer()))


def test_now_of_a_replay_is_the_latest_event() -> None:
    assert Trainer(SEGMENTATION, CONFIG).latest_ms == 0
    assert trainer().latest_ms == shoppers(400)["last_ms"].max()


def test_a_first_model_begins_above_what_was_told_before() -> None:
    made = trainer()
    made.begin_above(12, 30)
    snapshot = publish(made)
    assert snapshot.version == 13
    assert sorted(snapshot.numbers.tolist()) == [31, 32, 33, 34]
    assert publish(made).version == 14


def test_a_model_in_force_is_gone_on_from_where_it_is_the_newer_one() -> None:
    made = trainer()
    first = publish(made)
    made.begin_above(first.version, max(first.numbers.tolist()))
    assert publish(made).version == first.version + 1
