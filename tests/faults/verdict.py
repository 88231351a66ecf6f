"""What Redis and Kafka hold, compared with the truth: everything, for every customer."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from config.segmentation import load_segmentation
from config.settings import Settings
from models.columns import Rows
from models.identifiers import CustomerId, segment_id
from models.profiles import DAY_MS
from models.scoring import present
from models.snapshots import Snapshot
from stream.catalogue import KEPT_MODELS, Catalogue
from stream.names import Keys
from stream.partitions import partitioner
from stream.store import size_field
from tests.faults.history import History, Told
from tests.faults.shop import Shop, Tally

EXAMPLES = 5
AT_ONCE = 1_000


@dataclass
class Verdict:
    """By how much the promise was broken; `examples` are a few words on the first findings.

    A bad message that was not set aside counts as lost. A page or a number of customers that does
    not go with the profiles counts as a missing change.
    """

    lost: int = 0
    double_counted: int = 0
    changes_missing: int = 0
    changes_conflicting: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether everything was counted once, whatever was told of it."""
        return not (self.lost or self.double_counted)

    @property
    def is_clean(self) -> bool:
        """Whether the whole promise is kept."""
        return self.is_exact and not (self.changes_missing or self.changes_conflicting)

    def counted(self, by: float, example: str) -> None:
        """Something was counted `by` times too often, too seldom where that is negative."""
        self.lost += round(max(-by, 0))
        self.double_counted += round(max(by, 0))
        if by:
            self._note(f"{example} (by {by:+g})")

    def missing(self, example: str) -> None:
        """A change was not told, or cannot be seen where it should."""
        self.changes_missing += 1
        self._note(example)

    def conflicting(self, example: str) -> None:
        """Something contradicts what was told."""
        self.changes_conflicting += 1
        self._note(example)

    def _note(self, example: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class Judge:
    """Compares; `history` must have been read to its end."""

    settings: Settings
    shop: Shop
    history: History
    catalogue: Catalogue

    def __post_init__(self) -> None:
        self._segmentation = load_segmentation(self.settings.segmentation)
        self._schema = self._segmentation.profile_schema()
        self._keys = Keys(self.settings.namespace)
        self._place = partitioner(self.settings.partitioner, self.settings.partitions)

    async def judge(self) -> Verdict:
        """Everything, compared."""
        verdict = Verdict()
        self._now_ms = self._clocks()
        sizes: Counter[str] = Counter()
        told_of = {name for _, name in self.history.told}
        names = iter(sorted(self.shop.truth.keys() | told_of))
        while chosen := list(islice(names, AT_ONCE)):
            rows, pages = await self._stored(chosen)
            for segmentation in self._schema.segmentations:
                self._compare_all(verdict, segmentation, chosen, rows, pages[segmentation])
                sizes += _sizes(rows, self._schema.segmentations.index(segmentation), segmentation)
            self._compare_counts(verdict, chosen, rows)
        self._compare_sizes(verdict, sizes, await self._stored_sizes())
        for segmentation in self._schema.segmentations:
            await self._compare_models(verdict, segmentation)
        bad = self.shop.bad
        verdict.counted(len(self.history.rejected) - bad, f"{bad} bad messages were sent")
        for conflict in self.history.conflicts:
            verdict.conflicting(conflict)
        return verdict

    def _clocks(self) -> Counter[int]:
        """The latest event of each partition, in epoch milliseconds."""
        clocks: Counter[int] = Counter()
        for name, tally in self.shop.truth.items():
            partition = self._place(name.encode())
            clocks[partition] = max(clocks[partition], tally.last_ms)
        return clocks

    def _compare_all(
        self,
        verdict: Verdict,
        segmentation: str,
        names: list[str],
        rows: Rows,
        pages: list[dict[str, str]],
    ) -> None:
        index = self._schema.segmentations.index(segmentation)
        for name, row, page in zip(names, rows, pages, strict=True):
            told = self.history.told.get((segmentation, name), Told())
            stored = int(row["version"][index]), segment_id(int(row["segment"][index]))
            self._compare_segments(verdict, f"{name} in {segmentation}", stored, page, told)

    async def _stored(self, names: list[str]) -> tuple[Rows, dict[str, list[dict[str, str]]]]:
        """Profile of each customer, and their pages in each segmentation."""
        ids = [CustomerId(name) for name in names]
        async with self.catalogue.redis.pipeline(transaction=False) as pipe:
            for name in ids:
                pipe.get(self._keys.profile(self._place(name.encode()), name))
            for segmentation in self._schema.segmentations:
                for name in ids:
                    pipe.hgetall(self._keys.segment(name, segmentation))
            replies = iter(await pipe.execute())
        rows = self._schema.decode(list(islice(replies, len(ids))))
        return rows, {
            segmentation: [
                {field.decode(): value.decode() for field, value in page.items()}
                for page in islice(replies, len(ids))
            ]
            for segmentation in self._schema.segmentations
        }

    def _compare_counts(self, verdict: Verdict, names: list[str], rows: Rows) -> None:
        vectors = self._schema.vectors(rows, int(rows["last_ms"].max(initial=0)))
        for name, row, vector in zip(names, rows, vectors, strict=True):
            tally = self.shop.truth.get(name, Tally())
            found, expected = row["first_ms"] > 0, tally.expected()
            if self._is_gone(name, tally):
                if found:
                    verdict.missing(f"{name} is still there")
                continue
            actual = np.round(vector[: len(expected)], 6).tolist()
            for at, (is_there, wanted) in enumerate(zip(actual, expected, strict=True)):
                feature = self._schema.names[at]
                verdict.counted(is_there - wanted, f"{name} {feature}: {is_there} for {wanted}")

    def _is_gone(self, name: str, tally: Tally) -> bool:
        now_ms = self._now_ms[self._place(name.encode())]
        return now_ms - tally.last_ms >= self._segmentation.expire_after_days * DAY_MS

    @staticmethod
    def _compare_segments(
        verdict: Verdict,
        name: str,
        stored: tuple[int, str | None],
        page: dict[str, str],
        told: Told,
    ) -> None:
        for at in told.missing:
            verdict.missing(f"{name} version {at} was never told")
        for at in told.broken:
            verdict.conflicting(f"{name} version {at} does not go on from the one before")
        version, segment = stored
        if version > told.version:
            verdict.missing(f"{name} has version {version}, {told.version} was told")
        elif version < told.version:
            verdict.conflicting(f"{name} has version {version}, {told.version} was told")
        elif segment != told.segment:
            verdict.conflicting(f"{name} is in {segment}, {told.segment} was told")
        shown = (int(page.get("version", 0)), page.get("id"))
        if shown != (told.version, told.segment):
            verdict.missing(f"{name}'s page shows {shown}, told {told.version, told.segment}")

    async def _stored_sizes(self) -> dict[str, int]:
        return {
            f"{segmentation}:{name}": size
            for segmentation in self._schema.segmentations
            for name, size in (
                await self.catalogue.sizes(range(self.settings.partitions), segmentation)
            ).items()
        }

    @staticmethod
    def _compare_sizes(verdict: Verdict, counted: Counter[str], stored: dict[str, int]) -> None:
        for segment in counted.keys() | stored.keys():
            if counted[segment] != stored.get(segment, 0):
                verdict.missing(
                    f"{counted[segment]} customers are in {segment}, "
                    f"{stored.get(segment, 0)} are counted"
                )

    async def _compare_models(self, verdict: Verdict, segmentation: str) -> None:
        """A later model never comes from an earlier trainer, and the one in force is there."""
        version = await self.catalogue.model_version(segmentation)
        epoch = 0
        kept = range(max(version - KEPT_MODELS, 0) + 1, version + 1)
        for model in await self._models(segmentation, kept):
            if model.epoch < epoch:
                verdict.conflicting(f"model {model.version} is of epoch {model.epoch} < {epoch}")
            epoch = model.epoch

    async def _models(self, segmentation: str, versions: range) -> list[Snapshot]:
        """Those that are kept; after Redis was emptied, numbers go on above a gap."""
        blobs = {at: await self.catalogue.model(at, segmentation) for at in versions}
        in_force = versions[-1] if versions else 0
        return [
            Snapshot.from_json(blob or b"")
            for at, blob in blobs.items()
            if blob is not None or at == in_force
        ]


def _sizes(rows: Rows, index: int, segmentation: str) -> Counter[str]:
    numbers = rows["segment"][present(rows), index].tolist()
    return Counter(size_field(segmentation, number) for number in numbers)
