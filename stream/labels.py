"""What operators attach to segments, kept in Redis where workers and pages find it."""

import logging
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.identifiers import SegmentId, segment_id, segment_number
from models.labels import Label, LabelBook
from models.naming import MAX_NAME
from stream import scripts
from stream.cluster import RedisClient
from stream.names import Keys
from stream.sender import Sender

log = logging.getLogger(__name__)

REVISION = b"revision"
_NOT_IN_A_LINE = {"Cc", "Cs", "Zl", "Zp"}


def _one_line(text: str) -> str:
    text = text.strip()
    if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValueError("takes one line of text")
    return text


def _page(address: str) -> str:
    if address and not re.match(r"(https?://|/)\S+$|/$", address):
        raise ValueError("takes https://…, http://… or /…, without blanks")
    return address


Line = Annotated[str, AfterValidator(_one_line)]
Tag = Annotated[Line, Field(min_length=1, max_length=64)]


class LabelFields(BaseModel):
    """A label as a person writes it; what is left out is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Line, Field(max_length=MAX_NAME)] = ""
    landing_page: Annotated[Line, Field(max_length=2_000), AfterValidator(_page)] = ""
    offer: Annotated[Line, Field(max_length=200)] = ""
    message: Annotated[Line, Field(max_length=1_000)] = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()

    def label(self) -> Label:
        """The same for the core."""
        return Label(self.name, self.landing_page, self.offer, self.message, self.tags)


class Labels:
    """The labels of all segmentations, in Redis."""

    def __init__(self, redis: RedisClient, keys: Keys, *, replicas: int = 0) -> None:
        # redis-py cannot tell its types that nothing is decoded here.
        self._redis: Any = redis
        self._keys = keys
        self._send = Sender(redis, replicas=replicas)

    async def revision(self, segmentation: str) -> int:
        """How often labels were changed."""
        return int(await self._redis.hget(self._keys.labels(segmentation), REVISION) or 0)

    async def load(self, segmentation: str) -> LabelBook:
        """The labels of a segmentation."""
        found = await self._redis.hgetall(self._keys.labels(segmentation))
        revision = int(found.pop(REVISION, 0))
        labels: dict[int, Label] = {}
        for name, blob in found.items():
            try:
                number = segment_number(SegmentId(name.decode()))
                labels[number] = LabelFields.model_validate_json(blob).label()
            except ValueError as error:
                log.warning("label %r of %s is left out: %s", name, segmentation, error)
        return LabelBook(revision, labels)

    async def write(self, segmentation: str, labels: Mapping[int, Label], *, revision: int) -> bool:
        """Put labels in place of those that segments have; an empty one takes them away.

        Returns
        -------
        False, with nothing written, when somebody else has changed labels since `revision`.
        """
        args: list[Any] = [revision]
        for number, label in labels.items():
            args += [segment_id(number), "" if label == Label() else _json(label)]
        key = self._keys.labels(segmentation)
        return bool(await self._send.run(scripts.WRITE_LABELS, [key], args))


def _json(label: Label) -> str:
    fields = LabelFields(
        name=label.name,
        landing_page=label.landing_page,
        offer=label.offer,
        message=label.message,
        tags=label.tags,
    )
    return fields.model_dump_json(exclude_defaults=True)
