"""What two configurations made of the same events, in figures and side by side."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from models.editions import Edition
from models.identifiers import CustomerId, SegmentId, segment_id
from models.quality import silhouette, unexplained
from stream.changes import Change, rfc3339
from stream.rehearsal import Moment, Rehearsal
from stream.sources import SourceEvent

BACK_WITHIN = timedelta(days=1)
NOWHERE = SegmentId("")


@dataclass(frozen=True, slots=True)
class Group:
    """A segment at the end of the log."""

    id: SegmentId
    name: str
    customers: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one configuration made of a segmentation.

    `inertia` is the part of the customers' variance that is left within segments, and `silhouette`
    how much nearer customers are to their own than to the next, each in the configuration's own
    scaled space, by its own features and weights. `changes_per_customer` are moves from one segment
    to another over the whole log; `undone` is the part of them that went back within a day.
    """

    segments: list[Group]
    models: int
    inertia: float
    silhouette: float
    changes_per_customer: float
    undone: float
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One segmentation by both configurations; None where one of them does not have it.

    `moves` says how many customers are in which segment (running, then candidate) at the end of
    the log; the id is empty for who is in none. `together` is the part of the customers that stays
    when each running segment is taken for the candidate's that it shares most customers with, one
    for one.
    """

    segmentation: str
    running: Figures | None
    candidate: Figures | None
    moves: list[tuple[SegmentId, SegmentId, int]]
    together: float | None


class Side:
    """One configuration on its way through the events, and what it tells."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.models: Counter[str] = Counter()
        self.reasons: dict[str, Counter[str]] = {}
        self.undone: Counter[str] = Counter()
        self._last: dict[tuple[str, CustomerId], tuple[SegmentId, datetime]] = {}

    def take(self, event: SourceEvent) -> None:
        """Take in an event."""
        self._note(self.rehearsal.take(event))

    def finish(self) -> None:
        """Come to the end of the log."""
        self._note(self.rehearsal.finish())

    def _note(self, moment: Moment | None) -> None:
        if moment is None:
            return
        self.models.update(model.segmentation for model in moment.published)
        for scored in moment.scored:
            for change in scored.changes:
                self._count(change)

    def _count(self, change: Change) -> None:
        data = change.data
        if data.origin is None or data.target is None:
            return
        name = data.segmentation
        self.reasons.setdefault(name, Counter())[data.reason] += 1
        came_from, at = self._last.get((name, data.customer_id), (NOWHERE, change.time))
        self.undone[name] += came_from == data.target.id and change.time - at <= BACK_WITHIN
        self._last[name, data.customer_id] = data.origin.id, change.time

    def members(self, edition: Edition) -> dict[CustomerId, SegmentId]:
        """The segment of everyone who is in one."""
        numbers = edition.segmentation.numbers(self.rehearsal.rows).tolist()
        named = zip(self.rehearsal.customers, map(segment_id, numbers), strict=True)
        return {customer: public for customer, public in named if public}

    def figures(self, edition: Edition) -> Figures:
        """What became of one segmentation."""
        model, segmentation = edition.model, edition.segmentation
        assert model is not None  # noqa: S101 - a log without one is not compared
        rows = self.rehearsal.rows
        numbers = segmentation.numbers(rows)
        points = model.scaler.transform(segmentation.vectors(rows, self.rehearsal.now_ms))
        reasons = self.reasons.get(segmentation.name, Counter())
        changes = reasons.total()
        sizes = Counter(numbers.tolist())
        groups = [Group(s.id, s.name, sizes[s.number]) for s in model.segments]
        return Figures(
            segments=sorted(groups, key=lambda group: -group.customers),
            models=self.models[segmentation.name],
            inertia=round(unexplained(points, numbers), 4),
            silhouette=round(silhouette(points, numbers), 4),
            changes_per_customer=round(changes / max(len(rows), 1), 4),
            undone=round(self.undone[segmentation.name] / max(changes, 1), 4),
            reasons=dict(reasons),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Both configurations on the same events, of which `rejected` were set aside by both."""

    source: str
    events: int
    rejected: int
    customers: int
    until: str
    segmentations: list[Verdict]

    @classmethod
    def of(cls, source: str, running: Side, candidate: Side) -> Self:
        """What two sides that came to the end of the same events have to show."""
        ours = {edition.segmentation.name: edition for edition in running.rehearsal.editions}
        theirs = {edition.segmentation.name: edition for edition in candidate.rehearsal.editions}
        rehearsal = running.rehearsal
        return cls(
            source=source,
            events=rehearsal.events,
            rejected=rehearsal.rejected.total(),
            customers=len(rehearsal.customers),
            until=rfc3339(rehearsal.now_ms),
            segmentations=[
                _verdict(name, running, ours.get(name), candidate, theirs.get(name))
                for name in dict.fromkeys((*ours, *theirs))
            ],
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _verdict(
    name: str, running: Side, ours: Edition | None, candidate: Side, theirs: Edition | None
) -> Verdict:
    moves: Counter[tuple[SegmentId, SegmentId]] = Counter()
    if ours and theirs:
        before, after = running.members(ours), candidate.members(theirs)
        moves.update(
            (before.get(customer, NOWHERE), after.get(customer, NOWHERE))
            for customer in before.keys() | after.keys()
        )
    return Verdict(
        segmentation=name,
        running=running.figures(ours) if ours else None,
        candidate=candidate.figures(theirs) if theirs else None,
        moves=[(old, new, count) for (old, new), count in sorted(moves.items())],
        together=round(_together(moves), 4) if moves else None,
    )


def _together(moves: Mapping[tuple[SegmentId, SegmentId], int]) -> float:
    """Part of the customers who stay together, by the best one-to-one match of the segments.

    >>> a, b, c = SegmentId("a"), SegmentId("b"), SegmentId("c")
    >>> _together({(a, b): 6, (b, a): 3, (b, b): 1})
    0.9
    """
    table = _table_of(moves)
    kept = table[linear_sum_assignment(table, maximize=True)].sum()
    return float(kept) / max(sum(moves.values()), 1)


def _table_of(moves: Mapping[tuple[SegmentId, SegmentId], int]) -> np.ndarray:
    rows = sorted({old for old, _ in moves})
    columns = sorted({new for _, new in moves})
    return np.array([[moves.get((old, new), 0) for new in columns] for old in rows])


def show_evaluation(evaluation: Evaluation, console: Console) -> None:
    """The evaluation for people."""
    console.print(
        f"{evaluation.source}: {evaluation.events} events ({evaluation.rejected} rejected) of "
        f"{evaluation.customers} customers, until {evaluation.until}",
        markup=False,
        soft_wrap=True,
    )
    for verdict in evaluation.segmentations:
        running, candidate = verdict.running, verdict.candidate
        console.print(_figures_table(verdict))
        if candidate:
            console.print(_segments_table("candidate", candidate))
        if running and candidate:
            console.print(_moves_table(verdict, running, candidate))
        elif running:
            console.print(_segments_table("running", running))


def _figures_table(verdict: Verdict) -> Table:
    table = Table(
        "",
        "running",
        "candidate",
        title=f"segmentation {verdict.segmentation}",
        title_justify="left",
    )
    sides = [
        [] if figures is None else _column(figures)
        for figures in (verdict.running, verdict.candidate)
    ]
    for at, heading in enumerate(_HEADINGS):
        table.add_row(heading, *(column[at] if column else "none" for column in sides))
    return table


_HEADINGS = (
    "segments",
    "models published",
    "inertia (share of variance within segments)",
    "silhouette",
    "changes per customer",
    "  undone within a day",
    "  by reason",
)


def _column(figures: Figures) -> list[str]:
    reasons = sorted(figures.reasons.items(), key=lambda pair: -pair[1])
    return [
        str(len(figures.segments)),
        str(figures.models),
        f"{figures.inertia:.3f}",
        f"{figures.silhouette:.3f}",
        f"{figures.changes_per_customer:.2f}",
        f"{figures.undone:.1%}",
        ", ".join(f"{reason} {count}" for reason, count in reasons) or "none",
    ]


def _segments_table(side: str, figures: Figures) -> Table:
    table = Table(side, "name", "customers")
    for group in figures.segments:
        table.add_row(group.id, group.name, str(group.customers))
    return table


def _moves_table(verdict: Verdict, running: Figures, candidate: Figures) -> Table:
    """Where the customers of each running segment are by the candidate, and how many."""
    moves = {(old, new): count for old, new, count in verdict.moves}
    nobody = [Group(NOWHERE, "in none", 0)]
    rows = running.segments + nobody * any(old == NOWHERE for old, _ in moves)
    columns = candidate.segments + nobody * any(new == NOWHERE for _, new in moves)
    table = Table(
        "running",
        "name",
        "customers",
        *(f"-> {group.id or group.name}" for group in columns),
        title=f"{verdict.together or 0:.1%} of the customers stay together",
        title_justify="left",
    )
    for group in rows:
        counts = (str(moves.get((group.id, column.id), "")) for column in columns)
        table.add_row(group.id, group.name, str(group.customers), *counts)
    return table
