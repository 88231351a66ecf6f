"""The models of a segmentation: what there was, what is in force, and the way back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from secrets import randbits

from config.segmentation import load_segmentation
from config.settings import Settings
from models.errors import ShoalError
from models.identifiers import SegmentId
from models.rollback import bring_back
from models.segmentation import Segmentation
from models.snapshots import Snapshot
from stream.cards import segment_cards
from stream.catalogue import Catalogue, StaleTrainerError
from stream.changes import rfc3339
from stream.deployment import layout, require_standing
from stream.labels import Labels
from stream.names import Keys
from stream.reach import reach_redis
from stream.worker import wall_ms

ATTEMPTS = 5


class UnknownSegmentationError(ShoalError):
    """The segmentation file names no such segmentation."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no segmentation {name!r}: choose of {', '.join(known)}")


class UnknownModelError(ShoalError):
    """No such version is kept."""

    def __init__(self, version: int | None, kept: list[int]) -> None:
        super().__init__(
            f"there is no model {version}: choose of {kept[0]} to {kept[-1]}"
            if kept
            else "there is no model yet: the trainer publishes the first"
        )
        self.version = version


class RollbackRefusedError(ShoalError):
    """A model cannot be brought back; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Typical:
    """The value at a segment's centroid."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment of a model; `centroid` is in each feature's own unit."""

    id: SegmentId
    name: str
    share: float
    since_model: int
    centroid: dict[str, Typical]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model in one line; `restored` is the version that a rollback brought back."""

    version: int
    created: str
    reason: str
    restored: int | None
    customers: int
    segments: int
    births: list[SegmentId]
    deaths: list[SegmentId]
    in_force: bool


@dataclass(frozen=True, slots=True)
class History:
    """The kept models of a segmentation by version, oldest first; whether an operator holds them.

    Read at one moment; the last is the one in force.
    """

    segmentation: Segmentation
    models: Mapping[int, Snapshot]
    training: Mapping[str, int]

    @property
    def is_held(self) -> bool:
        """Whether the trainer waits for `shoal models release`."""
        return "hold" in self.training

    def model(self, version: int | None = None) -> Snapshot:
        """A model, by default the one in force.

        Raises
        ------
        UnknownModelError
            It is not there.
        """
        wanted = max(self.models, default=0) if version is None else version
        if wanted not in self.models:
            raise UnknownModelError(version, list(self.models))
        return self.models[wanted]

    def entries(self) -> list[ModelEntry]:
        """Every model in one line, oldest first."""
        last = max(self.models, default=0)
        return [_entry(model, in_force=model.version == last) for model in self.models.values()]

    def segments(self, model: Snapshot) -> list[SegmentEntry]:
        """The segments of a model, the largest first."""
        units = {feature.name: feature.unit for feature in self.segmentation.features}
        centroids = model.scaler.inverse(model.centroids).tolist()
        entries = [
            SegmentEntry(
                segment.id,
                segment.name,
                segment.share,
                segment.born_version,
                {
                    name: Typical(round(value, 3), units.get(name, ""))
                    for name, value in zip(model.feature_names, values, strict=True)
                },
            )
            for segment, values in zip(model.segments, centroids, strict=True)
        ]
        return sorted(entries, key=lambda entry: -entry.share)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "segmentation": self.segmentation.name,
            "held": self.is_held,
            "models": [asdict(entry) for entry in self.entries()],
        }


async def load_history(settings: Settings, segmentation: str | None = None) -> History:
    """The models of a segmentation, by default of the first in the file.

    Raises
    ------
    UnknownSegmentationError
        There is none of that name.
    """
    grouping = _grouping(settings, segmentation)
    async with reach_redis(settings) as redis:
        return await _history(Catalogue(redis, Keys(settings.namespace)), grouping)


async def roll_back(settings: Settings, version: int, segmentation: str | None = None) -> Snapshot:
    """Put an earlier model in force again, under a new version, and hold the trainer.

    Raises
    ------
    UnknownModelError
        That version is not kept.
    RollbackRefusedError
        It is in force, measures other features than the configuration, or models come too fast.
    """
    grouping, holder = _grouping(settings, segmentation), randbits(62) + 1
    async with _standing(settings) as catalogue:
        for _ in range(ATTEMPTS):
            history = await _history(catalogue, grouping)
            brought = _bring_back(history, version)
            labels = await Labels(catalogue.redis, catalogue.keys).load(grouping.name)
            try:
                await catalogue.publish_model(
                    brought.to_json(),
                    version=brought.version,
                    epoch=history.training.get("epoch", 0),
                    segments=segment_cards(brought, grouping.schema, labels),
                    segmentation=grouping.name,
                    previous=brought.lineage.previous,
                    hold=holder,
                )
            except StaleTrainerError:
                continue  # the trainer has published, or begun, since we looked
            return brought
    raise RollbackRefusedError("the trainer publishes faster than this: run it again")


async def release(settings: Settings, segmentation: str | None = None) -> bool:
    """Let the trainer publish again; whether it was held."""
    grouping = _grouping(settings, segmentation)
    async with _standing(settings) as catalogue:
        return await catalogue.release(grouping.name)


def _bring_back(history: History, version: int) -> Snapshot:
    current, old = history.model(), history.model(version)
    if old is current:
        raise RollbackRefusedError(f"model {version} is in force: choose an earlier one")
    if old.feature_names != history.segmentation.names:
        raise RollbackRefusedError(
            f"model {version} measures other features than the segmentation file: choose a later "
            "model, or go back to the file of that time first"
        )
    return bring_back(
        old,
        current,
        version=max(current.version, history.training.get("told_model", 0)) + 1,
        epoch=history.training.get("epoch", 0) + 1,
        created_ms=wall_ms(),
    )


async def _history(catalogue: Catalogue, grouping: Segmentation) -> History:
    # The epoch first: what is published after it was read makes a rollback to be done again.
    training = await catalogue.training(grouping.name)
    blobs = await catalogue.models(grouping.name)
    models = {version: Snapshot.from_json(blob) for version, blob in blobs.items()}
    return History(grouping, models, training)


@asynccontextmanager
async def _standing(settings: Settings) -> AsyncIterator[Catalogue]:
    """A catalogue to write to, of a state that is there and is of this version."""
    async with reach_redis(settings) as redis:
        keys = Keys(settings.namespace)
        await require_standing(redis, keys, layout(settings))
        yield Catalogue(redis, keys, replicas=settings.redis_replicas)


def _grouping(settings: Settings, name: str | None) -> Segmentation:
    config = load_segmentation(settings.segmentation)
    groupings = {grouping.name: grouping for grouping in config.groupings(config.profile_schema())}
    wanted = next(iter(groupings)) if name is None else name
    if wanted not in groupings:
        raise UnknownSegmentationError(wanted, list(groupings))
    return groupings[wanted]


def _entry(model: Snapshot, *, in_force: bool) -> ModelEntry:
    lineage = model.lineage
    return ModelEntry(
        version=model.version,
        created=rfc3339(model.created_ms),
        reason=model.reason,
        restored=lineage.restored or None,
        customers=model.customers,
        segments=len(model.segments),
        births=[SegmentId(f"s{number}") for number in lineage.born],
        deaths=[SegmentId(f"s{number}") for number, _ in lineage.died],
        in_force=in_force,
    )
