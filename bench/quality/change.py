"""Whether segments follow when the customers' true groups change, and stay themselves elsewhere.

A persona is born (its customers come within a day), one drifts, two merge, a season peaks for all
and a persona dies (its customers close their accounts within a day), one after the other in one
shop. Everybody acts by events; the trainer sees the profiles of its sample and publishes when it
finds that worthwhile; everybody is scored by the model in force.

The reference knows what Shoal has to find out: it puts each customer to the nearest true mean,
that of the members of each persona as they are now, in the published model's space.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.quality.personas import HALF_LIFE_DAYS, NOBODY, Shop, reference_ari
from bench.quality.scenario import STEP_DAYS, Change, changes, open_shop
from models.columns import Ints
from models.population import are_in_sample
from models.scoring import score
from models.snapshots import Snapshot
from models.trainer import Trainer
from models.training import TrainingConfig

CONFIG = TrainingConfig(k="auto", sample_target=6_000)
"""Of 20 000 customers the hash then takes a quarter."""
WARM_UP_DAYS = 60
WATCHED_DAYS = int(2 * HALF_LIFE_DAYS)
MIN_UPDATES = 5_000
SEEN = ("birth", "death")
"""Changes that have to show in the model."""


@dataclass(frozen=True, slots=True)
class Check:
    """How well the truth was met on one day; Rand indices are adjusted for chance.

    `day` counts from the beginning of the change. `offline` is what scikit-learn's KMeans reaches
    with the true number of personas, None where it was not asked. `counts` says that the change
    is old enough for the figure to count.
    """

    change: str
    day: int
    ours: float
    reference: float
    offline: float | None
    segments: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change.

    `updates` are sampled updates from its beginning until the model showed it: None when it did
    not, or there is nothing to show. `allowed` is the most that is in time: `MIN_UPDATES` or those
    of one half-life. `strayed` are personas that it did not touch and whose customers have another
    segment all the same.
    """

    change: str
    updates: int | None
    allowed: int
    strayed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Following:
    """All changes, one after the other."""

    checks: tuple[Check, ...]
    outcomes: tuple[Outcome, ...]
    publications: int

    @property
    def ari_ratio(self) -> float:
        """Worst of ours over the reference's, where it counts."""
        return min(check.ours / check.reference for check in self.checks if check.counts)

    @property
    def detect_updates(self) -> int | None:
        """Most updates until the birth and the death were seen; None when one never was."""
        seen = [outcome.updates for outcome in self.outcomes if outcome.change in SEEN]
        return None if None in seen else max(updates for updates in seen if updates is not None)

    @property
    def untouched_ids_changed(self) -> int:
        """Personas that strayed, over all changes."""
        return sum(len(outcome.strayed) for outcome in self.outcomes)


class Stage:
    """The shop, its trainer, and everybody scored by what that one publishes."""

    def __init__(self, shop: Shop, config: TrainingConfig, seed: int) -> None:
        self.shop = shop
        self.trainer = Trainer(shop.segmentation, config, seed)
        self.updates = 0
        self.publications = 0

    @property
    def model(self) -> Snapshot:
        """The model in force."""
        assert self.trainer.snapshot is not None  # noqa: S101 - nobody asks before the warm-up, which trains one
        return self.trainer.snapshot

    @property
    def segments(self) -> Ints:
        """Number of everybody's segment, 0 for none, shape (n_customers,)."""
        return self.shop.segmentation.numbers(self.shop.rows).astype(np.int64)

    def home(self, persona: str) -> int:
        """The segment that most customers of a persona are in; 0 when there are none."""
        members = self.segments[self.shop.truth == self._index(persona)]
        return int(np.bincount(members, minlength=1).argmax())

    def homes(self) -> dict[str, int]:
        """The segment that most customers of each living persona are in."""
        homes = {persona.name: self.home(persona.name) for persona in self.shop.personas}
        return {name: number for name, number in homes.items() if number}

    def has_own(self, persona: str) -> bool:
        """Whether a segment holds half of the persona, and that is half of the segment."""
        is_member = self.shop.truth == self._index(persona)
        is_home = self.segments == self.home(persona)
        return bool(2 * (is_member & is_home).sum() >= max(is_member.sum(), is_home.sum()) > 0)

    def step(self, days: float) -> bool:
        """Let time pass, learn from who acted, score everybody; whether a model was published."""
        shop, trainer = self.shop, self.trainer
        trainer.forget(shop.names(shop.members(NOBODY)))
        active = shop.pass_time(days)
        names = shop.names(active)
        trainer.observe(names, shop.rows[active], shop.now_ms)
        self.updates += int(are_in_sample(names, trainer.threshold).sum())
        if is_due := bool(trainer.due(shop.now_ms)):
            trainer.train(shop.now_ms, created_ms=shop.now_ms, epoch=1)
            self.publications += 1
        if trainer.snapshot is not None:
            score(shop.segmentation, trainer.snapshot, shop.rows, shop.vectors(), shop.now_ms)
        return is_due

    def check(self, change: str, day: int, *, counts: bool, offline: bool) -> Check:
        """Our Rand index today, beside those that know more."""
        shop = self.shop
        present = shop.present
        truth = shop.truth[present]
        points = self.model.scaler.transform(shop.vectors()[present])
        analyst = KMeans(np.unique(truth).size, n_init=10, random_state=0) if offline else None
        return Check(
            change,
            day,
            ours=adjusted_rand_score(truth, self.segments[present]),
            reference=reference_ari(shop, self.model.scaler),
            offline=adjusted_rand_score(truth, analyst.fit_predict(points)) if analyst else None,
            segments=len(self.model.segments),
            counts=counts,
        )

    def _index(self, persona: str) -> int:
        return [p.name for p in self.shop.personas].index(persona)


def watch(stage: Stage, change: Change) -> tuple[list[Check], Outcome]:
    """Let a change happen, and look at what follows for `WATCHED_DAYS`."""
    before, began = stage.homes(), stage.updates
    checks: list[Check] = []
    strayed: set[str] = set()
    seen: int | None = None
    allowed = MIN_UPDATES
    steps = round(WATCHED_DAYS / STEP_DAYS)
    for step in range(1, steps + 1):
        day = step * STEP_DAYS
        change.act(stage.shop, day - STEP_DAYS)
        if stage.step(STEP_DAYS):
            homes = stage.homes()
            strayed |= {
                name for name in homes if name not in change.touched and homes[name] != before[name]
            }
            is_seen = (change.born and stage.has_own(change.born)) or (
                change.dead and before[change.dead] not in stage.model.numbers
            )
            seen = stage.updates - began if is_seen and seen is None else seen
        if day == HALF_LIFE_DAYS:
            allowed = max(allowed, stage.updates - began)
        if day.is_integer():
            is_old = day >= change.settles_days
            checks.append(stage.check(change.name, int(day), counts=is_old, offline=step == steps))
    return checks, Outcome(change.name, seen, allowed, tuple(sorted(strayed)))


def follow(seed: int, customers: int, config: TrainingConfig = CONFIG) -> Following:
    """Let the five changes happen to a shop; same seed, same figures."""
    stage = Stage(open_shop(customers, seed), config, seed)
    for _ in range(WARM_UP_DAYS):
        stage.step(1.0)
    checks, outcomes = [], []
    for change in changes(stage.shop):
        looks, outcome = watch(stage, change)
        checks += looks
        outcomes.append(outcome)
    return Following(tuple(checks), tuple(outcomes), stage.publications)
