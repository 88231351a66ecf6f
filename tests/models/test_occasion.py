"""When a new model is worthwhile."""

from dataclasses import replace

import numpy as np
import pytest

from models.columns import Floats
from models.layout import DAY_MS
from models.lineage import Reason
from models.occasion import Occasion
from models.training import TrainingConfig
from tests.models.test_snapshots import model

CONFIG = TrainingConfig()
BEFORE = replace(model(), customers=1_000)
SPREAD = 3.0


def reason(
    occasion: Occasion,
    customers: int = 1_000,
    days: float = 0.0,
    *,
    is_measured: bool = True,
    is_challenged: bool = False,
) -> Reason | None:
    return occasion.reason(
        BEFORE,
        customers,
        BEFORE.now_ms + int(days * DAY_MS),
        is_measured=is_measured,
        is_challenged=is_challenged,
    )


def distances(n: int, seed: int = 0, *, strays: float = 0.0) -> Floats:
    """Distances of `n` customers, by turns near five centroids.

    A part of those at the first is twice as far away as the others.
    """
    draws = np.random.default_rng(seed)
    centroid = np.arange(n) % 5
    strayed = (centroid == 0) & (draws.random(n) < strays)
    found = np.full((n, 5), 1e150)
    found[np.arange(n), centroid] = draws.chisquare(9, n) ** 0.5 * np.where(strayed, 2.0, 1.0)
    return found


def test_nothing_that_happens_is_no_reason() -> None:
    assert reason(Occasion(CONFIG)) is None


def test_customers_who_come_and_go_are_news_together() -> None:
    occasion = Occasion(CONFIG)
    occasion.changed(50)
    occasion.changed(49)
    assert reason(occasion) is None
    occasion.changed(1)
    assert reason(occasion) == "news"
    occasion.settled("time", is_new=False)
    assert reason(occasion) is None


def test_a_sample_that_outgrew_its_model_and_a_day_are_reasons() -> None:
    assert reason(Occasion(CONFIG), 1_499) is None
    assert reason(Occasion(CONFIG), 1_500) == "growth"
    assert reason(Occasion(CONFIG), days=0.99) is None
    assert reason(Occasion(CONFIG), days=1) == "time"


def test_other_features_are_a_reason() -> None:
    assert reason(Occasion(CONFIG), is_measured=False) == "features"


def test_a_challenge_is_looked_at_again_after_half_the_news() -> None:
    occasion = Occasion(CONFIG)
    occasion.moved(distances(49), SPREAD)
    assert reason(occasion, is_challenged=True) is None
    occasion.moved(distances(1), SPREAD)
    assert reason(occasion, is_challenged=True) == "granularity"
    assert reason(occasion) is None


@pytest.mark.parametrize("strays", [0.4, 1.0], ids=["of a few", "of one segment"])
def test_drift_is_noticed_within_two_thousand_updates(strays: float) -> None:
    occasion = Occasion(CONFIG)
    occasion.moved(distances(20_000), SPREAD)
    assert reason(occasion) is None
    before = occasion.distance
    occasion.moved(distances(2_000, 1, strays=strays), SPREAD)
    assert reason(occasion) == "drift"
    assert occasion.distance > before
    occasion.settled("time", is_new=False)
    assert reason(occasion) is None


def test_drift_is_followed_until_centroids_have_stayed_three_times() -> None:
    occasion = Occasion(CONFIG)
    found = []
    for is_new in (True, False, True, False, False, False):
        occasion.settled("drift", is_new=is_new)
        occasion.moved(distances(49), SPREAD)
        assert reason(occasion) is None
        occasion.moved(distances(1), SPREAD)
        found.append(reason(occasion))
    assert found == ["drift"] * 5 + [None]


def test_what_stays_as_it_is_hardly_ever_looks_like_drift() -> None:
    alarms = 0
    occasion = Occasion(CONFIG)
    for seed in range(100):
        occasion.moved(distances(1_000, seed), SPREAD)
        alarms += reason(occasion) == "drift"
        if reason(occasion):
            occasion.settled("time", is_new=False)
    assert alarms <= 2


def test_outliers_are_no_drift() -> None:
    occasion = Occasion(CONFIG)
    occasion.moved(distances(5_000), SPREAD)
    occasion.moved(np.full((3, 5), 1e150), SPREAD)
    occasion.moved(distances(2_000, 1), SPREAD)
    assert reason(occasion) is None


def test_a_new_model_begins_a_new_comparison() -> None:
    occasion = Occasion(CONFIG)
    occasion.moved(distances(5_000), SPREAD)
    occasion.settled("time", is_new=True)
    assert occasion.distance == 0
    occasion.moved(distances(5_000) * 2, SPREAD)
    assert reason(occasion) is None


def test_who_is_read_again_after_a_restart_is_no_news() -> None:
    occasion = Occasion(CONFIG)
    occasion.resumed(BEFORE, 0)
    occasion.changed(1_000)
    assert reason(occasion) is None
    occasion.changed(120)
    assert reason(occasion, 1_120) == "news"


def test_a_sample_that_is_still_read_back_waits_but_not_for_ever() -> None:
    assert reason(Occasion(CONFIG), 300, days=6.9) is None
    assert reason(Occasion(CONFIG), 300, is_measured=False) is None
    assert reason(Occasion(CONFIG), 300, days=7) == "time"
    assert reason(Occasion(CONFIG), 334, days=1) == "time"
