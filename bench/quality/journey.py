"""How near the published clusters are to an offline analyst's, on a year of real customers.

Complete Journey is replayed through the real segmenter. At each checkpoint everybody's vector of
that moment is clustered anew by scikit-learn's KMeans, and compared with the centroids that are in
force: both over the same matrix, in the scaled space of the published model.

The contenders are shown what the trainer is shown from February on, each vector scaled as the
model of that moment says. Each is compared with scikit-learn on the same matrix as ours, with as
many clusters as the contender has. Whoever is shown has just bought: that is why those who learn
from nothing else are far from what everybody is like at one moment.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from bench.quality.contenders import Contender, contenders
from config.segmentation import load_segmentation
from config.settings import DEFAULT_SEGMENTATION, load_settings
from models.assignment import nearest_centroid
from models.columns import Floats, Rows
from models.lloyd import inertia
from models.profiles import DAY_MS
from models.segmentation import Segmentation
from models.snapshots import Snapshot
from stream.rehearsal import Moment, Rehearsal
from stream.sources import SourceEvent, open_source

JANUARY_MS = 1_483_228_800_000
LEARNING_MS = JANUARY_MS + 31 * DAY_MS
FIRST_MS = JANUARY_MS + 59 * DAY_MS
LAST_MS = JANUARY_MS + 364 * DAY_MS
BATCH = 250


@dataclass(frozen=True, slots=True)
class Journey:
    """A figure for each checkpoint, divided by scikit-learn's (`n_init=10`).

    `river` holds the inertia of each contender by name, `clusters` how many clusters it had.
    """

    inertia: list[float] = field(default_factory=list)
    silhouette: list[float] = field(default_factory=list)
    river: dict[str, list[float]] = field(default_factory=dict)
    clusters: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one checkpoint to the next.

    `shown` are the points that the trainer was shown, each in the scaled space of its moment;
    `everybody` is the whole population at the end, in that of `model`, which was in force then.
    Both have shape (n, n_features).
    """

    shown: Floats
    everybody: Floats
    model: Snapshot


def measure(seed: int, checkpoints: int = 12) -> Journey:
    """The year 2017, with checkpoints evenly from March to the end of December.

    Raises
    ------
    SourceError
        The data are not installed.
    """
    config = load_segmentation(DEFAULT_SEGMENTATION)
    seeded = config.model.model_copy(update={"seed": seed})
    rehearsal = Rehearsal(load_settings(), config.model_copy(update={"model": seeded}))
    marks_ms = np.linspace(FIRST_MS, LAST_MS, checkpoints).astype(np.int64).tolist()
    events = open_source("completejourney")
    stretches = list(replayed(rehearsal, events, LEARNING_MS, marks_ms))
    return compared(stretches, seed)


def replayed(
    rehearsal: Rehearsal, events: Iterable[SourceEvent], learning_ms: int, marks_ms: Sequence[int]
) -> Iterator[Stretch]:
    """What happens up to each mark, from `learning_ms` on."""
    segmentation = rehearsal.maker.segmentations[0]
    shown: list[Floats] = []
    marks = deque(marks_ms)
    for moment in rehearsal.run(events):
        model = rehearsal.editions[0].model
        if model is None or moment.now_ms < learning_ms:
            continue
        there = moment.news[moment.news["first_ms"] > 0]
        shown.append(_points(model, segmentation, there, moment))
        if moment.now_ms >= marks[0]:
            everybody = _points(model, segmentation, rehearsal.rows, moment)
            yield Stretch(np.concatenate(shown), everybody, model)
            shown = []
            marks.popleft()
            if not marks:
                return


def _points(model: Snapshot, segmentation: Segmentation, rows: Rows, moment: Moment) -> Floats:
    return model.scaler.transform(segmentation.vectors(rows, moment.now_ms))


def compared(stretches: Sequence[Stretch], seed: int) -> Journey:
    """The figures of a replay."""
    journey = Journey()
    references: dict[tuple[int, int], KMeans] = {}

    def offline(at: int, k: int) -> KMeans:
        if (at, k) not in references:
            model = KMeans(k, n_init=10, random_state=seed)
            references[at, k] = model.fit(stretches[at].everybody)
        return references[at, k]

    # More threads than one wait for each other over matrices as small as these.
    with threadpool_limits(1):
        for at, stretch in enumerate(stretches):
            points, centroids = stretch.everybody, stretch.model.centroids
            ours, best = nearest_centroid(points, centroids), offline(at, len(centroids))
            journey.inertia.append(inertia(points, centroids) / best.inertia_)
            journey.silhouette.append(
                silhouette_score(points, ours) / silhouette_score(points, best.labels_)
            )
        k, width = stretches[0].model.centroids.shape
        # How far a customer is from the centre of a cluster, when all goes well.
        radius = float(np.sqrt(offline(0, k).inertia_ / len(stretches[0].everybody)))
        for name, contender in contenders(k, width, radius, seed).items():
            journey.river[name], journey.clusters[name] = [], []
            for at, stretch in enumerate(stretches):
                centres = taught(contender, stretch.shown)
                best = offline(at, len(centres))
                journey.river[name].append(inertia(stretch.everybody, centres) / best.inertia_)
                journey.clusters[name].append(len(centres))
    return journey


def taught(contender: Contender, points: Floats) -> Floats:
    """Centres of a contender after more points; one at the centre of the scale when it has none."""
    for batch in np.array_split(points, max(len(points) // BATCH, 1)):
        contender.learn(batch)
    centres = contender.centres()
    return centres if len(centres) else np.zeros((1, points.shape[1]))
