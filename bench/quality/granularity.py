"""Whether as many segments are found as there are personas.

Each population has three to eight of the eight personas, chosen at random, in parts that are drawn
at random too, none below 6 %. The trainer may choose between 3 and 12 segments.
"""

from dataclasses import dataclass

import numpy as np

from bench.quality.personas import Shop, mixed, reference_ari
from bench.quality.scenario import EVERYONE
from models.trainer import Trainer
from models.training import TrainingConfig

CUSTOMERS = 5_000
TRUTHS = range(3, 9)
POPULATIONS = 4
WARM_UP_DAYS = 60
MIN_SHARE = 0.06


@dataclass(frozen=True, slots=True)
class Count:
    """Personas of a population, the segments found, and how far apart the personas are.

    `reference` is the adjusted Rand index that assignment to the nearest true mean reaches.
    """

    truth: int
    found: int
    reference: float


def count(
    seed: int,
    customers: int = CUSTOMERS,
    populations: int = POPULATIONS,
    config: TrainingConfig | None = None,
) -> list[Count]:
    """Segments found in so many populations of each number of personas; same seed, same figures."""
    config = config or TrainingConfig(k="auto")
    random = np.random.default_rng(seed)
    counts = []
    for truth in TRUTHS:
        for _ in range(populations):
            shop = _population(truth, customers, random)
            trainer = Trainer(shop.segmentation, config, seed)
            trainer.observe(shop.customers, shop.rows, shop.now_ms)
            model = trainer.train(shop.now_ms, created_ms=shop.now_ms, epoch=1)
            reference = reference_ari(shop, model.scaler)
            counts.append(Count(truth, len(model.segments), reference))
    return counts


def _population(truth: int, customers: int, random: np.random.Generator) -> Shop:
    chosen = random.choice(len(EVERYONE), truth, replace=False).tolist()
    shares = MIN_SHARE + (1 - MIN_SHARE * truth) * random.dirichlet(np.full(truth, 2.0))
    seed = int(random.integers(2**31))
    shop = Shop([EVERYONE[at] for at in chosen], mixed(shares.tolist(), customers, seed), seed)
    shop.pass_time(WARM_UP_DAYS)
    return shop
