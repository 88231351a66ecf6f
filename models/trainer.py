"""The one who learns: a sample of customers in, published models out."""

from collections.abc import Mapping, Sequence

import numpy as np
from river.__version__ import __version__ as river_version

from models.assignment import distances_to, nearest_centroid
from models.clusterers import CentroidClusterer, make_clusterer
from models.columns import Floats, Ints, Rows, pick
from models.errors import ShoalError
from models.hierarchy import arrange
from models.identifiers import CustomerId
from models.identity import match
from models.lineage import Reason
from models.lloyd import means
from models.occasion import Occasion
from models.population import Population
from models.sample import Regulars, Sample
from models.segmentation import Segmentation
from models.settling import Settler
from models.snapshots import Numbers, Snapshot
from models.succession import describe, retire
from models.training import TrainingConfig


class TooFewCustomersError(ShoalError):
    """There is nobody, or nothing, to learn from."""

    def __init__(self, customers: int, needed: int) -> None:
        super().__init__(
            f"{customers} customers are too few to learn from, {needed} are needed: "
            "send more events, or lower min_customers"
        )
        self.customers = customers
        self.needed = needed


class WrongSegmentationError(ShoalError):
    """A trainer was asked to go on from the model of another segmentation."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(
            f"the model is of segmentation {found!r}, this trainer learns {expected!r}: "
            "use the segmentation's own model"
        )
        self.found = found
        self.expected = expected


class Trainer:
    """Learns one segmentation from the profiles it is shown.

    Between publications the clusterer follows every profile; a publication computes all vectors
    at one moment, carries the clusters over by their members and settles on the sample. Scaler
    and centroids stay exactly as they are while they fit about as well as new ones would, so that
    nobody changes segment for nothing. Segments keep their ids as long as they keep their members.

    Same seed and same calls, same snapshots. A first model, and the first after `resume` when
    nothing was observed since, does not depend on the order in which the profiles came.
    """

    def __init__(self, segmentation: Segmentation, config: TrainingConfig, seed: int = 0) -> None:
        self.segmentation = segmentation
        self.config = config
        self.seed = seed
        self.population = Population(segmentation.schema)
        self.snapshot: Snapshot | None = None
        self.reserved: Mapping[int, str] = {}
        """Names that operators have given, by segment number."""
        self._clusterer: CentroidClusterer | None = None
        self._occasion = Occasion(config)
        self._settler = Settler(config, segmentation.names)
        self._regulars = Regulars()
        self._told = (0, 0)

    @property
    def customers(self) -> int:
        """Customers in the sample."""
        return len(self.population)

    @property
    def needed(self) -> int:
        """Customers that the first model waits for."""
        return max(self.config.min_customers, 1)

    @property
    def latest_ms(self) -> int:
        """Event time of the sample: what *now* is in a replay."""
        return self.population.latest_ms

    @property
    def distance(self) -> float:
        """How far customers lately were from their centroids, 0 to 1; 0 before the first."""
        return self._occasion.distance

    @property
    def threshold(self) -> float:
        """Part of all customers that is sampled, 0 to 1."""
        return self.population.threshold

    def observe(
        self, customers: Sequence[CustomerId], rows: Rows, now_ms: int | None = None
    ) -> None:
        """Take in the latest profiles, shape (n_customers,), and follow them.

        `now_ms` is when their vectors are computed, by default the latest event time.
        """
        before = self.customers
        rows = pick(rows, self.population.upsert(customers, rows))
        self._occasion.changed(abs(self.customers - before))
        while self.customers > self.config.sample_target:
            self.population.lower(self.threshold / 2)
        if self._clusterer is None or self.snapshot is None or not len(rows):
            return
        vectors = self.segmentation.vectors(rows, self.latest_ms if now_ms is None else now_ms)
        points = self.snapshot.scaler.transform(vectors)
        distances = distances_to(points, self.snapshot.centroids)
        self._occasion.moved(distances, self.snapshot.scaler.spread)
        self._clusterer.follow(points)

    def forget(self, customers: Sequence[CustomerId]) -> None:
        """Take customers out of the sample, who are erased or gone."""
        before = self.customers
        self.population.remove(customers)
        self._occasion.changed(before - self.customers)

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a published model: same ids, names and version count.

        Raises
        ------
        WrongSegmentationError
            When the model is of another segmentation.
        """
        if snapshot.segmentation != self.config.segmentation:
            raise WrongSegmentationError(snapshot.segmentation, self.config.segmentation)
        self.snapshot = snapshot
        self.population.lower(snapshot.sample_threshold)
        self._occasion.resumed(snapshot, self.customers)
        self._settler.forget()
        self._clusterer = None
        if snapshot.feature_names == self.segmentation.names:
            self._clusterer = make_clusterer(
                self.config.algorithm,
                len(snapshot.segments),
                self.seed + snapshot.version,
                self.segmentation.names,
            )
            self._clusterer.start(snapshot.centroids)

    def begin_above(self, version: int, number: int) -> None:
        """Leave out model versions and segment numbers up to these: somebody was told of them."""
        self._told = (version, number)

    def due(self, now_ms: int) -> Reason | None:
        """Why a publication is worthwhile, None when it is not.

        `now_ms` is the time it would be computed at; who has expired by then leaves the sample.
        """
        self._expire(now_ms)
        if self.customers < self.needed:
            return None
        if self.snapshot is None:
            return "first"
        return self._occasion.reason(
            self.snapshot,
            self.customers,
            now_ms,
            is_measured=self.snapshot.scaler.measures(self.segmentation.features),
            is_challenged=self._settler.is_challenged,
        )

    def train(
        self, now_ms: int, created_ms: int, epoch: int, reason: Reason | None = None
    ) -> Snapshot:
        """Publishable model of the sample at `now_ms`; the trainer goes on from it.

        `reason` is why, by default what `due` says; a model that was not due counts as `time`.

        Raises
        ------
        TooFewCustomersError
            When the sample is smaller than `needed`.
        """
        reason = reason or self.due(now_ms) or "time"
        self._expire(now_ms)
        if self.customers < self.needed:
            raise TooFewCustomersError(self.customers, self.needed)
        config, before = self.config, self.snapshot
        version = max(before.version if before else 0, self._told[0]) + 1
        sample = Sample.take(
            self.population,
            self.segmentation,
            now_ms,
            scaler=before.scaler if before else None,
            slack=config.slack,
        )
        models = self._regulars.models(sample.hashes)
        settled = self._settler.settle(
            sample.points,
            self._carry(sample),
            before.centroids if before and before.scaler is sample.scaler else None,
            np.random.default_rng([self.seed, version]),
            redrawn=float((models == 0).mean()),
        )
        centroids = settled.centroids
        labels = nearest_centroid(sample.points, centroids)
        matching = match(
            self._segments_before(sample),
            labels,
            before.numbers.tolist() if before else [],
            k=len(centroids),
            next_number=max(before.next_number if before else 1, self._told[1] + 1),
            keep_overlap=config.keep_overlap,
            weights=models,
        )
        retired = retire(matching, centroids, sample.scaler, before=before, version=version)
        segments = describe(
            self.segmentation.features,
            sample.points,
            labels,
            matching,
            before=before,
            version=version,
            crowd=sample.crowd,
            reserved=self.reserved,
        )
        groups, next_group = arrange(
            segments,
            centroids,
            before=before.groups if before else (),
            matching=matching,
            next_group=before.next_group if before else 1,
        )
        snapshot = Snapshot(
            segmentation=config.segmentation,
            version=version,
            epoch=epoch,
            created_ms=created_ms,
            now_ms=now_ms,
            customers=self.customers,
            algorithm=config.algorithm,
            river_version=river_version,
            scaler=sample.scaler,
            centroids=centroids,
            segments=segments,
            next_number=matching.next_number,
            sample_threshold=self.threshold,
            margin=config.margin,
            retired=retired,
            reason=reason,
            lineage=matching.lineage(
                before.version if before else 0,
                [(r.number, r.successor) for r in retired if r.version == version],
            ),
            granularity=settled.granularity,
            groups=groups,
            next_group=next_group,
        )
        self.snapshot, self._clusterer = snapshot, settled.clusterer
        self._regulars.take_part(sample.hashes)
        self._occasion.settled(reason, is_new=not settled.held)
        return snapshot

    def _expire(self, now_ms: int) -> None:
        before = self.customers
        self.population.expire(now_ms - self.config.expire_after_ms)
        self._occasion.changed(before - self.customers)

    def _carry(self, sample: Sample) -> Floats:
        """Means, in the new scaled space, of what the clusterer's clusters hold today."""
        if self.snapshot is None:
            return np.empty((0, len(self.segmentation.names)))
        if self._clusterer is not None:
            old_points = self.snapshot.scaler.transform(sample.vectors)
            labels: Ints = nearest_centroid(old_points, self._clusterer.centroids)
            kept = np.ones(len(labels), dtype=np.bool_)
        else:
            is_member = self._segments_before(sample)[:, np.newaxis] == self.snapshot.numbers
            labels, kept = is_member.argmax(axis=1), is_member.any(axis=1)
        carried, counts = means(sample.points[kept], labels[kept], len(self.snapshot.segments))
        return carried[counts > 0]

    def _segments_before(self, sample: Sample) -> Numbers:
        """Each customer's segment by the model before; 0 for none, shape (n,).

        When the features have changed since, that model can place nobody: then it is the segment
        in which a worker last put each of them.
        """
        before = self.snapshot
        if before is None:
            return np.zeros(len(sample.rows), dtype=np.uint32)
        if before.feature_names != self.segmentation.names:
            return self.segmentation.numbers(sample.rows)
        points = before.scaler.transform(sample.vectors)
        return before.numbers[nearest_centroid(points, before.centroids)]
