"""From moves between segments to the changes that are told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.columns import Rows, pick
from models.editions import Edition
from models.identifiers import CustomerId, segment_id
from models.labels import Label
from models.scoring import Moves
from stream.changes import Change, ChangeData, Reason, SegmentRef, TargetRef, change_id, utc


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why customers were scored; `causes` is the last event of each, by row."""

    partition: int
    reason: Reason
    now_ms: int
    causes: Mapping[int, str] = field(default_factory=dict)


class ChangeMaker:
    """Words changes. It remembers what segments were called: one may be left that is no more.

    Parameters
    ----------
    source
        CloudEvents `source` of the changes.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._shown: dict[tuple[str, int], Label] = {}

    def make(
        self,
        customers: Sequence[CustomerId],
        rows: Rows,
        moves: Moves,
        edition: Edition,
        occasion: Occasion,
    ) -> list[Change]:
        """The changes of these moves; `rows` are the profiles of `customers`, after them."""
        if not moves.row.size:
            return []
        segmentation, index = edition.segmentation.name, edition.segmentation.index
        self._shown.update(
            ((segmentation, number), label) for number, label in edition.shown.items()
        )
        moved, time = pick(rows, moves.row), utc(occasion.now_ms)
        columns = (
            moves.row,
            moved["version"][:, index],
            moved["since_ms"][:, index],
            moved["incarnation"],
            moves.origin,
            moves.target,
            moves.runner_up,
            moves.confidence,
            moves.margin,
        )
        changes = []
        for (
            row,
            version,
            since_ms,
            incarnation,
            origin,
            target,
            runner_up,
            confidence,
            margin,
        ) in zip(*(column.tolist() for column in columns), strict=True):
            customer = customers[row]
            began = f"{occasion.partition}:{incarnation}"
            changes.append(
                Change(
                    id=change_id(segmentation, customer, began, version),
                    source=self._source,
                    subject=customer,
                    time=time,
                    data=ChangeData(
                        segmentation=segmentation,
                        customer_id=customer,
                        origin=self._ref(segmentation, origin),
                        target=self._target(segmentation, target),
                        reason=occasion.reason,
                        confidence=confidence,
                        runner_up=self._ref(segmentation, runner_up),
                        margin=margin,
                        since=utc(since_ms),
                        version=version,
                        model_version=edition.version,
                        cause_event_id=occasion.causes.get(row),
                    ),
                )
            )
        return changes

    def _ref(self, segmentation: str, number: int) -> SegmentRef | None:
        public = segment_id(number)
        label = self._shown.get((segmentation, number))
        return SegmentRef(id=public, name=label.name if label else public) if public else None

    def _target(self, segmentation: str, number: int) -> TargetRef | None:
        public = segment_id(number)
        label = self._shown.get((segmentation, number), Label())
        if public is None:
            return None
        return TargetRef(
            id=public,
            name=label.name or public,
            landing_page=label.landing_page,
            offer=label.offer,
            message=label.message,
            tags=label.tags,
        )
