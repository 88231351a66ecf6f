"""Coarser views of the same segments: which of them belong together, at any level."""

from collections.abc import Sequence

import numpy as np

from models.columns import Floats, Ints
from models.identity import Matching
from models.lineage import Group
from models.snapshots import Segment

KEPT_OVERLAP = 0.5
"""Jaccard index of their customers from which a group is still the same."""


def arrange(
    segments: Sequence[Segment],
    centroids: Floats,
    *,
    before: Sequence[Group] = (),
    matching: Matching | None = None,
    next_group: int = 1,
) -> tuple[tuple[Group, ...], int]:
    """The groups of n segments, n - 1 of them, and the first group number that was never used.

    The two parts that are cheapest to join are joined, until all are one (Ward, 1963,
    "Hierarchical grouping to optimize an objective function"). What joining costs is by how much
    the mean squared distance of customers to their centroid rises; with shares a and b of all
    customers, that is ``a · b / (a + b) · |c_a - c_b|²``. The root of it is the group's height.

    A group keeps its number while more than half of the customers whom the old or the new one has
    are in both. Groups hold others, so several may: the pair that is most alike goes first, which
    keeps the number of everybody's. Other groups get the next numbers, which are never used again.
    The order of the segments changes nothing.

    Parameters
    ----------
    segments
        All of the model's.
    centroids
        Theirs, shape (n, n_features), in scaled space.
    before
        Groups of the model before.
    matching
        How its segments became these, in their order; without it, all groups are new.
    next_group
        The first group number that was not used so far.

    Returns
    -------
    Groups in the order in which they were joined, so that the last holds all segments.
    """
    joined = _join(segments, centroids)
    kept = _keep([members for members, _ in joined], before, matching) if matching else {}
    groups = []
    for at, (members, height) in enumerate(joined):
        if at not in kept:
            kept[at] = next_group
            next_group += 1
        groups.append(Group(kept[at], members, height))
    return tuple(groups), next_group


def cut(groups: Sequence[Group], numbers: Sequence[int], level: int) -> tuple[Group | int, ...]:
    """What each segment counts as when only `level` parts are told apart: a group, or itself.

    Parameters
    ----------
    groups
        All of the model's, in their order.
    numbers
        Segment numbers, in any order.
    level
        From 1, everybody, up to the number of segments; more tells all of them apart.

    Raises
    ------
    ValueError
        When `level` is below 1.

    Examples
    --------
    >>> groups = Group(1, (4, 6), 0.5), Group(2, (4, 5, 6), 1.0)
    >>> [part if isinstance(part, int) else part.segments for part in cut(groups, [4, 5, 6], 2)]
    [(4, 6), 5, (4, 6)]
    """
    if level < 1:
        raise ValueError(f"level {level} is below 1")
    parts: dict[int, Group | int] = {number: number for number in numbers}
    for group in groups[: max(len(groups) + 1 - level, 0)]:
        parts |= dict.fromkeys(group.segments, group)
    return tuple(parts[number] for number in numbers)


def _join(segments: Sequence[Segment], centroids: Floats) -> list[tuple[tuple[int, ...], float]]:
    """Segment numbers, ascending, and height of each group, in the order of joining."""
    # By number, so that ties are decided alike and sums are rounded alike in any order.
    order = sorted(range(len(segments)), key=lambda at: segments[at].number)
    members: list[tuple[int, ...]] = [(segments[at].number,) for at in order]
    weights = np.array([max(segments[at].share, np.finfo(float).tiny) for at in order])
    centres = centroids[order]
    joined: list[tuple[tuple[int, ...], float]] = []
    lowest = 0.0
    while len(members) > 1:
        i, j, cost = _cheapest(weights, centres)
        # Ward's costs never fall; what is left of a tie after rounding shall not either.
        lowest = max(lowest, float(np.sqrt(cost)))
        together = tuple(sorted(members[i] + members[j]))
        joined.append((together, lowest))
        total = weights[i] + weights[j]
        centres[i] += (centres[j] - centres[i]) * (weights[j] / total)
        weights[i], members[i] = total, together
        weights, centres = np.delete(weights, j), np.delete(centres, j, axis=0)
        del members[j]
    return joined


def _cheapest(weights: Floats, centres: Floats) -> tuple[int, int, float]:
    """The two that are cheapest to join, the first of them first, and what it costs."""
    difference = centres[:, np.newaxis] - centres
    share = weights / (weights[:, np.newaxis] + weights) * weights[:, np.newaxis]
    costs = share * np.vecdot(difference, difference)
    costs[np.tril_indices(len(costs))] = np.inf
    i, j = divmod(int(costs.argmin()), len(costs))
    return i, j, float(costs[i, j])


def _keep(
    joined: Sequence[tuple[int, ...]], before: Sequence[Group], matching: Matching
) -> dict[int, int]:
    """Numbers of those groups, by place, that go on from a group before."""
    old = _membership([group.segments for group in before], matching.old_numbers)
    new = _membership(joined, matching.numbers)
    shared = old @ matching.table @ new.T
    either = (old @ matching.table.sum(axis=1))[:, np.newaxis] + new @ matching.table.sum(axis=0)
    alike = shared / np.maximum(either - shared, 1)
    kept: dict[int, int] = {}
    for place in np.argsort(-alike, axis=None, kind="stable").tolist():
        o, at = divmod(place, len(joined))
        if alike[o, at] <= KEPT_OVERLAP:
            break
        if at not in kept and before[o].number not in kept.values():
            kept[at] = before[o].number
    return kept


def _membership(groups: Sequence[tuple[int, ...]], numbers: Sequence[int]) -> Ints:
    """1 where a group has a segment, shape (n_groups, n_segments)."""
    table = np.zeros((len(groups), len(numbers)), dtype=np.int64)
    for row, members in zip(table, groups, strict=True):
        row[np.isin(numbers, members)] = 1
    return table
