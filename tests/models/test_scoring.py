"""Who moved, who left, and the counts that follow."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.assignment import assign
from models.columns import Rows
from models.profiles import DAY_MS, ProfileSchema
from models.scaling import Scaler
from models.scoring import NO_MOVES, Moves, expire, present, size_changes
from models.scoring import score as score_vectors
from models.segmentation import Segmentation
from models.snapshots import Segment, Snapshot
from tests.models.test_population import SCHEMA, START_MS, shoppers
from tests.models.test_snapshots import model

NOW_MS = START_MS + 100 * DAY_MS
EXPIRE_MS = 60 * DAY_MS
SCALER = Scaler.fit(SCHEMA.features, SCHEMA.vectors(shoppers(200), NOW_MS))
N = 8
DEFAULT = Segmentation("default", SCHEMA, SCHEMA.features)
TWO = ProfileSchema(SCHEMA.features, segmentations=("value", "default"))
VALUE = Segmentation("value", TWO, TWO.features[:2])


def snapshot(version: int = 1, seed: int = 0, k: int = 4) -> Snapshot:
    """A model of that version whose segments are `version`, `version` + 1, …."""
    rng = np.random.default_rng([version, seed])
    return replace(
        model(),
        version=version,
        scaler=SCALER,
        centroids=rng.normal(0, 1, (k, len(SCHEMA.names))),
        segments=tuple(Segment(version + i, f"n{i}", 1 / k, 1) for i in range(k)),
        next_number=version + k,
        retired=(),
    )


def score(rows: Rows, model: Snapshot, now_ms: int = NOW_MS) -> Moves:
    return score_vectors(DEFAULT, model, rows, SCHEMA.vectors(rows, now_ms), now_ms)


def sizes(rows: Rows) -> Counter[int]:
    return Counter(rows["segment"][rows["first_ms"] > 0, 0].tolist())


def test_a_first_scoring_moves_everybody_out_of_none() -> None:
    rows = shoppers(N)
    moves = score(rows, snapshot(3))
    assert moves.row.tolist() == list(range(N))
    assert moves.origin.tolist() == [0] * N
    assert moves.target.tolist() == rows["segment"][:, 0].tolist()
    assert rows["version"][:, 0].tolist() == [1] * N
    assert rows["model"][:, 0].tolist() == [3] * N
    assert rows["since_ms"][:, 0].tolist() == [NOW_MS] * N


def test_segments_are_those_that_the_model_assigns() -> None:
    rows = shoppers(N)
    expected = assign(snapshot(), SCHEMA.vectors(rows, NOW_MS), rows["segment"][:, 0])
    moves = score(rows, snapshot())
    assert_array_equal(rows["segment"][:, 0], expected.segment)
    assert_array_equal(moves.confidence, expected.confidence)
    assert_array_equal(moves.runner_up, expected.runner_up)
    assert_array_equal(moves.margin, expected.margin)


def test_scoring_again_with_nothing_new_moves_nobody() -> None:
    rows = shoppers(N)
    score(rows, snapshot())
    before = rows.copy()
    assert score(rows, snapshot()).row.size == 0
    assert_array_equal(rows, before)


def test_who_was_scored_by_a_newer_model_is_left_alone() -> None:
    rows = shoppers(N)
    rows["model"][::2] = 6
    before = rows.copy()
    moves = score(rows, snapshot(5))
    assert moves.row.tolist() == [1, 3, 5, 7]
    assert_array_equal(rows[::2], before[::2])


def test_the_same_model_scores_again_whoever_has_changed() -> None:
    rows, both = shoppers(2), snapshot(k=2)
    both = replace(both, centroids=both.scaler.transform(SCHEMA.vectors(rows, NOW_MS)))
    score(rows, both)
    first, second = rows["segment"][:, 0].tolist()
    rows["sums"][0], rows["last_ms"][0] = rows["sums"][1], rows["last_ms"][1]
    rows["times"][0] = rows["times"][1]
    moves = score(rows, both)
    assert (moves.row.tolist(), moves.origin.tolist()) == ([0], [first])
    assert moves.target.tolist() == [second]


def test_who_is_nobody_is_not_scored() -> None:
    rows = SCHEMA.empty(N)
    assert score(rows, snapshot()) is NO_MOVES
    assert_array_equal(rows, SCHEMA.empty(N))


def test_a_second_move_remembers_where_it_came_from_and_since_when() -> None:
    rows = shoppers(N)
    score(rows, snapshot(1))
    first = rows["segment"][:, 0].tolist()
    moves = score(rows, snapshot(50), NOW_MS + 5)
    assert moves.row.tolist() == list(range(N))
    assert moves.origin.tolist() == rows["previous"][:, 0].tolist() == first
    assert rows["version"][:, 0].tolist() == [2] * N
    assert rows["since_ms"][:, 0].tolist() == [NOW_MS + 5] * N


def test_who_was_quiet_too_long_is_forgotten_and_the_version_goes_on_counting() -> None:
    rows = shoppers(N)
    score(rows, snapshot())
    rows["incarnation"] = 1234
    rows["last_ms"] = NOW_MS
    rows["last_ms"][2] = NOW_MS - EXPIRE_MS
    rows["last_ms"][3] = NOW_MS - EXPIRE_MS + 1
    before = rows.copy()
    (moves,) = expire(SCHEMA, rows, NOW_MS, EXPIRE_MS)
    assert moves.row.tolist() == [2]
    assert moves.origin.tolist() == [before["segment"][2, 0]]
    assert moves.target.tolist() == moves.runner_up.tolist() == [0]
    assert (rows["version"][2, 0], rows["incarnation"][2]) == (2, 1234)
    assert rows["previous"][2, 0] == before["segment"][2, 0]
    head = {"format", "segmentations", "presence_bytes", "schema"}
    kept = head | {"version", "incarnation", "previous", "since_ms"}
    for name in set(SCHEMA.dtype.names or ()) - kept:
        assert not rows[name][2].any(), name
    others = np.arange(N) != 2
    assert_array_equal(rows[others], before[others])


def test_who_never_had_a_segment_leaves_without_a_word() -> None:
    rows = shoppers(N)
    (moves,) = expire(SCHEMA, rows, NOW_MS + EXPIRE_MS, EXPIRE_MS)
    assert moves.row.size == 0
    assert not rows["first_ms"].any()
    assert not rows["version"].any()


def test_nobody_is_forgotten_twice() -> None:
    rows = shoppers(N)
    score(rows, snapshot())
    later_ms = NOW_MS + EXPIRE_MS
    expire(SCHEMA, rows, later_ms, EXPIRE_MS)
    before = rows.copy()
    assert expire(SCHEMA, rows, later_ms + DAY_MS, EXPIRE_MS) == (NO_MOVES,)
    assert_array_equal(rows, before)


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(None, None, 2)])
def test_a_customer_is_scored_alike_in_any_company(order: slice) -> None:
    alone, together = shoppers(N)[order], shoppers(N)
    score(together, snapshot())
    score(alone, snapshot())
    assert_array_equal(alone, together[order])


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["visit", "score", "expire"]),
        st.integers(1, 5),
        st.lists(st.booleans(), min_size=N, max_size=N),
    ),
    max_size=12,
)


def visit(rows: Rows, who: list[bool], now_ms: int) -> None:
    at = np.flatnonzero(who)
    changed = rows[at]
    changed["first_ms"] = np.where(changed["first_ms"] > 0, changed["first_ms"], now_ms)
    changed["last_ms"] = now_ms
    changed["sums"] += np.arange(1, at.size + 1)[:, np.newaxis]
    rows[at] = changed


@given(ACTIONS)
@settings(deadline=None)
def test_versions_count_moves_and_sizes_add_up_whatever_happens(
    actions: list[tuple[str, int, list[bool]]],
) -> None:
    rows, counted, now_ms = SCHEMA.empty(N), Counter[int](), NOW_MS
    for what, number, who in actions:
        before = rows.copy()
        now_ms += number * 5 * DAY_MS
        moves = NO_MOVES
        if what == "visit":
            visit(rows, who, now_ms)
        elif what == "score":
            moves = score(rows, snapshot(number), now_ms)
        else:
            (moves,) = expire(SCHEMA, rows, now_ms, EXPIRE_MS)
        counted.update(size_changes(before, rows, 0))

        moved = before["segment"][:, 0] != rows["segment"][:, 0]
        assert moves.row.tolist() == np.flatnonzero(moved).tolist()
        assert_array_equal(rows["version"][:, 0], before["version"][:, 0] + moved)
        assert_array_equal(moves.origin, before["segment"][moved, 0])
        assert_array_equal(moves.target, rows["segment"][moved, 0])
        assert_array_equal(rows["previous"][moved, 0], before["segment"][moved, 0])
        assert (moves.confidence >= 0).all()
        alive = rows["first_ms"] > 0
        assert (rows["model"][alive] >= before["model"][alive]).all()
        if what != "expire":
            assert_array_equal(rows["since_ms"][~moved, 0], before["since_ms"][~moved, 0])
        assert_array_equal(rows["since_ms"][moved, 0], now_ms)
        if what == "score":
            living = before["first_ms"] > 0
            assert_array_equal(
                rows["model"][:, 0], np.where(living, np.maximum(before["model"][:, 0], number), 0)
            )
            newer = before["model"][:, 0] > number
            assert_array_equal(rows[newer], before[newer])
        assert +counted == sizes(rows)
        assert min(counted.values(), default=0) >= 0


@given(ACTIONS)
@settings(deadline=None, max_examples=30)
def test_growth_is_told_of_segments_that_grew_or_shrank_alone(
    actions: list[tuple[str, int, list[bool]]],
) -> None:
    rows = shoppers(N)
    for what, number, who in actions:
        before = rows.copy()
        if what == "visit":
            visit(rows, who, NOW_MS)
        else:
            score(rows, snapshot(number))
        changes = size_changes(before, rows, 0)
        assert 0 not in changes.values()
        assert (
            sum(changes.values()) == (rows["first_ms"] > 0).sum() - (before["first_ms"] > 0).sum()
        )


def test_segmentations_move_side_by_side_and_leave_together() -> None:
    rows, others = TWO.empty(N), shoppers(N)
    for name in ("first_ms", "last_ms", "times", "sums"):
        rows[name] = others[name]
    vectors = TWO.vectors(rows, NOW_MS)
    by_value = replace(
        snapshot(4), scaler=Scaler.fit(VALUE.features, VALUE.of(vectors)), centroids=np.eye(4, 2)
    )
    moves = score_vectors(VALUE, by_value, rows, vectors, NOW_MS)
    assert_array_equal(rows["segment"][:, VALUE.index], moves.target)
    assert not rows["segment"][:, 1].any()
    assert not rows["version"][:, 1].any()
    assert present(rows).all()
    score_vectors(Segmentation("default", TWO, TWO.features), snapshot(1), rows, vectors, NOW_MS)
    assert rows["version"].tolist() == [[1, 1]] * N
    assert rows["model"].tolist() == [[4, 1]] * N

    rows["segment"][0, 1] = 0
    before = rows.copy()
    first, second = expire(TWO, rows, NOW_MS + EXPIRE_MS, EXPIRE_MS)
    assert (first.row.tolist(), second.row.tolist()) == (list(range(N)), list(range(1, N)))
    assert_array_equal(first.origin, before["segment"][:, 0])
    assert rows["version"].tolist() == [[2, 1], *[[2, 2]] * (N - 1)]
    assert sum(size_changes(before, rows, 0).values()) == -N
    assert size_changes(before, rows, 1)[0] == -1
