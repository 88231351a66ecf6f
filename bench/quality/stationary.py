"""Whether segments stay themselves when nothing happens but publications.

Profiles and *now* are frozen. Before each of the forced publications the sample is drawn again:
half of the customers, at random. Every fifth time the trainer is a new one, with another seed,
that goes on from the stored model, as after a restart or under a new leader. Everybody is scored
by every model, with the hysteresis that workers have.
"""

from dataclasses import dataclass

import numpy as np

from bench.quality.personas import Shop
from bench.quality.scenario import full_shop
from models.columns import Ints
from models.scoring import score
from models.snapshots import Snapshot
from models.trainer import Trainer
from models.training import TrainingConfig

PUBLICATIONS = 50
RESTART_EVERY = 5
WARM_UP_DAYS = 60


@dataclass(frozen=True, slots=True)
class Stillness:
    """What changed over all publications together.

    `ids_changed` counts ids that came or went; `moves` how often a customer's segment changed
    after the first model, summed over publications.
    """

    customers: int
    publications: int
    ids_changed: int
    moves: tuple[int, ...]

    @property
    def churn_ratio(self) -> float:
        """Changes of a segment per customer; a customer who comes back has changed twice."""
        return sum(self.moves) / self.customers


def stand_still(
    seed: int,
    customers: int,
    publications: int = PUBLICATIONS,
    config: TrainingConfig | None = None,
) -> Stillness:
    """Publish again and again for customers who do nothing; same seed, same figures."""
    shop = full_shop(customers, seed)
    shop.pass_time(WARM_UP_DAYS)
    everybody = np.flatnonzero(shop.present)
    config = config or TrainingConfig(k="auto", sample_target=customers)
    random = np.random.default_rng(seed)
    trainer = Trainer(shop.segmentation, config, seed)
    sampled = _redraw(trainer, shop, everybody[:0], everybody, random)
    before = _publish(trainer, shop, epoch=1)
    ids_changed, moves = 0, []
    for number in range(1, publications + 1):
        if number % RESTART_EVERY == 0:
            trainer = Trainer(shop.segmentation, config, seed + number)
            trainer.resume(Snapshot.from_json(before.to_json()))
            sampled = everybody[:0]
        sampled = _redraw(trainer, shop, sampled, everybody, random)
        old = shop.segmentation.numbers(shop.rows).copy()
        after = _publish(trainer, shop, epoch=number + 1)
        moves.append(int((shop.segmentation.numbers(shop.rows) != old).sum()))
        ids_changed += len(set(before.numbers.tolist()) ^ set(after.numbers.tolist()))
        before = after
    return Stillness(everybody.size, publications, ids_changed, tuple(moves))


def _redraw(
    trainer: Trainer, shop: Shop, old: Ints, everybody: Ints, random: np.random.Generator
) -> Ints:
    """Half of the customers, whom the trainer now knows instead of those before."""
    new = random.choice(everybody, everybody.size // 2, replace=False)
    trainer.forget(shop.names(np.setdiff1d(old, new)))
    trainer.observe(shop.names(new), shop.rows[new], shop.now_ms)
    return new


def _publish(trainer: Trainer, shop: Shop, epoch: int) -> Snapshot:
    model = trainer.train(shop.now_ms, created_ms=shop.now_ms, epoch=epoch)
    score(shop.segmentation, model, shop.rows, shop.vectors(), shop.now_ms)
    return model
