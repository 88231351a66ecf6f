"""Operators name segments and attach what downstream needs: what may be said, and of which."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config.files import SettingsError, read_yaml
from config.segmentation import SegmentationConfig
from config.settings import describe_validation
from models.errors import ShoalError
from models.identifiers import SegmentId, segment_number
from models.labels import Label, LabelBook
from models.profiles import ProfileSchema
from models.snapshots import Snapshot
from stream.cards import Cards
from stream.catalogue import Catalogue
from stream.cluster import RedisClient
from stream.history import UnknownSegmentationError
from stream.labels import LabelFields, Labels
from stream.names import Keys

ATTEMPTS = 5
Edit = Callable[[Label], Label]
Edits = Mapping[str, Edit]
"""What becomes of labels, by segment id."""
_FILE = TypeAdapter(dict[str, dict[str, LabelFields | None]])


class UnknownSegmentError(ShoalError):
    """There is no such segment, or not any more."""

    def __init__(self, public: str, model: Snapshot | None, labels: LabelBook) -> None:
        super().__init__(_unknown(public, model, labels))


class NameTakenError(ShoalError):
    """Two segments would be called the same."""

    def __init__(self, name: str, other: SegmentId) -> None:
        super().__init__(
            f"{other} is called {name!r} already: choose another name, or rename {other} first"
        )


class LabelsChangingError(ShoalError):
    """Somebody else keeps changing labels at the same time."""

    def __init__(self) -> None:
        super().__init__("somebody else is changing labels: try again in a moment")


def require_segmentation(config: SegmentationConfig, name: str | None) -> str:
    """The segmentation of this name; the first one where none is said.

    Raises
    ------
    UnknownSegmentationError
        There is none.
    """
    known = tuple(config.segmentations)
    if name is not None and name not in known:
        raise UnknownSegmentationError(name, list(known))
    return known[0] if name is None else name


def parse_fields(**fields: object) -> Label:
    """A label of what a person typed.

    Raises
    ------
    SettingsError
        A field cannot be used; the message names it and what it takes.
    """
    try:
        return LabelFields.model_validate(fields).label()
    except ValidationError as error:
        raise SettingsError(describe_validation(error)) from None


def read_labels(path: Path) -> dict[str, Edits]:
    """The labels of a file, by segmentation and segment id; an empty one takes a label away.

    Raises
    ------
    SettingsError
        The file cannot be read, or says something that is no label.
    """
    try:
        content = _FILE.validate_python(read_yaml(path))
    except ValidationError as error:
        raise SettingsError(f"{path}: {describe_validation(error)}") from None
    return {
        segmentation: {public: _instead(fields) for public, fields in entries.items()}
        for segmentation, entries in content.items()
    }


def _instead(fields: LabelFields | None) -> Edit:
    label = fields.label() if fields else Label()
    return lambda _: label


class Desk:
    """Where labels are changed, of one deployment.

    Every change is one step in Redis, on top of what others have changed, and on so many
    `replicas` before it is answered.
    """

    def __init__(
        self, redis: RedisClient, keys: Keys, schema: ProfileSchema, *, replicas: int = 0
    ) -> None:
        self._catalogue = Catalogue(redis, keys)
        self._labels = Labels(redis, keys, replicas=replicas)
        self._cards = Cards(redis, keys, schema)

    async def label(self, segmentation: str, edits: Edits) -> dict[str, str]:
        """Change labels by segment id, all or none; how each of these segments is then shown.

        Raises
        ------
        UnknownSegmentError
            An id that is not in force. The label of a segment that is gone can only be taken away.
        NameTakenError
            Two segments would be called the same.
        LabelsChangingError
            Others changed labels at each of five attempts.
        """
        for _ in range(ATTEMPTS):
            model = await self._catalogue.newest_model(segmentation)
            book = await self._labels.load(segmentation)
            changed = self.changed(model, book, edits)
            if await self._labels.write(segmentation, changed, revision=book.revision):
                await self._cards.refresh(segmentation)
                names = {s.number: s.name for s in model.segments} if model else {}
                return {
                    public: changed[number].called(names.get(number, "")).name
                    for public, number in zip(edits, changed, strict=True)
                }
        raise LabelsChangingError

    async def check(self, segmentation: str, edits: Edits) -> None:
        """Raise what `label` would raise of these edits; changes nothing."""
        model = await self._catalogue.newest_model(segmentation)
        self.changed(model, await self._labels.load(segmentation), edits)

    @staticmethod
    def changed(model: Snapshot | None, book: LabelBook, edits: Edits) -> dict[int, Label]:
        """The labels after these edits, in their order, by segment number."""
        changed: dict[int, Label] = {}
        for public, edit in edits.items():
            number = known_number(public, model, book)
            changed[number] = edit(book.of(number))
            if (model is None or model.segment(number) is None) and changed[number] != Label():
                raise UnknownSegmentError(public, model, book)
        shown: dict[str, SegmentId] = {}
        after = {**book.labels, **changed}
        for segment in model.segments if model else ():
            name = after.get(segment.number, Label()).called(segment.name).name
            if other := shown.get(name.casefold()):
                raise NameTakenError(name, other)
            shown[name.casefold()] = segment.id
        return changed


def known_number(public: str, model: Snapshot | None, labels: LabelBook) -> int:
    """Number of a segment that is in force, or was and still has a label.

    Raises
    ------
    UnknownSegmentError
        There is none.
    """
    number = segment_number(SegmentId(public)) if re.fullmatch(r"s[1-9]\d{0,9}", public) else 0
    if number not in labels.labels and (model is None or model.segment(number) is None):
        raise UnknownSegmentError(public, model, labels)
    return number


def _unknown(public: str, model: Snapshot | None, labels: LabelBook) -> str:
    if model is None:
        return f"no segment {public!r}: there are none yet, the trainer has published no model"
    names = {s.id: labels.of(s.number).called(s.name).name for s in model.segments}
    for gone in model.retired:
        if f"s{gone.number}" == public:
            heir = model.segment(model.successor(gone.number))
            where = f": its customers went to {heir.id} ({names[heir.id]})" if heir else ""
            return f"segment {public} is gone since model {gone.version}{where}; name that one"
    known = ", ".join(f"{known} ({name})" for known, name in names.items())
    return f"no segment {public!r}: there are {known}"
