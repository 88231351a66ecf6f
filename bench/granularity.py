"""Which criterion finds as many groups as there are.

Two kinds of populations whose truth is known, three to eight personas each. `shop`: real events of
`bench.quality.personas`. `hard`: drawn features on purpose worse than those, with log-normal tails,
small counts, a trait that moves all features of a customer at once, 20 to 50 % features that tell
nothing (some with two bumps), and so much overlap that assignment to the nearest true mean reaches
an adjusted Rand index of 0.7 to 0.95 only. All criteria but the last three see the same k-means.

`--journey` tells what is chosen for Complete Journey, month by month, instead.

    python -m bench.granularity [--populations N] [--seed N] [--journey]
"""

from collections.abc import Callable, Iterator, Mapping
from time import process_time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)

from bench.quality.granularity import MIN_SHARE, TRUTHS, WARM_UP_DAYS
from bench.quality.journey import FIRST_MS, LAST_MS, LEARNING_MS, replayed
from bench.quality.personas import Shop, mixed
from bench.quality.scenario import EVERYONE
from config.segmentation import load_segmentation
from config.settings import DEFAULT_SEGMENTATION, load_settings
from models.columns import Floats, Ints
from models.features import Feature, Kind
from models.granularity import choose
from models.lloyd import best_start, inertia, means, nearest
from models.scaling import Scaler
from stream.rehearsal import Rehearsal
from stream.sources import open_source

K_MIN, K_MAX = 3, 12
KS = range(K_MIN, K_MAX + 1)
CUSTOMERS = 5_000
COMPARED = 1_000
RESTARTS, STEPS = 3, 30
Centroids = Mapping[int, Floats]
Criterion = Callable[[Floats, Centroids, np.random.Generator], int]


def best(score: Callable[[Floats, Ints], float]) -> Criterion:
    """The number of clusters with the highest score, on `COMPARED` customers."""

    def chosen(points: Floats, centroids: Centroids, rng: np.random.Generator) -> int:
        few = points[rng.choice(len(points), COMPARED, replace=False)]
        return max(KS, key=lambda k: score(few, nearest(few, centroids[k])))

    return chosen


def bic(points: Floats, centroids: Centroids, _: np.random.Generator) -> int:
    """Pelleg and Moore, 2000, "X-means": round clusters of one variance."""
    n, d = points.shape

    def score(k: int) -> float:
        labels = nearest(points, centroids[k])
        counts = np.bincount(labels, minlength=k)
        variance = inertia(points, centroids[k]) / (d * (n - k))
        likelihood = counts @ np.log(np.maximum(counts, 1) / n)
        likelihood -= n * d / 2 * np.log(2 * np.pi * variance) + d * (n - k) / 2
        return float(likelihood - (k * (d + 1)) / 2 * np.log(n))

    return max(KS, key=score)


def gap(points: Floats, centroids: Centroids, rng: np.random.Generator) -> int:
    """Tibshirani, Walther and Hastie, 2001, "Estimating the number of clusters", with 4 draws."""
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]
    turned = points @ axes.T
    drawn = [rng.uniform(turned.min(axis=0), turned.max(axis=0), turned.shape) for _ in range(4)]
    gaps, errors = {}, {}
    for k in KS:
        logs = [np.log(inertia(d, _kmeans(d, k, rng, restarts=1))) for d in drawn]
        gaps[k] = np.mean(logs) - np.log(inertia(points, centroids[k]))
        errors[k] = np.std(logs) * np.sqrt(1 + 1 / len(logs))
    enough = (k for k in KS[:-1] if gaps[k] >= gaps[k + 1] - errors[k + 1])
    return next(enough, K_MAX)


def _halved(
    points: Floats, rng: np.random.Generator, score: Callable[[Ints, Ints], float], least: float
) -> int:
    """The largest number whose clusters of one half and of the other agree on the other."""
    one, other = np.array_split(points[rng.permutation(len(points))], 2)
    agreed = {
        k: score(nearest(other, _kmeans(other, k, rng)), nearest(other, _kmeans(one, k, rng)))
        for k in KS
    }
    return max((k for k in KS if agreed[k] >= least), default=K_MIN)


