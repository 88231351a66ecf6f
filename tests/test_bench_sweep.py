"""The bench of the sweep: what it measures, and what it does not let count."""

from typing import Any

import numpy as np
import pytest

from bench.common import BenchError
from bench.shop import Shop
from bench.sweep import changes_per_day, core_cost, lateness
from config.segmentation import load_segmentation
from config.settings import DEFAULT_SEGMENTATION

NOW_MS = 1_700_000_000_000


def change(customer: str, seconds: int, reason: str = "time") -> dict[str, Any]:
    return {
        "subject": customer,
        "time": f"2026-03-01T12:00:{seconds:02}Z",
        "data": {"reason": reason},
    }


DUE_MS = {"ann": 1_772_366_400_000, "bob": 1_772_366_401_000}


def test_customers_are_late_by_the_time_from_when_they_are_due() -> None:
    assert lateness([change("bob", 3), change("ann", 5)], DUE_MS) == (5.0, 2.0)


@pytest.mark.parametrize(
    "changes",
    [
        [change("ann", 5)],
        [change("ann", 5), change("bob", 5), change("bob", 6)],
        [change("ann", 5), change("bob", 5), change("cid", 5)],
        [change("ann", 5), change("bob", 5, "event")],
    ],
    ids=["one is missing", "one was told twice", "a stranger", "another reason"],
)
def test_a_run_does_not_count_unless_all_were_told_once(changes: list[dict[str, Any]]) -> None:
    with pytest.raises(BenchError, match="were not told of once"):
        lateness(changes, DUE_MS)


def test_a_change_before_it_is_due_does_not_count() -> None:
    early = {name: due + 10_000 for name, due in DUE_MS.items()}
    with pytest.raises(BenchError, match="before the change was due"):
        lateness([change("ann", 5), change("bob", 5)], early)


def test_the_shop_has_customers_who_move_when_they_are_asked_to() -> None:
    shop = Shop.of(load_segmentation(DEFAULT_SEGMENTATION), NOW_MS)
    begin_ms, end_ms = NOW_MS + 60_000, NOW_MS + 120_000
    rows = shop.moving(20, NOW_MS, begin_ms, end_ms, seed=1)
    changes_ms = shop.changes_ms(rows, NOW_MS)
    assert rows.size > 0
    assert ((begin_ms <= changes_ms) & (changes_ms < end_ms)).all()
    before = rows["segment"].copy()
    after = shop.scored(rows, int(changes_ms.max()))
    assert np.any(before != after["segment"], axis=1).sum() >= rows.size - 1
    assert changes_per_day(shop, NOW_MS, 1_000_000) > 0
    assert min(core_cost(shop, NOW_MS).values()) > 0
