"""Which of the new clusters is which of the segments that people already know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from models.columns import Ints
from models.lineage import Lineage
from models.snapshots import Numbers

"""Jaccard index from which a cluster is still the same segment.

For groups of equal size it means that half of the members stayed. The Jaccard index, not the
share of old members, because it asks in both directions: a small segment that is swallowed by a
large one keeps all its members, yet what the large one means is something else.
"""
_PART = 0.25


@dataclass(frozen=True, slots=True)
class Matching:
    """The segments after a publication, and how they came from those before.

    `numbers[i]` is the segment of new cluster i. `table[o, i]` counts the customers who were in
    `old_numbers[o]` and are in cluster i, shape (n_old, n_new).
    """

    numbers: tuple[int, ...]
    next_number: int
    old_numbers: tuple[int, ...]
    table: Ints

    @property
    def born(self) -> tuple[int, ...]:
        """Numbers that did not exist before."""
        return tuple(number for number in self.numbers if number not in self.old_numbers)

    @property
    def died(self) -> dict[int, int]:
        """Numbers that exist no more, each with the one that most of its members went to.

        0 when nobody in the sample was a member.
        """
        return {
            old: self.numbers[int(row.argmax())] if row.any() else 0
            for old, row in zip(self.old_numbers, self.table, strict=True)
            if old not in self.numbers
        }

    def lineage(self, previous: int, died: Iterable[tuple[int, int]]) -> Lineage:
        """The same for people; `died` are the segments that are no more, with successors."""
        return Lineage(
            previous=previous,
            born=self.born,
            died=tuple(died),
            splits=tuple(self.splits.items()),
            merges=tuple(self.merges.items()),
        )

    @property
    def splits(self) -> dict[int, tuple[int, ...]]:
        """Old segments of which two or more new ones took a quarter each, or more."""
        parts = {
            old: tuple(self.numbers[i] for i in np.flatnonzero(row >= max(1, row.sum() * _PART)))
            for old, row in zip(self.old_numbers, self.table, strict=True)
        }
        return {old: into for old, into in parts.items() if len(into) > 1}

    @property
    def merges(self) -> dict[int, tuple[int, ...]]:
        """New segments in which two or more old ones make up a quarter each, or more."""
        parts = {
            new: tuple(self.old_numbers[o] for o in np.flatnonzero(c >= max(1, c.sum() * _PART)))
            for new, c in zip(self.numbers, self.table.T, strict=True)
        }
        return {new: of for new, of in parts.items() if len(of) > 1}


def match(
    old: Numbers | Ints,
    new: Ints,
    old_numbers: Sequence[int],
    *,
    k: int,
    next_number: int,
    keep_overlap: float = 1 / 3,
    weights: Ints | None = None,
) -> Matching:
    """Match `k` new clusters to old segments by the members they share.

    Among the pairs that overlap enough, those are chosen by which most customers keep their id
    (Kuhn, 1955, "The Hungarian method for the assignment problem"). Every other cluster is a
    birth and gets the next number; numbers are never used again.

    Parameters
    ----------
    old
        Shape (n,), each customer's segment number before, 0 or an unknown number for none.
    new
        Shape (n,), each customer's cluster now, 0 to `k` - 1.
    old_numbers
        The numbers that can be kept.
    next_number
        The first number that was never used.
    weights
        Shape (n,), what each customer counts for; equal where not given, or all 0. Regular
        customers are what a segment is: a crowd of new ones, whom it first takes in, must not
        take its id along when they get a segment of their own.

    Examples
    --------
    >>> old, new = np.array([4, 4, 9, 9, 9]), np.array([1, 1, 0, 0, 2])
    >>> match(old, new, [4, 9], k=3, next_number=10).numbers
    (9, 4, 10)
    """
    olds = np.asarray(old_numbers, dtype=np.int64)
    order = np.argsort(olds)
    at = np.searchsorted(olds, old, sorter=order)
    found = (
        order[np.minimum(at, len(olds) - 1)] if len(olds) else np.zeros(len(old), dtype=np.int64)
    )
    known = olds[found] == old if len(olds) else np.zeros(len(old), dtype=np.bool_)
    pairs = found[known] * k + np.asarray(new)[known]
    table = _count(pairs, (len(olds), k), None)
    weighed = table
    if weights is not None and (of_known := np.asarray(weights)[known]).any():
        weighed = _count(pairs, (len(olds), k), of_known)

    # Customers without an old segment make a cluster neither more nor less like an old one.
    union = weighed.sum(axis=1, keepdims=True) + weighed.sum(axis=0) - weighed
    is_alike = weighed >= keep_overlap * np.maximum(union, 1)
    best = zip(*linear_sum_assignment(np.where(is_alike, weighed, 0), maximize=True), strict=True)
    kept = {int(i): int(olds[o]) for o, i in best if is_alike[o, i] and weighed[o, i] > 0}

    numbers = []
    for cluster in range(k):
        if cluster not in kept:
            kept[cluster] = next_number
            next_number += 1
        numbers.append(kept[cluster])
    return Matching(tuple(numbers), next_number, tuple(int(o) for o in olds), table)


def _count(pairs: Ints, shape: tuple[int, int], weights: Ints | None) -> Ints:
    counts = np.bincount(pairs, weights=weights, minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.int64)
