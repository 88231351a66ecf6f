"""Published models as CloudEvents: their contract, their ids, their bytes."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from models.identifiers import SegmentId, segment_id
from models.lineage import Reason
from models.snapshots import Snapshot
from stream.changes import utc


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class LivingSegment(_Part):
    """A segment of the model, by the name that the model gives it."""

    id: SegmentId
    name: str
    share: Annotated[float, Field(ge=0, le=1, description="part of the sampled customers")]
    born: Annotated[bool, Field(description="it was not in the model before")]


class Death(_Part):
    """A segment of the model before that is no more."""

    id: SegmentId
    successor: Annotated[
        SegmentId | None, Field(description="where most of its customers went; null: unknown")
    ]


class Split(_Part):
    """A segment of the model before that went into several."""

    id: SegmentId
    into: tuple[SegmentId, ...]


class Merge(_Part):
    """A segment that several of the model before went into."""

    id: SegmentId
    of: tuple[SegmentId, ...]


class Score(_Part):
    """How good a number of segments is."""

    k: int
    score: float


class Choice(_Part):
    """Why there are so many segments."""

    reason: str
    scores: tuple[Score, ...]


class ModelData(_Part):
    """What is in force now, why, and what became of the segments before."""

    segmentation: str
    version: Annotated[int, Field(ge=1, description="only goes up; keep the highest")]
    previous: Annotated[int | None, Field(description="the version before; null: the first")]
    restored: Annotated[
        int | None, Field(description="the version that a rollback has brought back")
    ]
    reason: Reason
    customers: Annotated[int, Field(description="how many it was learned from")]
    k: Annotated[int, Field(ge=1, description="number of segments")]
    granularity: Annotated[Choice | None, Field(description="null: the number was set")]
    segments: tuple[LivingSegment, ...]
    births: tuple[SegmentId, ...]
    deaths: tuple[Death, ...]
    splits: tuple[Split, ...]
    merges: tuple[Merge, ...]


class ModelPublished(_Part):
    """CloudEvents 1.0, structured JSON; the Kafka key is the segmentation."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(description="the same however often it is told")]
    source: str
    type: Literal["shoal.model.published.v1"] = "shoal.model.published.v1"
    subject: Annotated[str, Field(description="the segmentation")]
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Literal["urn:shoal:schema:model-published:1"] = "urn:shoal:schema:model-published:1"
    data: ModelData


def model_event(snapshot: Snapshot, source: str) -> ModelPublished:
    """The event of a publication: of the same model it is always the same, to the byte."""
    lineage, choice = snapshot.lineage, snapshot.granularity
    return ModelPublished(
        id=_event_id(snapshot),
        source=source,
        subject=snapshot.segmentation,
        time=utc(snapshot.created_ms),
        data=ModelData(
            segmentation=snapshot.segmentation,
            version=snapshot.version,
            previous=lineage.previous or None,
            restored=lineage.restored or None,
            reason=snapshot.reason,
            customers=snapshot.customers,
            k=len(snapshot.segments),
            granularity=choice
            and Choice(
                reason=choice.reason,
                scores=tuple(Score(k=k, score=score) for k, score in choice.scores),
            ),
            segments=tuple(
                LivingSegment(
                    id=segment.id,
                    name=segment.name,
                    share=segment.share,
                    born=segment.number in lineage.born,
                )
                for segment in snapshot.segments
            ),
            births=_ids(lineage.born),
            deaths=tuple(
                Death(id=_id(number), successor=segment_id(heir)) for number, heir in lineage.died
            ),
            splits=tuple(Split(id=_id(old), into=_ids(into)) for old, into in lineage.splits),
            merges=tuple(Merge(id=_id(new), of=_ids(of)) for new, of in lineage.merges),
        ),
    )


def model_event_bytes(snapshot: Snapshot, source: str) -> bytes:
    """The event as it goes to Kafka; one line."""
    return model_event(snapshot, source).model_dump_json().encode()


def model_schema() -> dict[str, Any]:
    """JSON Schema of the event."""
    return TypeAdapter(ModelPublished).json_schema(mode="serialization")


def _event_id(snapshot: Snapshot) -> str:
    # The moment tells two models apart of which Redis has lost the first.
    parts = (snapshot.segmentation, str(snapshot.version), str(snapshot.created_ms))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _id(number: int) -> SegmentId:
    return SegmentId(f"s{number}")


def _ids(numbers: tuple[int, ...]) -> tuple[SegmentId, ...]:
    return tuple(_id(number) for number in numbers)
