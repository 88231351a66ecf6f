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
from models.profiles import DAY_MS
from models.scaling import Scaler
from models.scoring import NO_MOVES, expire, score, size_changes
from models.snapshots import Segment, Snapshot
from tests.models.test_population import SCHEMA, START_MS, shoppers
from tests.models.test_snapshots import model

NOW_MS = START_MS + 100 * DAY_MS
EXPIRE_MS = 60 * DAY_MS
SCALER = Scaler.fit(SCHEMA.features, SCHEMA.vectors(shoppers(200), NOW_MS))
N = 8


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


def sizes(rows: Rows) -> Counter[int]:
    return Counter(rows["segment"][rows["first_ms"] > 0].tolist())


def test_a_first_scoring_moves_everybody_out_of_none() -> None:
    rows = shoppers(N)
    moves = score(SCHEMA, snapshot(3), rows, NOW_MS)
    assert moves.row.tolist() == list(range(N))
    assert moves.origin.tolist() == [0] * N
    assert moves.target.tolist() == rows["segment"].tolist()
    assert rows["version"].tolist() == [1] * N
    assert rows["model"].tolist() == [3] * N
    assert rows["since_ms"].tolist() == [NOW_MS] * N


def test_segments_are_those_that_the_model_assigns() -> None:
    rows = shoppers(N)
    expected = assign(snapshot(), SCHEMA.vectors(rows, NOW_MS), rows["segment"])
    moves = score(SCHEMA, snapshot(), rows, NOW_MS)
    assert_array_equal(rows["segment"], expected.segment)
    assert_array_equal(moves.confidence, expected.confidence)
    assert_array_equal(moves.runner_up, expected.runner_up)
    assert_array_equal(moves.margin, expected.margin)


def test_scoring_again_with_nothing_new_moves_nobody() -> None:
    rows = shoppers(N)
    score(SCHEMA, snapshot(), rows, NOW_MS)
    before = rows.copy()
    assert score(SCHEMA, snapshot(), rows, NOW_MS).row.size == 0
    assert_array_equal(rows, before)


def test_who_was_scored_by_a_newer_model_is_left_alone() -> None:
    rows = shoppers(N)
    rows["model"][::2] = 6
    before = rows.copy()
    moves = score(SCHEMA, snapshot(5), rows, NOW_MS)
    assert moves.row.tolist() == [1, 3, 5, 7]
    assert_array_equal(rows[::2], before[::2])


def test_the_same_model_scores_again_whoever_has_changed() -> None:
    rows, both = shoppers(2), snapshot(k=2)
    both = replace(both, centroids=both.scaler.transform(SCHEMA.vectors(rows, NOW_MS)))
    score(SCHEMA, both, rows, NOW_MS)
    first, second = rows["segment"].tolist()
    rows["sums"][0], rows["last_ms"][0] = rows["sums"][1], rows["last_ms"][1]
    rows["times"][0] = rows["times"][1]
    moves = score(SCHEMA, both, rows, NOW_MS)
    assert (moves.row.tolist(), moves.origin.tolist()) == ([0], [first])
    assert moves.target.tolist() == [second]


def test_who_is_nobody_is_not_scored() -> None:
    rows = SCHEMA.empty(N)
    assert score(SCHEMA, snapshot(), rows, NOW_MS) is NO_MOVES
    assert_array_equal(rows, SCHEMA.empty(N))


def test_a_second_move_remembers_where_it_came_from_and_since_when() -> None:
    rows = shoppers(N)
    score(SCHEMA, snapshot(1), rows, NOW_MS)
    first = rows["segment"].tolist()
    moves = score(SCHEMA, snapshot(50), rows, NOW_MS + 5)
    assert moves.row.tolist() == list(range(N))
    assert moves.origin.tolist() == rows["previous"].tolist() == first
    assert rows["version"].tolist() == [2] * N
    assert rows["since_ms"].tolist() == [NOW_MS + 5] * N


def test_who_was_quiet_too_long_is_forgotten_and_the_version_goes_on_counting() -> None:
    rows = shoppers(N)
    score(SCHEMA, snapshot(), rows, NOW_MS)
    rows["incarnation"] = 1234
    rows["last_ms"] = NOW_MS
    rows["last_ms"][2] = NOW_MS - EXPIRE_MS
    rows["last_ms"][3] = NOW_MS - EXPIRE_MS + 1
    before = rows.copy()
    moves = expire(SCHEMA, rows, NOW_MS, EXPIRE_MS)
    assert moves.row.tolist() == [2]
    assert moves.origin.tolist() == [before["segment"][2]]
    assert moves.target.tolist() == moves.runner_up.tolist() == [0]
    assert (rows["version"][2], rows["incarnation"][2]) == (2, 1234)
    assert rows["previous"][2] == before["segment"][2]
    kept = ["format", "schema", "version", "incarnation", "previous", "since_ms"]
    for name in set(SCHEMA.dtype.names or ()) - set(kept):
        assert not rows[name][2].any(), name
    others = np.arange(N) != 2
    assert_array_equal(rows[others], before[others])


def test_who_never_had_a_segment_leaves_without_a_word() -> None:
    rows = shoppers(N)
    moves = expire(SCHEMA, rows, NOW_MS + EXPIRE_MS, EXPIRE_MS)
    assert moves.row.size == 0
    assert not rows["first_ms"].any()
    assert not rows["version"].any()


def test_nobody_is_forgotten_twice() -> None:
    rows = shoppers(N)
    score(SCHEMA, snapshot(), rows, NOW_MS)
    later_ms = NOW_MS + EXPIRE_MS
    expire(SCHEMA, rows, later_ms, EXPIRE_MS)
    before = rows.copy()
    assert expire(SCHEMA, rows, later_ms + DAY_MS, EXPIRE_MS) is NO_MOVES
    assert_array_equal(rows, before)


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(None, None, 2)])
def test_a_customer_is_scored_alike_in_any_company(order: slice) -> None:
    alone, together = shoppers(N)[order], shoppers(N)
    score(SCHEMA, snapshot(), together, NOW_MS)
    score(SCHEMA, snapshot(), alone, NOW_MS)
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
            moves = score(SCHEMA, snapshot(number), rows, now_ms)
        else:
            moves = expire(SCHEMA, rows, now_ms, EXPIRE_MS)
        counted.update(size_changes(before, rows))

        moved = before["segment"] != rows["segment"]
        assert moves.row.tolist() == np.flatnonzero(moved).tolist()
        assert_array_equal(rows["version"], before["version"] + moved)
        assert_array_equal(moves.origin, before["segment"][moved])
        assert_array_equal(moves.target, rows["segment"][moved])
        assert_array_equal(rows["previous"][moved], before["segment"][moved])
        assert (moves.confidence >= 0).all()
        assert (rows["model"] >= np.where(rows["first_ms"] > 0, before["model"], 0)).all()
        if what != "expire":
            assert_array_equal(rows["since_ms"][~moved], before["since_ms"][~moved])
        assert_array_equal(rows["since_ms"][moved], now_ms)
        if what == "score":
            living = before["first_ms"] > 0
            assert_array_equal(
                rows["model"], np.where(living, np.maximum(before["model"], number), 0)
            )
            newer = before["model"] > number
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
            score(SCHEMA, snapshot(number), rows, NOW_MS)
        changes = size_changes(before, rows)
        assert 0 not in changes.values()
        assert (
            sum(changes.values()) == (rows["first_ms"] > 0).sum() - (before["first_ms"] > 0).sum()
        )
