"""What one step does to customers: their new profiles, their changes, the counts that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.accumulators import update
from models.columns import EventColumns, Ints, Rows
from models.identifiers import CustomerId, segment_id
from models.population import in_sample
from models.profiles import DAY_MS, ProfileSchema
from models.scoring import NO_MOVES, Moves, expire, score, size_changes
from models.snapshots import Snapshot
from stream.batches import EventBatch, Reading
from stream.changes import (
    Change,
    ChangeData,
    Reason,
    SegmentRef,
    change_bytes,
    change_id,
    pack,
    utc,
)
from stream.store import UNASSIGNED, StoredProfile

SHORTEST_LOOK_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Taking:
    """A batch of a partition's events, the profiles of its customers, and when to score them."""

    partition: int
    batch: EventBatch
    rows: Rows
    now_ms: int


@dataclass(frozen=True, slots=True)
class Scored:
    """A step's content. `rows` are the profiles of `customers` as they are once it is durable."""

    customers: Sequence[CustomerId]
    rows: Rows
    profiles: Sequence[StoredProfile]
    sizes: dict[str, int]
    changes: Sequence[Change]
    pending: bytes
    duplicates: int = 0
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class _Occasion:
    """Why customers were scored; `causes` is the last event of each, by row."""

    partition: int
    reason: Reason
    now_ms: int
    model: Snapshot | None
    causes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepMaker:
    """Makes steps by one configuration.

    Parameters
    ----------
    source
        CloudEvents `source` of the changes.
    expire_after_ms
        A customer without an event for this long is forgotten.
    is_live
        Whether *now* is the wall clock, rather than the time of replayed events.
    """

    schema: ProfileSchema
    segmentation: str
    source: str
    reading: Reading
    expire_after_ms: int
    is_live: bool
    _names: dict[int, str] = field(default_factory=dict)

    @property
    def ttl_ms(self) -> int:
        """Backstop behind expiry: Redis itself drops what no sweep ever came to."""
        return 2 * self.expire_after_ms + 30 * DAY_MS

    def events(self, takings: Sequence[Taking], model: Snapshot | None) -> list[Scored]:
        """Take batches of several partitions into their profiles, and score those, all at once."""
        counts = [taking.rows.size for taking in takings]
        rows = np.concatenate([taking.rows for taking in takings])
        before = rows.copy()
        columns = EventColumns.concatenate([taking.batch.columns for taking in takings], counts)
        now_ms = np.repeat([taking.now_ms for taking in takings], counts)
        fresh = update(self.schema, rows, columns)
        moves = score(self.schema, model, rows, now_ms) if model else NO_MOVES
        scored, row, event = [], 0, 0
        for taking, count in zip(takings, counts, strict=True):
            batch, end = taking.batch, event + len(taking.batch.columns)
            causes = dict(zip(batch.columns.customer.tolist(), batch.event_ids, strict=True))
            occasion = _Occasion(taking.partition, "event", taking.now_ms, model, causes)
            part = slice(row, row + count)
            moved = moves.within(row, row + count)
            changes = self._changes(batch.customers, rows[part], moved, occasion)
            duplicates = int((~fresh[event:end]).sum())
            scored.append(
                self._scored(
                    batch.customers,
                    before[part],
                    rows[part],
                    changes,
                    taking.now_ms,
                    duplicates=duplicates,
                )
            )
            row, event = row + count, end
        return scored

    def again(
        self,
        partition: int,
        customers: Sequence[CustomerId],
        rows: Rows,
        *,
        model: Snapshot | None,
        now_ms: int,
        reason: Reason,
    ) -> Scored:
        """Score customers that no event speaks of; who was quiet for too long is forgotten."""
        before = rows.copy()
        gone = expire(self.schema, rows, now_ms, self.expire_after_ms)
        expiry = _Occasion(partition, "expired", now_ms, model)
        changes = self._changes(customers, rows, gone, expiry)
        moves = score(self.schema, model, rows, now_ms) if model else NO_MOVES
        changes += self._changes(
            customers, rows, moves, _Occasion(partition, reason, now_ms, model)
        )
        return self._scored(customers, before, rows, changes, now_ms, is_news=reason != "model")

    def sampled(self, scored: Scored, model: Snapshot | None) -> dict[CustomerId, bytes | None]:
        """Profiles to send to the trainer; None for customers who are gone."""
        threshold = model.sample_threshold if model else 1.0
        return {
            profile.customer: profile.blob if profile.due_ms is not None else None
            for profile in scored.profiles
            if (scored.is_news or profile.due_ms is None)
            and (threshold >= 1 or in_sample(profile.customer, threshold))
        }

    def _scored(
        self,
        customers: Sequence[CustomerId],
        before: Rows,
        rows: Rows,
        changes: list[Change],
        now_ms: int,
        *,
        duplicates: int = 0,
        is_news: bool = True,
    ) -> Scored:
        sizes = size_changes(before, rows)
        return Scored(
            customers=customers,
            rows=rows,
            profiles=self._profiles(customers, rows, now_ms),
            sizes={segment_id(number) or UNASSIGNED: by for number, by in sizes.items()},
            changes=changes,
            pending=pack([change_bytes(change) for change in changes]),
            duplicates=duplicates,
            is_news=is_news,
        )

    def _profiles(
        self, customers: Sequence[CustomerId], rows: Rows, now_ms: int
    ) -> list[StoredProfile]:
        # A row without a version was never a customer: its profile is gone from Redis already.
        living, known = (rows["first_ms"] > 0).tolist(), (rows["version"] > 0).tolist()
        due_ms = self._due(rows, now_ms).tolist()
        return [
            StoredProfile(customer, blob if lives or was else b"", due if lives else None)
            for customer, blob, due, lives, was in zip(
                customers, self.schema.encode(rows), due_ms, living, known, strict=True
            )
        ]

    def _due(self, rows: Rows, now_ms: int) -> Ints:
        """When to look again: less and less often the longer a customer is quiet."""
        quiet_ms = np.maximum(now_ms - rows["last_ms"], 0)
        look: Ints = now_ms + np.maximum(quiet_ms // 4, SHORTEST_LOOK_MS)
        end: Ints = np.maximum(rows["last_ms"] + self.expire_after_ms, now_ms + 1)
        return np.minimum(look, end)

    def _changes(
        self, customers: Sequence[CustomerId], rows: Rows, moves: Moves, occasion: "_Occasion"
    ) -> list[Change]:
        model = occasion.model
        if model:
            self._names.update((segment.number, segment.name) for segment in model.segments)
        changes = []
        for at, row in enumerate(moves.row.tolist()):
            customer, profile = customers[row], rows[row]
            version = int(profile["version"])
            incarnation = f"{occasion.partition}:{profile['incarnation']}"
            changes.append(
                Change(
                    id=change_id(self.segmentation, customer, incarnation, version),
                    source=self.source,
                    subject=customer,
                    time=utc(occasion.now_ms),
                    data=ChangeData(
                        segmentation=self.segmentation,
                        customer_id=customer,
                        origin=self._ref(int(moves.origin[at])),
                        target=self._ref(int(moves.target[at])),
                        reason=occasion.reason,
                        confidence=float(moves.confidence[at]),
                        runner_up=self._ref(int(moves.runner_up[at])),
                        margin=float(moves.margin[at]),
                        since=utc(int(profile["since_ms"])),
                        version=version,
                        model_version=model.version if model else 0,
                        cause_event_id=occasion.causes.get(row),
                    ),
                )
            )
        return changes

    def _ref(self, number: int) -> SegmentRef | None:
        public = segment_id(number)
        return SegmentRef(id=public, name=self._names.get(number, public)) if public else None
