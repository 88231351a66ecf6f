"""Profiles put into segments by a model; who moved, who left, and the counts that follow."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from models.assignment import assign
from models.columns import Bools, Floats, Ints, Rows
from models.profiles import ProfileSchema
from models.segmentation import Segmentation
from models.snapshots import Numbers, Snapshot


@dataclass(frozen=True, slots=True)
class Moves:
    """Customers whose segment changed, one element each, shape (n_moves,).

    `row` indexes the scored rows, ascending. `origin`, `target` and `runner_up` are numbers of
    segments, 0 for none.
    """

    row: Ints
    origin: Ints
    target: Ints
    runner_up: Ints
    confidence: Floats
    margin: Floats

    def within(self, start: int, end: int) -> "Moves":
        """Moves of the rows from `start` up to `end`, counted from `start`."""
        chosen = slice(*self.row.searchsorted((start, end)).tolist())
        return Moves(
            self.row[chosen] - start,
            self.origin[chosen],
            self.target[chosen],
            self.runner_up[chosen],
            self.confidence[chosen],
            self.margin[chosen],
        )


NO_MOVES = Moves(*(np.empty(0, dtype=np.int64),) * 4, *(np.empty(0),) * 2)


def score(
    segmentation: Segmentation, snapshot: Snapshot, rows: Rows, vectors: Floats, now_ms: int | Ints
) -> Moves:
    """Assign every living profile by the model, in place; `now_ms` may differ from row to row.

    Profiles that a newer model has already scored are left as they are.

    Parameters
    ----------
    vectors
        Shape (n, n_features of the schema), the vectors of `rows` at `now_ms`.
    """
    index = segmentation.index
    scored = np.flatnonzero((rows["first_ms"] > 0) & (rows["model"][:, index] <= snapshot.version))
    if scored.size == 0:
        return NO_MOVES
    at_ms = np.broadcast_to(now_ms, rows.shape)[scored]
    origin = rows["segment"][scored, index]
    result = assign(snapshot, segmentation.of(vectors[scored]), origin)
    moved = result.segment != origin
    mover = scored[moved]
    rows["previous"][mover, index] = origin[moved]
    rows["since_ms"][mover, index] = at_ms[moved]
    rows["version"][mover, index] += 1
    rows["segment"][mover, index] = result.segment[moved]
    rows["model"][scored, index] = snapshot.version
    return Moves(
        row=mover,
        origin=origin[moved].astype(np.int64),
        target=result.segment[moved].astype(np.int64),
        runner_up=result.runner_up[moved].astype(np.int64),
        confidence=result.confidence[moved],
        margin=result.margin[moved],
    )


def present(rows: Rows) -> Bools:
    """Who is a customer: who has an event, or is in a segment from before a rebuild."""
    known: Bools = (rows["first_ms"] > 0) | (rows["segment"] > 0).any(axis=1)
    return known


def expire(
    schema: ProfileSchema, rows: Rows, now_ms: int, expire_after_ms: int
) -> tuple[Moves, ...]:
    """Forget, in place, the profiles without an event for `expire_after_ms`.

    What stays of them is the version of their last change, so that a customer who comes back
    goes on counting from there.

    Returns
    -------
    Who left a segment, for each segmentation.
    """
    expired = np.flatnonzero(present(rows) & (now_ms - rows["last_ms"] >= expire_after_ms))
    if expired.size == 0:
        return (NO_MOVES,) * len(schema.segmentations)
    old = rows[expired]
    told = old["segment"] > 0
    gone = schema.empty(expired.size)
    gone["version"] = old["version"] + told
    gone["incarnation"] = old["incarnation"]
    gone["previous"] = old["segment"]
    gone["since_ms"] = now_ms
    rows[expired] = gone
    return tuple(_departures(expired, origin) for origin in old["segment"].T)


def _departures(row: Ints, origin: Numbers) -> Moves:
    at = np.flatnonzero(origin)
    nothing = np.zeros(at.size)
    return Moves(
        row=row[at],
        origin=origin[at].astype(np.int64),
        target=np.zeros(at.size, dtype=np.int64),
        runner_up=np.zeros(at.size, dtype=np.int64),
        confidence=nothing,
        margin=nothing,
    )


def regroupings(before: Rows, after: Rows) -> Ints:
    """Indices of the rows that count for another segment, in any segmentation, than before."""
    differs = (before["segment"] != after["segment"]).any(axis=1)
    return np.flatnonzero(differs | (present(before) != present(after)))


def size_changes(before: Rows, after: Rows, index: int) -> dict[int, int]:
    """By how much each segment of a segmentation grew; 0 counts customers without a segment."""
    change: Counter[int] = Counter(after["segment"][present(after), index].tolist())
    change.subtract(before["segment"][present(before), index].tolist())
    return {number: by for number, by in change.items() if by}
