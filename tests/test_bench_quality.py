"""The bench of quality: that its truth is true, that what it counts is what happened."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from rich.console import Console
from typer.testing import CliRunner

from bench.quality.__main__ import Part, main
from bench.quality.change import Check, Following, Outcome, Stage, watch
from bench.quality.flapping import Flapping, borders_of, flap
from bench.quality.granularity import Count, count
from bench.quality.journey import Journey
from bench.quality.personas import HALF_LIFE_DAYS, NOBODY, PERSONAS, Shop, mixed, reference_ari
from bench.quality.plots import draw
from bench.quality.results import Results
from bench.quality.scenario import GIFTER, STEP_DAYS, changes, open_shop
from bench.quality.stationary import Stillness, stand_still
from models.scaling import Scaler
from models.trainer import Trainer
from models.training import TrainingConfig

SEVEN = TrainingConfig(k=7, min_customers=100)


def shop_of(customers: int = 1_500, seed: int = 3, days: float = 60) -> Shop:
    shop = open_shop(customers, seed)
    shop.pass_time(days)
    return shop


def test_personas_are_mixed_in_the_parts_that_were_asked_for() -> None:
    truth = mixed([0.5, 0.3, 0.2], 1_000, seed=1)
    assert np.bincount(truth).tolist() == [500, 300, 200]
    assert len(set(truth[:100].tolist())) == 3


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=12), st.integers(1, 300))
def test_everybody_has_a_persona(shares: list[float], customers: int) -> None:
    truth = mixed(shares, customers, seed=0)
    assert truth.size == customers
    assert set(truth.tolist()) <= set(range(len(shares)))


def test_customers_behave_as_their_persona_says() -> None:
    shop = shop_of(8_000, days=100)
    memory_days = HALF_LIFE_DAYS / np.log(2)
    seen = dict(zip(shop.schema.names, shop.vectors().T, strict=True))
    for index, persona in enumerate(PERSONAS):
        who = shop.members(index)
        typical = {name: np.median(values[who]) for name, values in seen.items()}
        assert typical["views"] == pytest.approx(persona.views * memory_days, rel=0.15)
        assert typical["emails"] == pytest.approx(persona.emails * memory_days, rel=0.3, abs=0.5)
        assert typical["items"] == pytest.approx(persona.items, rel=0.15)
        assert typical["discounts"] <= persona.discount + 0.05
        assert typical["order_value"] == pytest.approx(persona.amount, rel=0.3)


def test_what_is_noise_does_not_depend_on_the_persona() -> None:
    shop = shop_of(8_000)
    vectors = shop.vectors()
    for name in ("support", "campaigns", "refunds", "categories", "quiet"):
        values = vectors[:, shop.schema.names.index(name)]
        means = [values[shop.members(index)].mean() for index in range(len(PERSONAS))]
        assert np.ptp(means) < 0.5 * values[shop.present].std(), name


def test_the_personas_overlap_but_are_there() -> None:
    shop = shop_of(4_000)
    scaler = Scaler.fit(shop.schema.features, shop.vectors()[shop.present])
    assert 0.75 < reference_ari(shop, scaler) < 0.97


def test_same_seed_same_shop() -> None:
    one, other = shop_of(days=5), shop_of(days=5)
    assert_array_equal(one.pass_time(1), other.pass_time(1))
    assert_array_equal(one.rows, other.rows)
    assert not np.array_equal(one.rows, shop_of(days=6, seed=4).rows)


def test_who_acts_is_told_in_the_order_of_their_last_event() -> None:
    shop = shop_of(days=5)
    before = shop.events.copy()
    active = shop.pass_time(0.5)
    assert (np.diff(shop.rows["last_ms"][active]) >= 0).all()
    assert set(active.tolist()) == set(np.flatnonzero(shop.events > before).tolist())


def test_a_season_lets_more_happen_to_all() -> None:
    calm, busy = shop_of(days=5), shop_of(days=5)
    busy.season = 2.5
    begun = calm.events.sum()
    calm.pass_time(10)
    busy.pass_time(10)
    more = (busy.events.sum() - begun) / (calm.events.sum() - begun)
    assert more == pytest.approx(2.5, rel=0.05)


def test_who_has_not_come_or_has_left_does_nothing() -> None:
    shop = shop_of(days=5)
    leavers = shop.members(0)
    before = shop.events.copy()
    shop.leave(leavers)
    shop.pass_time(5)
    assert_array_equal(shop.events[leavers], before[leavers])
    gone = shop.members(NOBODY)
    assert not shop.rows["first_ms"][gone].any()
    assert not shop.present[gone].any()
    assert set(leavers.tolist()) < set(gone.tolist())


def test_after_the_five_changes_customers_are_who_the_story_says() -> None:
    shop = shop_of(days=0)
    names = [persona.name for persona in shop.personas]
    began = {name: shop.members(index) for index, name in enumerate(names)}
    newcomers = shop.members(NOBODY)
    for change in changes(shop):
        for step in range(60):
            change.act(shop, step * STEP_DAYS)
    now = {name: shop.members(index) for index, name in enumerate(names)}
    assert_array_equal(now["gifter"], newcomers)
    assert_array_equal(shop.members(NOBODY), began["bargain"])
    assert set(now["big basket"].tolist()) == {*began["big basket"], *began["stocker"]}
    assert now["stocker"].size == now["bargain"].size == 0
    for name in ("regular", "browser", "reader", "occasional"):
        assert_array_equal(now[name], began[name])
    assert shop.personas[names.index("reader")].emails == pytest.approx(1.4)
    assert shop.personas[names.index("gifter")] == GIFTER
    assert shop.season == 1.0


def test_a_death_is_watched_until_its_segment_is_gone() -> None:
    stage = Stage(open_shop(1_500, seed=3), SEVEN, seed=3)
    stage.shop.pass_time(50)
    everybody = np.flatnonzero(stage.shop.present)
    stage.trainer.observe(stage.shop.names(everybody), stage.shop.rows[everybody])
    assert stage.step(1.0)
    before = stage.homes()
    assert len(set(before.values())) == 7
    assert all(stage.has_own(persona.name) for persona in PERSONAS)
    death = next(change for change in changes(stage.shop) if change.name == "death")
    checks, outcome = watch(stage, death)
    assert [check.day for check in checks] == list(range(1, 21))
    assert [check.day for check in checks if check.counts] == list(range(10, 21))
    assert checks[-1].offline is not None
    assert outcome.updates is not None
    assert outcome.updates <= outcome.allowed
    assert before["bargain"] not in stage.model.numbers
    assert "bargain" not in stage.homes()
    assert stage.trainer.customers == stage.shop.present.sum()


def test_nothing_changes_where_nothing_happens() -> None:
    still = stand_still(3, 1_500, publications=6, config=SEVEN)
    assert (still.publications, len(still.moves)) == (6, 6)
    assert still.ids_changed == 0
    assert still.churn_ratio == sum(still.moves) / still.customers


def test_borders_lie_between_neighbours() -> None:
    shop = shop_of()
    trainer = Trainer(shop.segmentation, SEVEN, seed=3)
    trainer.observe(shop.customers, shop.rows, shop.now_ms)
    model = trainer.train(shop.now_ms, created_ms=0, epoch=1)
    line = replace(model, centroids=np.outer(np.arange(7.0), np.ones(13)))
    assert borders_of(line) == [(at, at + 1) for at in range(6)]
    assert borders_of(model)


def test_hysteresis_calms_the_borders_and_follows_those_who_move() -> None:
    seen = flap(3, 1_500, SEVEN)
    assert seen.borders > 0
    assert seen.border_nearest > 1_000
    assert seen.reduction >= 10
    assert seen.shop_ours < seen.shop_nearest
    assert 1 <= seen.follow_events <= 5


def test_segments_are_counted_for_populations_of_three_to_eight() -> None:
    counts = count(3, 500, populations=1, config=replace(SEVEN, k=4))
    assert [c.truth for c in counts] == [3, 4, 5, 6, 7, 8]
    assert {c.found for c in counts} == {4}
    assert all(0.5 < c.reference <= 1 for c in counts)


FOUND = Results(
    journey=Journey([1.0, 1.02, 0.99], [1.0, 0.97, 1.1], {"KMeans": [1.2, 1.5, 1.3]}),
    change=Following(
        (
            Check("birth", 1, ours=0.4, reference=0.9, offline=None, segments=7, counts=False),
            Check("birth", 2, ours=0.9, reference=0.9, offline=None, segments=8, counts=True),
            Check("death", 1, ours=0.72, reference=0.9, offline=0.8, segments=8, counts=True),
        ),
        (
            Outcome("birth", 4_000, 5_000, ()),
            Outcome("death", 6_000, 7_000, ("regular", "reader")),
        ),
        publications=9,
    ),
    stationary=Stillness(1_000, 3, ids_changed=1, moves=(0, 2, 3)),
    flapping=Flapping(4, 500, 20, 90, 30, follow_events=2),
    granularity=[Count(3, 3, 0.9), Count(4, 6, 0.8)],
)


def test_the_figures_are_told_under_the_names_that_were_agreed() -> None:
    assert FOUND.to_dict() == {
        "inertia_ratio": {"median": 1.0, "worst": 1.02},
        "silhouette_ratio": 1.0233,
        "ari_ratio": 0.8,
        "detect_updates": 6_000,
        "untouched_ids_changed": 2,
        "stationary": {"ids_changed": 1, "churn_ratio": 0.005},
        "flap_reduction": 25.0,
        "follow_events": 2,
        "k_error_worst": 2,
        "river": {"KMeans": {"inertia_ratio": {"median": 1.3, "worst": 1.5}}},
    }


def test_a_change_that_was_never_seen_has_no_number() -> None:
    assert FOUND.change is not None
    missed = replace(FOUND.change, outcomes=(Outcome("birth", None, 5_000, ()),))
    assert missed.detect_updates is None
    console = Console(record=True, width=160)
    console.print(Results(change=missed).to_table())
    assert "never" in console.export_text()


def test_the_table_puts_figures_beside_targets() -> None:
    console = Console(record=True, width=160)
    console.print(FOUND.to_table())
    text = console.export_text()
    for expected in ("1.020", "at most 1.05", "at most 7000", "death: regular, reader", "0.500%"):
        assert expected in text


def test_a_picture_is_drawn_of_each_part(tmp_path: Path) -> None:
    drawn = draw(FOUND, tmp_path / "plots")
    names = [path.name for path in drawn]
    assert names == ["journey.png", "change.png", "stationary.png", "granularity.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    assert draw(Results(), tmp_path) == []


def test_one_part_is_measured_on_its_own_and_told_in_one_line() -> None:
    app = typer.Typer()
    app.command()(main)
    arguments = ["--json", "--only", Part.FLAPPING, "--customers", "1500", "--seed", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)) == {"flap_reduction", "follow_events"}
