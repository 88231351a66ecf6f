"""Segments for people: the list, the card, and the coarser view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.errors import ShoalError
from models.hierarchy import cut
from models.identifiers import SegmentId, segment_id
from models.labels import Label, LabelBook
from models.lineage import Group as SegmentGroup
from models.naming import name_group
from models.snapshots import Segment, Snapshot
from models.tastes import Kind, Preference
from models.wording import plain
from stream.cards import Card
from stream.inspection import SegmentReport, segment_table

_HOUR = 24


@dataclass(frozen=True, slots=True)
class Departed:
    """A segment that is gone but has a label; `successor` took most of its customers."""

    id: SegmentId
    label: Label
    successor: SegmentId | None


def departed(model: Snapshot | None, labels: LabelBook) -> list[Departed]:
    """The segments that are gone and still have a label."""
    gone = [n for n in labels.labels if model is None or model.segment(n) is None]
    return [
        Departed(
            SegmentId(f"s{number}"),
            labels.of(number),
            segment_id(model.successor(number)) if model else None,
        )
        for number in sorted(gone)
    ]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Segments that are one in a coarser view."""

    id: str
    name: str
    size: int
    segments: tuple[str, ...]


class NoCoarserViewError(ShoalError):
    """The model does not say which of its segments belong together."""

    def __init__(self) -> None:
        super().__init__(
            "there is no coarser view: the trainer has published no model of three segments or more"
        )


def with_names(report: SegmentReport, labels: LabelBook) -> SegmentReport:
    """The report with the names that operators gave."""
    given = {f"s{number}": name for number, name in labels.names.items()}
    rows = [replace(row, name=given.get(row.id, row.name)) for row in report.segments]
    return replace(report, segments=rows)


def coarser(
    model: Snapshot | None, labels: LabelBook, level: int, report: SegmentReport
) -> list[GroupRow]:
    """The segments in `level` groups, or as many as there are segments; the largest first.

    Raises
    ------
    NoCoarserViewError
        There is no model, or none that groups its segments.
    """
    if model is None or not model.groups:
        raise NoCoarserViewError
    sizes = {row.id: row.size for row in report.segments}
    named = {
        segment.number: replace(segment, name=labels.of(segment.number).called(segment.name).name)
        for segment in model.segments
    }
    parts: dict[str, list[Segment]] = {}
    for number, segment in named.items():
        group = group_at(model, level).get(number)
        parts.setdefault(f"g{group}" if group else segment.id, []).append(segment)
    rows = [
        GroupRow(
            id=public,
            name=name_group(members),
            size=sum(sizes.get(member.id, 0) for member in members),
            segments=tuple(member.id for member in members),
        )
        for public, members in parts.items()
    ]
    return sorted(rows, key=lambda row: -row.size)


def group_at(model: Snapshot, level: int) -> dict[int, int]:
    """Number of the group of each segment that is in one, when there are `level` parts."""
    numbers: list[int] = model.numbers.tolist()
    parts = zip(numbers, cut(model.groups, numbers, level), strict=True)
    return {number: part.number for number, part in parts if isinstance(part, SegmentGroup)}


def show_list(report: SegmentReport, gone: Sequence[Departed], console: Console) -> None:
    """The segments in force with their sizes; below, labels of those that are gone."""
    console.print(segment_table(report))
    for segment in gone:
        heir = f", see {segment.successor}" if segment.successor else ""
        name = segment.label.name or "(no name)"
        console.print(Text(f"{segment.id}  {name}: gone{heir}", style="dim"))


def show_groups(rows: Sequence[GroupRow], customers: int, console: Console) -> None:
    """A coarser view."""
    table = Table("group", "name", "customers", "share", "segments")
    for row in rows:
        share = f"{row.size / max(customers, 1):.1%}"
        table.add_row(row.id, Text(row.name), str(row.size), share, " ".join(row.segments))
    console.print(table)


def show_card(card: Card, customers: int, console: Console) -> None:
    """A card for people; `customers` are in the segment right now."""
    title = Text.assemble((card.name, "bold"), f"  {card.id}  {customers:,} customers")
    if card.name != card.given_name:
        title.append(f"  (Shoal says: {card.given_name})", style="dim")
    facts = Table.grid(padding=(0, 2))
    for word, told in _facts(card).items():
        facts.add_row(Text(word, style="dim"), Text(told))
    console.print(Padding(Group(title, Text(card.sentence), Text(), facts), (0, 0, 1, 0)))
    console.print(_typical(card))


def _facts(card: Card) -> Mapping[str, str]:
    label = card.label
    told = {
        "sets it apart": "\n".join(_against_everybody(card)),
        **{f"likes {kind}": likes(kind, found) for kind, found in card.prefers.items()},
        "landing page": label.landing_page,
        "offer": label.offer,
        "message": label.message,
        "tags": ", ".join(label.tags),
        "for example": ", ".join(card.examples),
        "part of": "\n".join(f"{g.id} {g.name} ({' '.join(g.segments)})" for g in card.groups),
        "there since": f"model {card.since_model} (now {card.model})",
    }
    return {word: text for word, text in told.items() if text}


def likes(kind: Kind, preferred: Sequence[Preference]) -> str:
    """What a segment prefers, in a line; hours that follow each other are one.

    >>> likes("hours", [Preference(h, 0.1, 1.5) for h in ("23", "9", "0")])
    '9-10 h, 23-1 h'
    >>> likes("categories", [Preference("tea", 0.3, 2.04)])
    'tea (30% of their events, 2 times the usual)'
    """
    if kind != "hours":
        return "\n".join(
            f"{p.value} ({p.share:.0%} of their events, {p.lift:.2g} times the usual)"
            for p in preferred
        )
    hours = {int(preference.value) for preference in preferred}
    starts = sorted(hour for hour in hours if (hour - 1) % _HOUR not in hours)
    ends = [next(n for n in range(1, _HOUR + 1) if (s + n) % _HOUR not in hours) for s in starts]
    return ", ".join(
        f"{start}-{(start + length) % _HOUR} h" for start, length in zip(starts, ends, strict=True)
    )


def _against_everybody(card: Card) -> list[str]:
    told = [card.typical[t.feature] for t in card.traits if t.feature in card.typical]
    return [f"{typical.text} (everybody: {typical.usual})" for typical in told if typical.text]


def _typical(card: Card) -> Table:
    table = Table("typical of a member", "everybody")
    for name, typical in card.typical.items():
        unit = typical.unit or name.replace("_", " ")
        table.add_row(Text(typical.text or f"{plain(typical.value)} {unit}"), typical.usual)
    return table
