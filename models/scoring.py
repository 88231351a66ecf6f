"""Profiles put into segments by a model; who moved, who left, and the counts that follow."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from models.assignment import assign
from models.columns import Floats, Ints, Rows
from models.profiles import ProfileSchema
from models.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Moves:
    """Customers whose segment changed, one element each, shape (n_moves,).

    `row` indexes the scored rows. `origin`, `target` and `runner_up` are segment numbers,
    0 for none.
    """

    row: Ints
    origin: Ints
    target: Ints
    runner_up: Ints
    confidence: Floats
    margin: Floats

    def within(self, start: int, end: int) -> "Moves":
        """Moves of the rows from `start` up to `end`, counted from `start`."""
        chosen = (self.row >= start) & (self.row < end)
        return Moves(
            self.row[chosen] - start,
            self.origin[chosen],
            self.target[chosen],
            self.runner_up[chosen],
            self.confidence[chosen],
            self.margin[chosen],
        )


NO_MOVES = Moves(*(np.empty(0, dtype=np.int64),) * 4, *(np.empty(0),) * 2)


def score(schema: ProfileSchema, snapshot: Snapshot, rows: Rows, now_ms: int | Ints) -> Moves:
    """Assign every living profile by the model, in place; `now_ms` may differ from row to row.

    Profiles that a newer model has already scored are left as they are.
    """
    scored = np.flatnonzero((rows["first_ms"] > 0) & (rows["model"] <= snapshot.version))
    if scored.size == 0:
        return NO_MOVES
    chosen = rows[scored]
    at_ms = np.broadcast_to(now_ms, rows.shape)[scored]
    result = assign(snapshot, schema.vectors(chosen, at_ms), chosen["segment"])
    moved = result.segment != chosen["segment"]
    origin = chosen["segment"].astype(np.int64)
    chosen["previous"] = np.where(moved, chosen["segment"], chosen["previous"])
    chosen["since_ms"] = np.where(moved, at_ms, chosen["since_ms"])
    chosen["version"] += moved
    chosen["segment"] = result.segment
    chosen["model"] = snapshot.version
    rows[scored] = chosen
    at = np.flatnonzero(moved)
    return Moves(
        row=scored[at],
        origin=origin[at],
        target=result.segment[at].astype(np.int64),
        runner_up=result.runner_up[at].astype(np.int64),
        confidence=result.confidence[at],
        margin=result.margin[at],
    )


def expire(schema: ProfileSchema, rows: Rows, now_ms: int, expire_after_ms: int) -> Moves:
    """Forget, in place, the profiles without an event for `expire_after_ms`.

    What stays of them is the version of their last change, so that a customer who comes back
    goes on counting from there.
    """
    expired = np.flatnonzero((rows["first_ms"] > 0) & (now_ms - rows["last_ms"] >= expire_after_ms))
    if expired.size == 0:
        return NO_MOVES
    old = rows[expired]
    told = old["segment"] > 0
    gone = schema.empty(expired.size)
    gone["version"] = old["version"] + told
    gone["incarnation"] = old["incarnation"]
    gone["previous"] = old["segment"]
    gone["since_ms"] = now_ms
    rows[expired] = gone
    at = np.flatnonzero(told)
    nothing = np.zeros(at.size)
    return Moves(
        row=expired[at],
        origin=old["segment"][at].astype(np.int64),
        target=np.zeros(at.size, dtype=np.int64),
        runner_up=np.zeros(at.size, dtype=np.int64),
        confidence=nothing,
        margin=nothing,
    )


def size_changes(before: Rows, after: Rows) -> dict[int, int]:
    """By how much each segment grew; 0 counts living customers without a segment."""
    change: Counter[int] = Counter(after["segment"][after["first_ms"] > 0].tolist())
    change.subtract(before["segment"][before["first_ms"] > 0].tolist())
    return {number: by for number, by in change.items() if by}
