"""The one who learns: a sample of customers in, published models out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from river.__version__ import __version__ as river_version

from models.assignment import nearest_centroid
from models.clusterers import CentroidClusterer, make_clusterer
from models.columns import Floats, Ints, Rows
from models.errors import ShoalError
from models.identifiers import CustomerId
from models.identity import match
from models.lloyd import best_start, inertia, lloyd, means, resize
from models.population import Population
from models.profiles import DAY_MS, ProfileSchema
from models.scaling import Scaler
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


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one publication learns from; scaled points of shape (n, n_features)."""

    rows: Rows
    vectors: Floats
    scaler: Scaler
    points: Floats


class Trainer:
    """Learns one segmentation from the profiles it is shown.

    Between publications the clusterer follows every profile; a publication computes all vectors
    at one moment, scales them anew, carries the clusters over by their members and settles on the
    sample. Segments keep their ids as long as they keep their members.

    Same seed and same calls, same snapshots. A first model, and the first after `resume` when
    nothing was observed since, does not depend on the order in which the profiles came.
    """

    def __init__(self, schema: ProfileSchema, config: TrainingConfig, seed: int = 0) -> None:
        self.schema = schema
        self.config = config
        self.seed = seed
        self.population = Population(schema)
        self.snapshot: Snapshot | None = None
        self._clusterer: CentroidClusterer | None = None
        self._updates = 0
        self._challenges = 0

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
    def threshold(self) -> float:
        """Part of all customers that is sampled, 0 to 1."""
        return self.population.threshold

    def observe(
        self, customers: Sequence[CustomerId], rows: Rows, now_ms: int | None = None
    ) -> None:
        """Take in the latest profiles, shape (n_customers,), and follow them.

        `now_ms` is when their vectors are computed, by default the latest event time.
        """
        rows = rows[self.population.upsert(customers, rows)]
        self._updates += len(rows)
        while self.customers > self.config.sample_target:
            self.population.lower(self.threshold / 2)
        if self._clusterer is None or self.snapshot is None or not len(rows):
            return
        vectors = self.schema.vectors(rows, self.latest_ms if now_ms is None else now_ms)
        names = self.schema.names
        for point in self.snapshot.scaler.transform(vectors).tolist():
            self._clusterer.learn_one(dict(zip(names, point, strict=True)))

    def forget(self, customers: Sequence[CustomerId]) -> None:
        """Take customers out of the sample, who are erased or gone."""
        self.population.remove(customers)

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
        self._updates = 0
        self._challenges = 0
        self._clusterer = None
        if snapshot.feature_names == self.schema.names:
            self._clusterer = self._make(len(snapshot.segments), snapshot.version)
            self._clusterer.start(snapshot.centroids)

    def due(self, now_ms: int) -> bool:
        """Whether a publication is worthwhile; `now_ms` is the time it would be computed at."""
        if self.customers < self.needed:
            return False
        if self.snapshot is None or self.snapshot.feature_names != self.schema.names:
            return True
        is_news = self._updates >= max(1.0, self.config.min_new_share * self.customers)
        # Quiet customers move by themselves: recency grows, counts fade.
        has_aged = now_ms - self.snapshot.now_ms >= self.config.refresh_days * DAY_MS
        return is_news or has_aged

    def train(self, now_ms: int, created_ms: int, epoch: int) -> Snapshot:
        """Publishable model of the sample at `now_ms`; the trainer goes on from it.

        Raises
        ------
        TooFewCustomersError
            When the sample is smaller than `needed`.
        """
        if self.customers < self.needed:
            raise TooFewCustomersError(self.customers, self.needed)
        config, before = self.config, self.snapshot
        version = before.version + 1 if before else 1
        rng = np.random.default_rng([self.seed, version])
        sample = self._sample(now_ms)

        start = self._start(sample, rng)
        clusterer = self._make(len(start), version)
        clusterer.start(start)
        if len(start) > 1:
            clusterer.refine(sample.points, config.iterations)
        centroids = clusterer.centroids
        labels = nearest_centroid(sample.points, centroids)
        if not (has_members := np.bincount(labels, minlength=len(centroids)) > 0).all():
            centroids = centroids[has_members]
            clusterer.start(centroids)
            labels = nearest_centroid(sample.points, centroids)

        matching = match(
            self._segments_before(sample),
            labels,
            before.numbers.tolist() if before else [],
            k=len(centroids),
            next_number=before.next_number if before else 1,
            keep_overlap=config.keep_overlap,
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
            segments=describe(
                self.schema.features,
                sample.points,
                labels,
                matching,
                before=before,
                version=version,
            ),
            next_number=matching.next_number,
            sample_threshold=self.threshold,
            margin=config.margin,
            retired=retire(matching, centroids, sample.scaler, before=before, version=version),
        )
        self.snapshot, self._clusterer, self._updates = snapshot, clusterer, 0
        return snapshot

    def _make(self, k: int, version: int) -> CentroidClusterer:
        return make_clusterer(self.config.algorithm, k, self.seed + version, self.schema.names)

    def _sample(self, now_ms: int) -> _Sample:
        rows = self.population.ordered()
        vectors = self.schema.vectors(rows, now_ms)
        scaler = Scaler.fit(self.schema.features, vectors)
        return _Sample(rows, vectors, scaler, scaler.transform(vectors))

    def _start(self, sample: _Sample, rng: np.random.Generator) -> Floats:
        """Where the clusterer starts: the carried clusters, or a fresh start that beat them.

        As many as configured, or as there are distinct points.
        """
        config, points = self.config, sample.points
        carried = self._carry(sample)
        restarts = config.challenger_restarts if len(carried) else config.restarts
        fresh = best_start(points, config.k, rng, restarts=restarts, iterations=config.iterations)
        if not len(carried):
            return fresh
        carried = lloyd(points, resize(points, carried, config.k, rng), config.iterations)
        is_better = inertia(points, fresh) < inertia(points, carried) * (1 - config.challenger_gain)
        self._challenges = self._challenges + 1 if is_better else 0
        if self._challenges < config.challenger_patience:
            return carried
        self._challenges = 0
        return fresh

    def _carry(self, sample: _Sample) -> Floats:
        """Means, in the new scaled space, of what the clusterer's clusters hold today."""
        if self.snapshot is None:
            return np.empty((0, len(self.schema.names)))
        if self._clusterer is not None:
            old_points = self.snapshot.scaler.transform(sample.vectors)
            labels: Ints = nearest_centroid(old_points, self._clusterer.centroids)
            kept = np.ones(len(labels), dtype=np.bool_)
        else:
            is_member = self._segments_before(sample)[:, np.newaxis] == self.snapshot.numbers
            labels, kept = is_member.argmax(axis=1), is_member.any(axis=1)
        carried, counts = means(sample.points[kept], labels[kept], len(self.snapshot.segments))
        return carried[counts > 0]

    def _segments_before(self, sample: _Sample) -> Numbers:
        """Each customer's segment by the model before; 0 for none, shape (n,).

        When the features have changed since, that model can place nobody: then it is the segment
        in which a worker last put each of them.
        """
        before = self.snapshot
        if before is None:
            return np.zeros(len(sample.rows), dtype=np.uint32)
        if before.feature_names != self.schema.names:
            return np.asarray(sample.rows["segment"], dtype=np.uint32)
        points = before.scaler.transform(sample.vectors)
        return before.numbers[nearest_centroid(points, before.centroids)]
