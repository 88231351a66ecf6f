"""Whether customers on a border stay where they are, and those who move are followed.

Borders are those of a model that the real trainer has published. On the middle of each stand
customers whose vectors jitter from event to event by a third of the margin, and less in two of
three cases. The model is then held while time passes in the shop, and half of the customers of
one persona take on the ways of another: a move is real once the vector lies beyond the margin.
"""

from dataclasses import dataclass

import numpy as np

from bench.quality.personas import Shop
from bench.quality.scenario import full_shop
from models.assignment import assign, distances_to
from models.columns import Bools, Floats
from models.scoring import score
from models.snapshots import Numbers, Snapshot
from models.trainer import Trainer
from models.training import TrainingConfig

BORDER_CUSTOMERS = 200
BORDER_EVENTS = 100
WARM_UP_DAYS = 60
WATCHED_DAYS = 8
STEP_DAYS = 0.04
"""So short that hardly anybody has two events in a step."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """Changes of segment with the nearest centroid alone and with hysteresis.

    `border_*` are of the customers on borders, `shop_*` of everybody in the shop,
    where some do move. `follow_events` is the most of a customer's events from the one that
    brought the vector beyond the margin to the one that told the change, both counted.
    """

    borders: int
    border_nearest: int
    border_ours: int
    shop_nearest: int
    shop_ours: int
    follow_events: int

    @property
    def reduction(self) -> float:
        """How many times fewer changes there are on the borders."""
        return self.border_nearest / max(self.border_ours, 1)


def flap(seed: int, customers: int, config: TrainingConfig | None = None) -> Flapping:
    """Watch the borders of a model, then the shop under it; same seed, same figures."""
    shop = full_shop(customers, seed)
    shop.pass_time(WARM_UP_DAYS)
    present = np.flatnonzero(shop.present)
    trainer = Trainer(shop.segmentation, config or TrainingConfig(k="auto"), seed)
    trainer.observe(shop.names(present), shop.rows[present], shop.now_ms)
    model = trainer.train(shop.now_ms, created_ms=shop.now_ms, epoch=1)
    borders = borders_of(model)
    random = np.random.default_rng(seed)
    on_borders = [_jitter(model, model.centroids[[a, b]], random) for a, b in borders]
    shop_nearest, shop_ours, follow_events = _live(shop, model)
    return Flapping(
        borders=len(borders),
        border_nearest=sum(nearest for nearest, _ in on_borders),
        border_ours=sum(ours for _, ours in on_borders),
        shop_nearest=shop_nearest,
        shop_ours=shop_ours,
        follow_events=follow_events,
    )


def borders_of(model: Snapshot) -> list[tuple[int, int]]:
    """Pairs of centroids that have a border: nobody else is as near to the middle between them."""
    pairs = np.argwhere(np.triu(np.ones((len(model.centroids),) * 2), 1))
    middles = model.centroids[pairs].mean(axis=1)
    distances = distances_to(middles, model.centroids)
    halves = np.linalg.norm(model.centroids[pairs[:, 0]] - model.centroids[pairs[:, 1]], axis=1) / 2
    third = np.partition(distances, 2, axis=1)[:, 2] if len(model.centroids) > 2 else np.inf
    return [(int(a), int(b)) for a, b in pairs[third > halves * (1 + 2 * model.margin)]]


def _jitter(model: Snapshot, pair: Floats, random: np.random.Generator) -> tuple[int, int]:
    """Changes on one border, with the nearest centroid alone and with hysteresis.

    At a distance x from the middle, towards one of two centroids D apart, the margin is 2x / D.
    """
    deviation = model.margin / 3 * np.linalg.norm(pair[0] - pair[1]) / 2
    shape = (BORDER_EVENTS, BORDER_CUSTOMERS, pair.shape[1])
    points = pair.mean(axis=0) + random.normal(0.0, deviation, shape)
    ours = nearest = np.empty(0, dtype=np.uint32)
    changes = np.zeros(2, dtype=np.int64)
    for step, vectors in enumerate(map(model.scaler.inverse, points)):
        no_one = np.zeros(BORDER_CUSTOMERS, dtype=np.uint32)
        nearest_now = assign(model, vectors, no_one).segment
        ours_now = assign(model, vectors, ours if step else no_one).segment
        if step:
            changes += ((nearest_now != nearest).sum(), (ours_now != ours).sum())
        nearest, ours = nearest_now, ours_now
    return int(changes[0]), int(changes[1])


def _live(shop: Shop, model: Snapshot) -> tuple[int, int, int]:
    """Changes with the nearest centroid alone, with hysteresis, and most events until one is told.

    Who has an event is scored, as by a worker.
    """
    movers = shop.members(0)
    shop.truth[movers[: movers.size // 2]] = 1
    score(shop.segmentation, model, shop.rows, shop.vectors(), shop.now_ms)
    nearest = shop.segmentation.numbers(shop.rows).copy()
    beyond_since = np.full(nearest.size, -1)
    nearest_changes = our_changes = follow_events = 0
    for _ in range(round(WATCHED_DAYS / STEP_DAYS)):
        before = shop.events.copy()
        active = shop.pass_time(STEP_DAYS)
        rows = shop.rows[active]
        vectors = shop.segmentation.vectors(rows, shop.now_ms)
        own = shop.segmentation.numbers(rows).copy()
        nearest_now, is_beyond = _seen(model, vectors, own)
        nearest_changes += int((nearest_now != nearest[active]).sum())
        nearest[active] = nearest_now

        since = beyond_since[active]
        since = np.where(is_beyond, np.where(since < 0, before[active], since), -1)
        beyond_since[active] = since
        moved = score(shop.segmentation, model, rows, vectors, shop.now_ms).row
        shop.rows[active] = rows
        our_changes += moved.size
        took = (shop.events[active] - since)[is_beyond]
        follow_events = max(follow_events, int(took.max(initial=0)))
        beyond_since[active[moved]] = -1
    return nearest_changes, our_changes, follow_events


def _seen(model: Snapshot, vectors: Floats, own: Numbers) -> tuple[Numbers, Bools]:
    """The nearest segment of each vector, and whether it lies beyond the margin of its own."""
    distances = distances_to(model.scaler.transform(vectors), model.centroids)
    nearest = distances.min(axis=1)
    to_own = distances[own[:, np.newaxis] == model.numbers]
    is_beyond: Bools = to_own - nearest > model.margin * (to_own + nearest)
    return model.numbers[distances.argmin(axis=1)], is_beyond