def _pairs_kept(own: Ints, foreign: Ints) -> float:
    table = np.zeros((own.max() + 1, foreign.max() + 1))
    np.add.at(table, (own, foreign), 1)
    sizes = table.sum(axis=1)
    return float(((table * (table - 1)).sum(axis=1) / np.maximum(sizes * (sizes - 1), 1)).min())


def prediction_strength(points: Floats, _: Centroids, rng: np.random.Generator) -> int:
    """Tibshirani and Walther, 2005, "Cluster validation by prediction strength": 0.8 or more."""
    return _halved(points, rng, _pairs_kept, 0.8)


def stability(points: Floats, _: Centroids, rng: np.random.Generator) -> int:
    """The largest number whose clusters are found again with a Rand index of 0.8 or more."""
    return _halved(points, rng, lambda a, b: float(adjusted_rand_score(a, b)), 0.8)


def ours(points: Floats, _: Centroids, rng: np.random.Generator) -> int:
    """models.granularity."""
    return choose(points, k_min=K_MIN, k_max=K_MAX, rng=rng).k


CRITERIA: dict[str, Criterion] = {
    "silhouette": best(lambda p, labels: float(silhouette_score(p, labels))),
    "Calinski-Harabasz": best(lambda p, labels: float(calinski_harabasz_score(p, labels))),
    "Davies-Bouldin": best(lambda p, labels: -float(davies_bouldin_score(p, labels))),
    "BIC (x-means)": bic,
    "gap statistic": gap,
    "stability": stability,
    "prediction strength": prediction_strength,
    "gaps between segments (ours)": ours,
}


def _kmeans(points: Floats, k: int, rng: np.random.Generator, restarts: int = RESTARTS) -> Floats:
    return best_start(points, k, rng, restarts=restarts, iterations=STEPS)


def shop(truth: int, rng: np.random.Generator) -> Floats:
    """Customers of a shop with so many of the personas, in scaled space."""
    chosen = rng.choice(len(EVERYONE), truth, replace=False).tolist()
    shares = MIN_SHARE + (1 - MIN_SHARE * truth) * rng.dirichlet(np.full(truth, 2.0))
    seed = int(rng.integers(2**31))
    made = Shop([EVERYONE[i] for i in chosen], mixed(shares.tolist(), CUSTOMERS, seed), seed)
    made.pass_time(WARM_UP_DAYS)
    vectors = made.vectors()
    return Scaler.fit(made.segmentation.features, vectors).transform(vectors)


def hard(truth: int, rng: np.random.Generator) -> Floats:
    """Drawn features of so many personas, each of 5 to 40 % where that can be, in scaled space.

    Every persona has 60 % or more of its customers nearest to its own mean.
    """
    while True:
        shares = rng.dirichlet(np.full(truth, 3.0))
        if shares.min() < 0.05 or shares.max() > max(0.4, 1.6 / truth):
            continue
        persona = rng.choice(truth, CUSTOMERS, p=shares)
        told = int(rng.integers(4, 13))
        untold = max(1, round(told * rng.uniform(0.25, 1.0)))
        centres = rng.normal(size=(truth, told))
        spread = rng.uniform(0.6, 1.4, (truth, told)) * rng.uniform(0.7, 1.4, (truth, 1))
        busy = rng.normal(size=(CUSTOMERS, 1)) * rng.uniform(-0.5, 0.5, told)
        around = (rng.normal(size=(CUSTOMERS, told)) + busy) * spread[persona]
        is_linear, is_count = rng.random((2, told)) < [[0.2], [0.3]]
        noise = _noise(untold, rng)
        seed, target = int(rng.integers(2**31)), rng.uniform(0.7, 0.95)
        low, high = 0.1, 8.0
        for _ in range(12):
            factor = np.sqrt(low * high)
            logs = factor * centres[persona] + around
            values = np.exp(np.where(is_linear, 0.4, 1.0) * logs + ~is_linear)
            counted = np.random.default_rng(seed).poisson(np.minimum(values, 1e6))
            values = np.hstack([np.where(is_count, counted, values), noise])
            points = _scaled(values, [*is_linear, *[False] * untold])
            own, _ = means(points, persona, truth)
            found = nearest(points, own)
            reached = adjusted_rand_score(persona, found)
            low, high = (factor, high) if reached < target else (low, factor)
        recall = min(float((found[persona == i] == i).mean()) for i in range(truth))
        if abs(reached - target) < 0.02 and recall >= 0.6:
            return points


