"""When time alone will move a customer, against looking at every second."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.assignment import assign
from models.columns import Bools, Ints, Rows
from models.editions import Edition, Editions
from models.features import Attribute, Feature, Form, Kind, Selector
from models.foresight import (
    LEAST_MS,
    RUNGS_MS,
    SHORTEST_SEARCH_MS,
    TOLERANCE_MS,
    next_change,
    safe_until,
)
from models.layout import DAY_MS
from models.profiles import ProfileSchema
from models.scaling import Scaler
from models.scoring import score
from models.segmentation import Segmentation
from models.snapshots import Segment, Snapshot
from tests.models.test_snapshots import model

CUSTOMERS = 12
Foresight = Callable[[Editions, Rows, int, int | Ints], Ints]
NOW_MS = 1_700_000_000_000
ORDER, VIEW = Selector(("order_completed",)), Selector(("product_viewed",))
COLOUR = Attribute("colour", Form.TEXT)


def features(days: float, kinds: tuple[Kind, ...] = tuple(Kind)) -> tuple[Feature, ...]:
    """A feature of each kind at each scale; half-lives and caps of about so many days."""
    made = []
    for kind in kinds:
        for scale in ("log", "linear"):
            feature = Feature(
                f"{kind}_{scale}",
                kind,
                ORDER,
                half_life_days=days,
                cap_days=2 * days,
                scale=scale,
            )
            match kind:
                case Kind.RATIO:
                    feature = replace(feature, among=VIEW)
                case Kind.SUM | Kind.MEAN:
                    feature = replace(feature, of="value")
                case Kind.NUMBER | Kind.FLAG | Kind.CATEGORY | Kind.RANK | Kind.BUCKET:
                    feature = replace(feature, attribute=COLOUR, values=("red", "blue"))
            made.append(feature)
    return (
        *made,
        Feature("ever", Kind.COUNT, VIEW),
        Feature("fast", Kind.SUM, VIEW, of="value", half_life_days=days / 9),
    )


def customers(schema: ProfileSchema, n: int, days: float, seed: int) -> Rows:
    """Customers last seen about so many days ago, some of them in the future."""
    rng = np.random.default_rng(seed)
    rows = schema.empty(n)
    rows["last_ms"] = NOW_MS - rng.normal(0.5, 1, n) * days * DAY_MS
    rows["first_ms"] = rows["last_ms"] - rng.exponential(2 * days * DAY_MS, n)
    rows["times"] = rows["last_ms"][:, None] - rng.exponential(days * DAY_MS, rows["times"].shape)
    rows["times"][rng.random(rows["times"].shape) < 0.1] = 0
    rows["sums"] = rng.lognormal(0, 2, rows["sums"].shape)
    is_amount = np.array([slot.measure in {"value", "quantity"} for slot in schema.slots])
    rows["sums"][(rng.random(rows["sums"].shape) < 0.2) & is_amount] *= -1
    rows["sums"][rng.random(rows["sums"].shape) < 0.1] = 0
    windows = np.array([slot.window_ms for slot in schema.distinct_slots], dtype=np.int64)
    if windows.size:
        rows["window"] = rows["last_ms"][:, None] // windows
        rows["bits"] = rng.integers(0, 1 << 20, rows["bits"].shape)
    rows["attributes"] = rng.integers(0, 2, rows["attributes"].shape)
    rows["attribute_ms"] = rng.integers(0, 2, rows["attribute_ms"].shape)
    return rows


def snapshot(segmentation: Segmentation, rows: Rows, k: int, days: float, seed: int) -> Snapshot:
    """A model whose centroids are near where some of these customers are, or will be."""
    rng = np.random.default_rng(seed)
    sample = segmentation.vectors(rows, NOW_MS)
    scaler = Scaler.fit(segmentation.features, sample)
    later = rng.uniform(0, days * DAY_MS, k).astype(np.int64) + NOW_MS
    places = segmentation.vectors(rows[rng.integers(0, rows.size, k)], later)
    return replace(
        model(),
        version=3,
        segmentation=segmentation.name,
        scaler=scaler,
        centroids=scaler.transform(places) + rng.normal(0, 0.05, places.shape),
        segments=tuple(Segment(i, f"n{i}", 1 / k, 1) for i in range(1, k + 1)),
        next_number=k + 1,
        retired=(),
    )


def scored(editions: Editions, rows: Rows, now_ms: int | Ints) -> Rows:
    """The profiles as they are once they were scored at that time."""
    after = rows.copy()
    for edition in editions:
        if edition.model:
            vectors = edition.segmentation.schema.vectors(after, now_ms)
            score(edition.segmentation, edition.model, after, vectors, now_ms)
    return after


def leaves(editions: Editions, rows: Rows, at_ms: int | Ints, *, clearly: bool = False) -> Bools:
    """Who changes segment when they are looked at then; `clearly`: not just by rounding."""
    left = np.zeros(rows.size, dtype=np.bool_)
    for edition in editions:
        if edition.model:
            model = replace(edition.model, margin=edition.model.margin + 2e-7 * clearly)
            vectors = edition.segmentation.vectors(rows, at_ms)
            numbers = edition.segmentation.numbers(rows)
            left |= assign(model, vectors, numbers).segment != numbers
    return left


def is_early(due_ms: Ints, now_ms: int | Ints) -> Bools:
    """Whose change may have been due at once: nobody is looked at again sooner."""
    early: Bools = due_ms == now_ms + TOLERANCE_MS
    return early


@dataclass(frozen=True)
class Shop:
    """Customers in one or two segmentations; `days` is about how long everything takes."""

    days: float
    kinds: tuple[Kind, ...]
    models: tuple[tuple[int, float], ...]
    seed: int

    def open(self) -> tuple[Editions, Rows]:
        """What is in force, and the profiles as they were scored by it now."""
        names = ("default", "value")[: len(self.models)]
        schema = ProfileSchema(features(self.days, self.kinds), segmentations=names)
        rows = customers(schema, CUSTOMERS, self.days, self.seed)
        editions = []
        for at, (name, (k, margin)) in enumerate(zip(names, self.models, strict=True)):
            segmentation = Segmentation(name, schema, schema.features[at::2])
            made = snapshot(segmentation, rows, k, self.days, self.seed + at)
            editions.append(Edition(segmentation, replace(made, margin=margin)))
        return tuple(editions), scored(tuple(editions), rows, NOW_MS)


def shops(days: float) -> st.SearchStrategy[Shop]:
    """Shops with some of the kinds of features, each in both scales."""
    kinds = st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=5, unique=True)
    models = st.tuples(st.integers(1, 6), st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.4]))
    return st.builds(
        Shop,
        days=st.just(days),
        kinds=kinds.map(tuple),
        models=st.lists(models, min_size=1, max_size=2).map(tuple),
        seed=st.integers(0, 1 << 32),
    )


# In the one everything happens within minutes, so that every half second can be looked at.
QUICK_DAYS, SLOW_DAYS = 0.01, 30.0
QUICK, SLOW = shops(QUICK_DAYS), shops(SLOW_DAYS)
QUICK_MS = 900_000
MOST_LOOKS = 20


@pytest.mark.parametrize("kind", list(Kind))
def test_a_coordinate_of_a_quiet_customer_moves_one_way_only(kind: Kind) -> None:
    schema = ProfileSchema(features(SLOW_DAYS, (kind,)))
    rows = customers(schema, 200, SLOW_DAYS, seed=1)
    moments = NOW_MS + np.arange(0, 400 * DAY_MS, DAY_MS // 3)
    vectors = np.stack([schema.vectors(rows, int(moment)) for moment in moments])
    moved = np.nan_to_num(np.diff(vectors, axis=0))
    noise = 1e-9 * (1 + np.nan_to_num(np.abs(vectors[1:])))
    assert ((moved <= noise).all(axis=0) | (moved >= -noise).all(axis=0)).all()


@given(QUICK)
def test_a_change_is_foreseen_to_the_second(shop: Shop) -> None:
    editions, rows = shop.open()
    until_ms = NOW_MS + QUICK_MS
    found = next_change(editions, rows, NOW_MS, until_ms)
    grid = np.arange(NOW_MS, until_ms + 1, TOLERANCE_MS // 2)
    clearly = leaves(
        editions, np.repeat(rows, grid.size), np.tile(grid, rows.size), clearly=True
    ).reshape(rows.size, grid.size)
    for row in range(rows.size):
        # A stay elsewhere of less than a second may pass unseen.
        stays = clearly[row, :-2] & clearly[row, 1:-1] & clearly[row, 2:]
        first_ms = grid[stays.argmax()] if stays.any() else until_ms
        assert found[row] <= first_ms + TOLERANCE_MS
    assert (leaves(editions, rows, found) | is_early(found, NOW_MS) | (found == until_ms)).all()


@given(QUICK)
def test_nobody_leaves_while_they_are_safe(shop: Shop) -> None:
    editions, rows = shop.open()
    safe = safe_until(editions, rows, NOW_MS, NOW_MS + 2 * DAY_MS)
    assert set((safe - NOW_MS).tolist()) <= {LEAST_MS, *RUNGS_MS}
    lucky = safe > NOW_MS + LEAST_MS
    for part in np.linspace(0, 1, 200):
        moment = NOW_MS + ((safe - NOW_MS) * part).astype(np.int64)
        assert not (leaves(editions, rows, moment, clearly=True) & lucky).any()


@given(SLOW)
def test_who_is_looked_at_when_due_changes_once(shop: Shop) -> None:
    editions, rows = shop.open()
    now_ms, until_ms = np.full(rows.size, NOW_MS), NOW_MS + 400 * DAY_MS
    for _ in range(6):
        due_ms = next_change(editions, rows, now_ms, until_ms)
        before = due_ms - TOLERANCE_MS - 1
        for part in (0.2, 0.9, 0.99, 1.0):
            moment = np.maximum(now_ms, now_ms + ((before - now_ms) * part).astype(np.int64))
            assert not leaves(editions, rows, moment, clearly=True).any()
        looked_at = scored(editions, rows, due_ms)
        changes = looked_at["version"].sum(axis=1) - rows["version"].sum(axis=1)
        is_due = due_ms < until_ms
        assert (changes[is_due & ~is_early(due_ms, now_ms)] >= 1).all()
        assert (changes <= len(editions)).all()
        assert_array_equal(scored(editions, looked_at, due_ms), looked_at)
        rows, now_ms = looked_at[is_due], due_ms[is_due]


@given(SLOW, st.floats(0, 1))
def test_who_is_asked_again_later_names_the_same_moment(shop: Shop, part: float) -> None:
    editions, rows = shop.open()
    until_ms = NOW_MS + 400 * DAY_MS
    found = next_change(editions, rows, NOW_MS, until_ms)
    assert_array_equal(next_change(editions, rows, NOW_MS, until_ms), found)
    later_ms = NOW_MS + ((found - NOW_MS - TOLERANCE_MS) * part).astype(np.int64)
    again = next_change(editions, rows, np.maximum(later_ms, NOW_MS), until_ms)
    assert (np.abs(again - found) <= TOLERANCE_MS).all()


@given(SLOW, st.sampled_from([0.001, 0.01, 0.1]))
def test_what_slack_leaves_is_found_when_the_wait_is_over(shop: Shop, slack: float) -> None:
    editions, rows = shop.open()
    until_ms = NOW_MS + 400 * DAY_MS
    exact = next_change(editions, rows, NOW_MS, until_ms)
    now_ms, found = np.full(rows.size, NOW_MS), np.zeros(rows.size, dtype=np.int64)
    for _ in range(MOST_LOOKS):
        found = next_change(editions, rows, now_ms, until_ms, slack=slack)
        assert (found <= exact + TOLERANCE_MS).all()
        left = found < exact - TOLERANCE_MS
        assert ((found - now_ms)[left] >= SHORTEST_SEARCH_MS / slack).all()
        if not left.any():
            break
        now_ms = np.where(left, found, now_ms)
    assert (np.abs(found - exact) <= TOLERANCE_MS).all()


@given(SLOW, st.permutations(range(CUSTOMERS)))
@settings(max_examples=30)
def test_the_moment_is_the_same_in_any_company(shop: Shop, order: list[int]) -> None:
    editions, rows = shop.open()
    until_ms = NOW_MS + 400 * DAY_MS
    together = next_change(editions, rows, NOW_MS, until_ms)
    some = order[:5]
    assert_array_equal(next_change(editions, rows[some], NOW_MS, until_ms), together[some])
    safe = safe_until(editions, rows, NOW_MS, until_ms)
    assert_array_equal(safe_until(editions, rows[some], NOW_MS, until_ms), safe[some])
    assert (safe <= np.maximum(together, NOW_MS + LEAST_MS)).all()


def test_who_was_scored_by_another_model_is_soon_looked_at_again() -> None:
    schema = ProfileSchema(features(SLOW_DAYS, (Kind.RECENCY,)))
    segmentation = Segmentation("default", schema, schema.features)
    rows = customers(schema, 50, SLOW_DAYS, seed=3)
    newer = snapshot(segmentation, rows, 3, SLOW_DAYS, seed=3)
    editions = (Edition(segmentation, newer),)
    rows = scored(editions, rows, NOW_MS)
    older = (Edition(segmentation, replace(newer, version=newer.version - 1)),)
    for when in (safe_until, next_change):
        found = when(older, rows, NOW_MS, NOW_MS + DAY_MS)
        assert (found == NOW_MS + LEAST_MS).all()


@pytest.mark.parametrize("when", [safe_until, next_change])
def test_nobody_is_looked_at_whom_time_cannot_move(when: Foresight) -> None:
    schema = ProfileSchema(features(SLOW_DAYS))
    segmentation = Segmentation("default", schema, schema.features)
    rows = customers(schema, 20, SLOW_DAYS, seed=4)
    until_ms = NOW_MS + np.arange(20) * DAY_MS
    assert_array_equal(when((Edition(segmentation),), rows, NOW_MS, until_ms), until_ms)
    editions = (Edition(segmentation, snapshot(segmentation, rows, 3, SLOW_DAYS, seed=4)),)
    rows["first_ms"] = 0
    assert_array_equal(when(editions, rows, NOW_MS, until_ms), until_ms)
