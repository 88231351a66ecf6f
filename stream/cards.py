"""The card of each segment: what people and pages read of it.

A card says what the model, the operators and the events say. It is a view: it can be made again
at any time, and is, when one of them has changed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.identifiers import CustomerId, SegmentId
from models.labels import NO_LABELS, Label, LabelBook
from models.lineage import Group
from models.naming import name_group
from models.profiles import ProfileSchema
from models.snapshots import Segment, Snapshot
from models.tastes import NO_TASTES, Kind, Preference, Tastes
from stream import scripts
from stream.catalogue import Catalogue
from stream.cluster import RedisClient
from stream.labels import Labels
from stream.names import Keys
from stream.sender import Sender
from stream.tastes import load_tastes


@dataclass(frozen=True, slots=True)
class TraitCard:
    """Much (`high`) or little of a feature."""

    feature: str
    high: bool


@dataclass(frozen=True, slots=True)
class TypicalCard:
    """A feature of the members, `text` in words, and of everybody, `usual` in words.

    A model from before there were personas says only the value, at the segment's centroid.
    """

    value: float
    unit: str
    everybody: float | None = None
    text: str = ""
    usual: str = ""


@dataclass(frozen=True, slots=True)
class GroupCard:
    """A coarser view that the segment is part of."""

    id: str
    name: str
    segments: tuple[SegmentId, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A segment in force.

    `name` is how it is shown, `given_name` what the trainer calls it. `share` and
    `revenue_share`, 0 to 1, are its part of the customers and of the revenue of the sample that
    its model learned from, in `model`; it is there since model `since_model`.
    """

    id: SegmentId
    name: str
    given_name: str
    label: Label
    sentence: str
    share: float
    revenue_share: float | None
    since_model: int
    model: int
    highlights: tuple[str, ...]
    traits: tuple[TraitCard, ...]
    typical: dict[str, TypicalCard]
    prefers: dict[Kind, tuple[Preference, ...]]
    examples: tuple[CustomerId, ...]
    groups: tuple[GroupCard, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":"))


def make_cards(
    snapshot: Snapshot,
    schema: ProfileSchema,
    labels: LabelBook = NO_LABELS,
    tastes: Tastes = NO_TASTES,
) -> list[Card]:
    """The cards of the segments in force.

    `schema` is asked for the units of models that have no personas.
    """
    units = {feature.name: feature.unit for feature in schema.features}
    centres = snapshot.scaler.inverse(snapshot.centroids).tolist()
    named = {
        s.number: replace(s, name=labels.of(s.number).called(s.name).name)
        for s in snapshot.segments
    }
    cards = []
    for segment, centre in zip(snapshot.segments, centres, strict=True):
        persona = segment.persona
        if persona:
            typical = {
                t.feature: TypicalCard(t.value, t.unit, t.everybody, t.text, t.usual)
                for t in persona.typical
            }
        else:
            typical = {
                name: TypicalCard(round(value, 3), units.get(name, ""))
                for name, value in zip(snapshot.feature_names, centre, strict=True)
            }
        revenue = persona.revenue_share if persona else None
        cards.append(
            Card(
                id=segment.id,
                name=named[segment.number].name,
                given_name=segment.name,
                label=labels.of(segment.number),
                sentence=persona.sentence if persona else "",
                share=round(segment.share, 4),
                revenue_share=None if revenue is None else round(revenue, 4),
                since_model=segment.born_version,
                model=snapshot.version,
                highlights=persona.highlights if persona else (),
                traits=tuple(TraitCard(trait.feature, trait.high) for trait in segment.traits),
                typical=typical,
                prefers={
                    kind: tuple(_rounded(preference) for preference in preferred)
                    for kind, preferred in tastes.get(segment.number, {}).items()
                },
                examples=persona.examples if persona else (),
                groups=_groups(snapshot.groups, segment.number, named),
            )
        )
    return cards


def segment_cards(
    snapshot: Snapshot,
    schema: ProfileSchema,
    labels: LabelBook = NO_LABELS,
    tastes: Tastes = NO_TASTES,
) -> dict[str, str]:
    """The cards as they are stored, by segment id."""
    return {card.id: card.to_json() for card in make_cards(snapshot, schema, labels, tastes)}


class Cards:
    """The cards of all segmentations, made of what Redis holds."""

    def __init__(self, redis: RedisClient, keys: Keys, schema: ProfileSchema) -> None:
        self._redis = redis
        self._keys = keys
        self._schema = schema
        self._catalogue = Catalogue(redis, keys)
        self._labels = Labels(redis, keys)
        self._send = Sender(redis)

    async def of(self, segmentation: str) -> list[Card]:
        """The cards of today; none before there is a model."""
        return (await self._made(segmentation))[2]

    async def refresh(self, segmentation: str) -> bool:
        """Put the cards of today where pages read them.

        Returns
        -------
        False when a model or a label has come meanwhile, whose cards these are not.
        """
        version, revision, cards = await self._made(segmentation)
        args: list[str | int] = [version, revision]
        for card in cards:
            args += [card.id, card.to_json()]
        keys = [
            self._keys.model_current(segmentation),
            self._keys.labels(segmentation),
            self._keys.segments(segmentation),
        ]
        return bool(await self._send.run(scripts.WRITE_CARDS, keys, args))

    async def _made(self, segmentation: str) -> tuple[int, int, list[Card]]:
        snapshot = await self._catalogue.newest_model(segmentation)
        labels = await self._labels.load(segmentation)
        if snapshot is None:
            return 0, labels.revision, []
        tastes = await load_tastes(self._redis, self._keys, segmentation, snapshot.now_ms)
        cards = make_cards(snapshot, self._schema, labels, tastes)
        return snapshot.version, labels.revision, cards


def _rounded(preference: Preference) -> Preference:
    return replace(preference, share=round(preference.share, 4), lift=round(preference.lift, 2))


def _groups(
    groups: Sequence[Group], number: int, named: dict[int, Segment]
) -> tuple[GroupCard, ...]:
    """The groups that a segment is part of, the smallest first, without that of all."""
    own = [g for g in groups if number in g.segments and len(g.segments) < len(named)]
    return tuple(
        GroupCard(
            f"g{group.number}",
            name_group([named[member] for member in group.segments]),
            tuple(named[member].id for member in group.segments),
        )
        for group in sorted(own, key=lambda group: len(group.segments))
    )
