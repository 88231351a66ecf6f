"""What one step does to customers: their new profiles, their changes, the counts that follow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise, starmap

import numpy as np
from msgspec import structs

from models.accumulators import update
from models.columns import Floats, Ints, Rows, pick, whole
from models.editions import Edition, Editions, sample_threshold
from models.foresight import next_change, safe_until
from models.identifiers import CustomerId
from models.population import in_sample
from models.profiles import DAY_MS, ProfileSchema
from models.scoring import Moves, expire, present, regroupings, score, size_changes
from models.segmentation import Segmentation
from stream.batches import EventBatch, Reading, columns_of
from stream.change_maker import ChangeMaker, Occasion
from stream.changes import Change, Reason, change_bytes, pack
from stream.store import Showing, StoredProfile, size_field

SLACK = 0.01
"""Share of a quiet customer's wait that is left to search when it is over."""


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


@dataclass(frozen=True)
class StepMaker:
    """Makes steps by one configuration.

    Parameters
    ----------
    segmentations
        In the order of what profiles keep for each.
    change_maker
        Words what is told of it.
    expire_after_ms
        A customer without an event for this long is forgotten.
    is_live
        Whether *now* is the wall clock, rather than the time of replayed events.
    """

    schema: ProfileSchema
    segmentations: tuple[Segmentation, ...]
    change_maker: ChangeMaker
    reading: Reading
    expire_after_ms: int
    is_live: bool

    @property
    def ttl_ms(self) -> int:
        """Backstop behind expiry: Redis itself drops what no sweep ever came to."""
        return 2 * self.expire_after_ms + 30 * DAY_MS

    @property
    def nothing_yet(self) -> Editions:
        """What is in force before the first models."""
        return tuple(Edition(segmentation) for segmentation in self.segmentations)

    def events(self, takings: Sequence[Taking], editions: Editions) -> list[Scored]:
        """Take batches of several partitions into their profiles, and score those, all at once."""
        batches = [taking.batch for taking in takings]
        counts = [taking.rows.size for taking in takings]
        before = np.concatenate([whole(taking.rows) for taking in takings]).view(self.schema.dtype)
        rows = whole(before).copy().view(self.schema.dtype)
        columns = columns_of(batches, self.reading)
        now_ms = np.repeat([taking.now_ms for taking in takings], counts)
        fresh = update(self.schema, rows, columns)
        vectors = self.schema.vectors(rows, now_ms)
        moves = list(self._score(rows, editions, now_ms, vectors))
        due_ms = safe_until(editions, rows, now_ms, self.end_ms(rows, now_ms), vectors)
        everybody = [name for batch in batches for name in batch.customers]
        stored = self._stored(everybody, rows, due_ms)
        # Few move, and few lanes have anybody who does.
        moved = [(edition, found) for edition, found in moves if found.row.size]
        regrouped = regroupings(before, rows)
        was, became = pick(before, regrouped), pick(rows, regrouped)
        ends = regrouped.searchsorted([0, *accumulate(counts)]).tolist()
        scored, row, event = [], 0, 0
        for taking, count, theirs in zip(
            takings, counts, starmap(slice, pairwise(ends)), strict=True
        ):
            batch, end = taking.batch, event + len(taking.batch)
            part = slice(row, row + count)
            changes: list[Change] = []
            for edition, found in moved:
                here = found.within(row, row + count)
                if here.row.size:
                    causes = dict(zip(batch.customer, batch.event_ids, strict=True))
                    occasion = Occasion(taking.partition, "event", taking.now_ms, causes)
                    changes += self.change_maker.make(
                        batch.customers, rows[part], here, edition, occasion
                    )
            scored.append(
                Scored(
                    customers=batch.customers,
                    rows=rows[part],
                    profiles=stored[part],
                    sizes=self._sizes(was[theirs], became[theirs]),
                    changes=changes,
                    pending=_packed(changes),
                    duplicates=len(batch) - int(np.count_nonzero(fresh[event:end])),
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
        editions: Editions,
        now_ms: int,
        reason: Reason,
    ) -> Scored:
        """Score customers that no event speaks of; who was quiet for too long is forgotten."""
        before = whole(rows).copy().view(rows.dtype)
        gone = expire(self.schema, rows, now_ms, self.expire_after_ms)
        expiry = Occasion(partition, "expired", now_ms)
        occasion = Occasion(partition, reason, now_ms)
        changes: list[Change] = []
        for edition, left in zip(editions, gone, strict=True):
            changes += self.change_maker.make(customers, rows, left, edition, expiry)
        vectors = self.schema.vectors(rows, now_ms)
        for edition, moves in self._score(rows, editions, now_ms, vectors):
            changes += self.change_maker.make(customers, rows, moves, edition, occasion)
        # Time is worth a search for the moment; after a new model everybody is in a hurry.
        foresee = partial(next_change, slack=SLACK) if reason == "time" else safe_until
        due_ms = foresee(editions, rows, now_ms, self.end_ms(rows, now_ms))
        profiles = [
            structs.replace(profile, blob=None) if profile.blob == was else profile
            for profile, was in zip(
                self._stored(customers, rows, due_ms), self.schema.encode(before), strict=True
            )
        ]
        return Scored(
            customers=customers,
            rows=rows,
            profiles=profiles,
            sizes=self._sizes(before, rows),
            changes=changes,
            pending=_packed(changes),
            is_news=reason != "model",
        )

    def sampled(self, scored: Scored, editions: Editions) -> dict[CustomerId, bytes | None]:
        """Profiles to send to the trainer; None for customers who are gone.

        These are told of whether they are in the sample or not: it may have been larger.
        """
        threshold = sample_threshold(editions)
        return {
            profile.customer: profile.blob if profile.due_ms is not None else None
            for profile in scored.profiles
            if profile.due_ms is None
            or (
                scored.is_news
                and profile.blob is not None
                and (threshold >= 1 or in_sample(profile.customer, threshold))
            )
        }

    def showings(
        self, customers: Sequence[CustomerId], rows: Rows, editions: Editions
    ) -> list[Showing]:
        """How the segments of these customers are shown."""
        return [
            Showing(edition.segmentation.name, customer, version, edition.shown[number])
            for edition in editions
            for customer, version, number in zip(
                customers,
                rows["version"][:, edition.segmentation.index].tolist(),
                rows["segment"][:, edition.segmentation.index].tolist(),
                strict=True,
            )
            if number in edition.shown
        ]

    @staticmethod
    def _score(
        rows: Rows, editions: Editions, now_ms: int | Ints, vectors: Floats
    ) -> Iterator[tuple[Edition, Moves]]:
        """Score by every model in force."""
        for edition in editions:
            if edition.model and rows.size:
                moves = score(edition.segmentation, edition.model, rows, vectors, now_ms)
                yield edition, moves

    def _sizes(self, before: Rows, rows: Rows) -> dict[str, int]:
        """By how much each segment grew, by what Redis calls it."""
        if not rows.size:
            return {}
        return {
            size_field(segmentation.name, number): by
            for segmentation in self.segmentations
            for number, by in size_changes(before, rows, segmentation.index).items()
        }

    def stored(
        self, customers: Sequence[CustomerId], rows: Rows, now_ms: int
    ) -> list[StoredProfile]:
        """What is written of profiles that no model has scored."""
        return self._stored(customers, rows, self.end_ms(rows, now_ms))

    def end_ms(self, rows: Rows, now_ms: int | Ints) -> Ints:
        """When customers are forgotten if no event comes."""
        end: Ints = np.maximum(rows["last_ms"] + self.expire_after_ms, np.add(now_ms, 1))
        return end

    def _stored(
        self, customers: Sequence[CustomerId], rows: Rows, due_ms: Ints
    ) -> list[StoredProfile]:
        """What is written of these profiles, and when to look at them again."""
        # A row without a version was never a customer: its profile is gone from Redis already.
        living, known = present(rows).tolist(), np.any(rows["version"] > 0, axis=1).tolist()
        return [
            StoredProfile(customer, blob if lives or was else b"", due if lives else None)
            for customer, blob, due, lives, was in zip(
                customers, self.schema.encode(rows), due_ms.tolist(), living, known, strict=True
            )
        ]


def _packed(changes: Sequence[Change]) -> bytes:
    return pack([change_bytes(change) for change in changes])
