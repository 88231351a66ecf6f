"""When time alone will move a customer: known in advance, for a quiet customer's way is fixed.

Between two events a vector is a pure function of *now*, and each of its coordinates moves one way
only: sums fade towards 0, recency and tenure grow to their caps, a mean or a trait stays. From one
moment to a later one the point therefore stays inside the box that the two points span, and whoever
leaves their segment nowhere in the box does not leave it in between.

A customer of the centroid o leaves it for c where ``|z - o| (1 - m) > |z - c| (1 + m)``, m the
margin: where ``(1 - m)² |z - o|² - (1 + m)² |z - c|²`` is above 0. That is a sum of one downward
parabola a coordinate, so where in a box it is highest is found coordinate by coordinate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.columns import Bools, Floats, Ints, Rows, blocks, pick
from models.editions import Editions
from models.layout import DAY_MS
from models.segmentation import Segmentation
from models.snapshots import Snapshot

LEAST_MS = 30_000
"""How soon to look again at a customer of whom nothing better is known."""
RUNGS_MS = (DAY_MS, DAY_MS // 12, DAY_MS // 144)
TOLERANCE_MS = 1_000
SHORTEST_SEARCH_MS = RUNGS_MS[-1]
"""What is left to search is at least so long; a shorter rest is searched at once."""
_SECTIONS = 4
# A dozen find any moment of a century; who needs more creeps along the boundary of a segment.
_ROUNDS = 64
# By so little beyond the margin nobody leaves: rounding must not look like a move to come.
_BLUR = 1e-9


def safe_until(
    editions: Editions,
    rows: Rows,
    now_ms: int | Ints,
    until_ms: int | Ints,
    vectors: Floats | None = None,
) -> Ints:
    """A time until which no customer changes segment without an event: cheap to find, and early.

    Parameters
    ----------
    rows
        Shape (n,), profiles as they were scored at `now_ms`.
    now_ms, until_ms
        Epoch milliseconds, one for all or one for each.
    vectors
        Shape (n, n_features), those of `rows` at `now_ms`, where they are known.

    Returns
    -------
    Epoch milliseconds, shape (n,): a day, two hours or ten minutes from now, `LEAST_MS` for whoever
    may move sooner or was not scored by these models; never beyond `until_ms`, and just then
    for whoever time cannot move.
    """
    now, ways = _each(now_ms, rows), _Ways(editions, rows)
    safe = np.where(ways.can_move, now + LEAST_MS, until_ms)
    chosen = ways.known
    starts = ways.points(chosen, now[chosen]) if vectors is None else ways.scaled(vectors[chosen])
    for rung_ms in RUNGS_MS:
        if not chosen.size:
            break
        later = now[chosen] + rung_ms
        risky = ways.may_leave(chosen, starts, ways.points(chosen, later))
        safe[chosen[~risky]] = later[~risky]
        chosen, starts = chosen[risky], [points[risky] for points in starts]
    return np.minimum(safe, until_ms)


def next_change(
    editions: Editions,
    rows: Rows,
    now_ms: int | Ints,
    until_ms: int | Ints,
    *,
    slack: float = 0.0,
) -> Ints:
    """The moment when customers change segment, in any segmentation, if no event comes.

    Parameters
    ----------
    rows
        Shape (n,), profiles as they were scored at `now_ms`.
    now_ms, until_ms
        Epoch milliseconds, one for all or one for each.
    slack
        Share of a wait that may be left to search when it is over: an event comes before most
        changes, and makes the search for the very moment of no use.

    Returns
    -------
    Epoch milliseconds, shape (n,): that moment or at most `TOLERANCE_MS` later, `until_ms` when
    nothing changes before. `LEAST_MS` from now for whoever was not scored by these models. With
    `slack`, it may be a moment before the change instead, though never sooner than
    `SHORTEST_SEARCH_MS / slack` from now.
    """
    now, until, ways = _each(now_ms, rows), _each(until_ms, rows), _Ways(editions, rows)
    found = np.where(ways.can_move, np.minimum(now + LEAST_MS, until), until)
    chosen = ways.known
    # Nobody leaves up to here; what follows is cut into sections, finer where one is risky.
    reached, step = now.copy(), np.maximum((until - now) // _SECTIONS + 1, TOLERANCE_MS)
    starts = ways.points(chosen, now[chosen])
    for _ in range(_ROUNDS):
        if not chosen.size:
            break
        ends = reached[chosen, None] + step[chosen, None] * np.arange(1, _SECTIONS + 1)
        ends = np.minimum(ends, until[chosen, None])
        later = ways.points(np.repeat(chosen, _SECTIONS), ends.ravel())
        points = [_in_turn(*of_model) for of_model in zip(starts, later, strict=True)]
        risky = ways.may_leave(
            np.repeat(chosen, _SECTIONS), [_flat(p[:, :-1]) for p in points], later
        ).reshape(ends.shape)
        is_risky = risky.any(axis=1)
        # A section that cannot be cut further is judged by its end.
        is_last = is_risky & (step[chosen] == TOLERANCE_MS)
        passed = np.where(is_risky, risky.argmax(axis=1), _SECTIONS) + is_last
        each = np.arange(chosen.size)
        starts = [of_model[each, passed] for of_model in points]
        reached[chosen] = np.column_stack([reached[chosen], ends])[each, passed]
        is_over = is_last & ways.may_leave(chosen, starts, starts)
        rest = np.maximum(step[chosen], SHORTEST_SEARCH_MS)
        is_over |= is_risky & (rest < slack * (reached - now)[chosen])
        is_over |= reached[chosen] >= until[chosen]
        finer = np.maximum(step[chosen] // _SECTIONS, TOLERANCE_MS)
        step[chosen] = np.where(is_risky, finer, step[chosen] * _SECTIONS)
        chosen, starts = chosen[~is_over], [of_model[~is_over] for of_model in starts]
    # Up to where the way was found safe, for whoever needs more rounds than there are.
    found[ways.known] = np.maximum(reached, now + TOLERANCE_MS)[ways.known]
    return np.minimum(found, until)


def _each(time_ms: int | Ints, rows: Rows) -> Ints:
    return np.broadcast_to(np.asarray(time_ms, dtype=np.int64), rows.shape)


def _in_turn(start: Floats, later: Floats) -> Floats:
    """Points of n customers, then of the same at later moments: (n, 1 + n_moments, n_features)."""
    return np.concatenate([start[:, None], later.reshape(len(start), -1, start.shape[1])], axis=1)


def _flat(points: Floats) -> Floats:
    """The same points, customer by customer: (n_customers * n_moments, n_features)."""
    return points.reshape(-1, points.shape[2])


class _Ways:
    """Where customers go, by themselves, in the space of each model.

    `can_move` are those who have a vector, where there is a model; `known` are the indices of
    those of them who were last scored by just these models.
    """

    def __init__(self, editions: Editions, rows: Rows) -> None:
        self._rows = rows
        self._views = [_View(e.segmentation, e.model, rows) for e in editions if e.model]
        self.can_move: Bools = (rows["first_ms"] > 0) & bool(self._views)
        is_known = self.can_move.copy()
        for view in self._views:
            is_known &= rows["model"][:, view.segmentation.index] == view.snapshot.version
        self.known: NDArray[np.intp] = np.flatnonzero(is_known)

    def points(self, customers: Ints, times_ms: Ints) -> list[Floats]:
        """Points at these times, of each model shape (n, n_features); `customers` are indices."""
        if not self._views:
            return []
        schema = self._views[0].segmentation.schema
        return self.scaled(schema.vectors(pick(self._rows, customers), times_ms))

    def scaled(self, vectors: Floats) -> list[Floats]:
        """Points of vectors of the whole schema, of each model shape (n, n_features)."""
        return [
            view.snapshot.scaler.transform(view.segmentation.of(vectors)) for view in self._views
        ]

    def may_leave(self, customers: Ints, starts: Sequence[Floats], ends: Sequence[Floats]) -> Bools:
        """Whether anywhere between two points, of each model, a customer leaves; shape (n,)."""
        leaves = np.zeros(customers.size, dtype=np.bool_)
        for view, start, end in zip(self._views, starts, ends, strict=True):
            leaves |= view.may_leave(customers, np.minimum(start, end), np.maximum(start, end))
        return leaves


@dataclass(frozen=True, slots=True)
class _View:
    """Customers as one model sees them.

    `own`, shape (n_customers,), is the index of each customer's centroid. `peaks[i, j]`, shape
    (n_features,), is the place that draws customers of centroid i most towards centroid j.
    """

    segmentation: Segmentation
    snapshot: Snapshot
    rows: Rows
    own: NDArray[np.intp] = field(init=False)
    stay: float = field(init=False)
    leave: float = field(init=False)
    peaks: Floats = field(init=False)

    def __post_init__(self) -> None:
        numbers, centroids = self.segmentation.numbers(self.rows), self.snapshot.centroids
        margin = self.snapshot.margin + _BLUR
        stay, leave = (1 - margin) ** 2, (1 + margin) ** 2
        arrays = {
            "own": (numbers[:, np.newaxis] == self.snapshot.numbers).argmax(axis=1),
            "stay": stay,
            "leave": leave,
            "peaks": (leave * centroids - stay * centroids[:, np.newaxis]) / (leave - stay),
        }
        for name, value in arrays.items():
            object.__setattr__(self, name, value)

    def may_leave(self, customers: Ints, low: Floats, high: Floats) -> Bools:
        """Whether anywhere in the boxes from `low` to `high` a customer leaves, shape (n,)."""
        own = self.own[customers]
        centroids = self.snapshot.centroids
        leaves = np.empty(own.size, dtype=np.bool_)
        for part in blocks(own.size):
            place = np.maximum(self.peaks[own[part]], low[part, np.newaxis])
            np.minimum(place, high[part, np.newaxis], out=place)
            away, near = place - centroids[own[part], np.newaxis], place - centroids
            goes = self.stay * np.vecdot(away, away) > self.leave * np.vecdot(near, near)
            goes.any(axis=1, out=leaves[part])
        return leaves