def _noise(features: int, rng: np.random.Generator) -> Floats:
    draws: list[Callable[[], Floats]] = [
        lambda: rng.lognormal(1, 1, CUSTOMERS),
        lambda: rng.poisson(rng.gamma(1, rng.uniform(0.5, 5), CUSTOMERS)).astype(np.float64),
        lambda: rng.lognormal(1, 1, CUSTOMERS) * (rng.random(CUSTOMERS) < rng.uniform(0.1, 0.4)),
        lambda: rng.uniform(0, 5, CUSTOMERS),
    ]
    return np.stack([draws[int(rng.integers(len(draws)))]() for _ in range(features)], axis=1)


def _scaled(values: Floats, is_linear: list[bool]) -> Floats:
    features = [
        Feature(f"f{i}", Kind.COUNT, scale="linear" if linear else "log")
        for i, linear in enumerate(is_linear)
    ]
    return Scaler.fit(features, values).transform(values)


def journey() -> Iterator[tuple[int, str]]:
    """The number chosen at the end of each month, and the reason, the month before in force."""
    rehearsal = Rehearsal(load_settings(), load_segmentation(DEFAULT_SEGMENTATION))
    marks_ms = np.linspace(FIRST_MS, LAST_MS, 11).astype(np.int64).tolist()
    current: int | None = None
    for stretch in replayed(rehearsal, open_source("completejourney"), LEARNING_MS, marks_ms):
        rng = np.random.default_rng(0)
        found = choose(stretch.everybody, k_min=K_MIN, k_max=K_MAX, rng=rng, current=current)
        current = found.k
        scores = " ".join(f"{k}:{score:.2f}" for k, score in found.scores)
        yield found.k, f"{found.reason} ({scores})"


def compare(populations: int, seed: int) -> Table:
    """Error of each criterion over so many populations of each kind and number of personas."""
    table = Table(title=f"{populations * len(TRUTHS)} populations of each kind, seed {seed}")
    for heading in ("criterion", "kind", "mean error", "within 1", "worst", "fewer", "more", "CPU"):
        table.add_column(heading)
    errors: dict[tuple[str, str], list[int]] = {}
    seconds: dict[tuple[str, str], float] = {}
    for kind, make in {"shop": shop, "hard": hard}.items():
        for at in track(range(populations * len(TRUTHS)), kind, console=Console(stderr=True)):
            truth = TRUTHS[at % len(TRUTHS)]
            rng = np.random.default_rng([seed, at])
            points = make(truth, rng)
            centroids = {k: _kmeans(points, k, rng) for k in KS}
            for name, criterion in CRITERIA.items():
                start = process_time()
                errors.setdefault((name, kind), []).append(
                    criterion(points, centroids, rng) - truth
                )
                took = seconds.get((name, kind), 0.0) + process_time() - start
                seconds[name, kind] = took
    for (name, kind), found in errors.items():
        off = np.array(found)
        table.add_row(
            name,
            kind,
            f"{abs(off).mean():.2f}",
            f"{(abs(off) <= 1).mean():.0%}",
            f"{abs(off).max()}",
            f"{(off < -1).mean():.0%}",
            f"{(off > 1).mean():.0%}",
            f"{seconds[name, kind] / off.size:.2f} s",
        )
    return table


def main(
    *,
    populations: Annotated[int, typer.Option(min=1, help="Of each kind and number")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same figures")] = 1,
    real: Annotated[bool, typer.Option("--journey", help="Complete Journey instead")] = False,
) -> None:
    """Compare the criteria."""
    console = Console()
    if real:
        for month, (k, reason) in enumerate(journey()):
            console.print(f"{month + 2:2} months: k = {k}, {reason}")
        return
    console.print(compare(populations, seed))


if __name__ == "__main__":
    typer.run(main)
