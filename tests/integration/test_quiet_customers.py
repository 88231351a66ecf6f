"""Who stops buying, on real servers: told of within a minute of when it is due, once."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import pytest

from config.segmentation import DEFAULT
from config.settings import Settings
from models.layout import DAY_MS
from models.scaling import Column, Scaler
from models.snapshots import Segment, Snapshot
from stream.embedded import free_port
from stream.feeding import feed_source
from stream.observer import Observer
from stream.sources import SourceEvent
from stream.topics import create_topics
from tests.integration.counting_shop import running
from tests.models.test_snapshots import model

pytestmark = pytest.mark.slow

RECENCY = """
features:
  recency: {kind: recency, events: [order_completed], scale: linear, cap_days: 365}
"""
QUIET_DAYS = 40
# Without a margin who has just been put in the nearest segment may leave it in a moment.
STAY_MS = QUIET_DAYS * DAY_MS // 2
LATEST_MS = 60_000


def recent_and_quiet() -> Snapshot:
    """A model that puts whoever ordered today in s1, and 40 days ago in s2."""
    return replace(
        model(),
        segmentation=DEFAULT,
        version=1,
        scaler=Scaler(
            (Column("recency", log=False, low=0, high=365, centre=0, divisor=1, weight=1),)
        ),
        centroids=np.array([[0.0], [float(QUIET_DAYS)]]),
        segments=(Segment(1, "Recent buyers", 0.5, 1), Segment(2, "Quiet buyers", 0.5, 1)),
        next_number=3,
        retired=(),
        margin=0.0,
    )


class LastOrders:
    """One order of each customer, so long ago that all fall quiet within a minute from now."""

    name = "last orders"
    total = 300

    def __init__(self, now_ms: int) -> None:
        due_ms = np.linspace(now_ms + 10_000, now_ms + 60_000, self.total).astype(int).tolist()
        self.due_ms = {f"c{number}": due for number, due in enumerate(due_ms)}

    def __iter__(self) -> Iterator[SourceEvent]:
        for customer, due in self.due_ms.items():
            content = {
                "event_id": f"{customer}-1",
                "customer_id": customer,
                "type": "order_completed",
                "timestamp": due - STAY_MS,
            }
            yield SourceEvent(customer, due - STAY_MS, json.dumps(content).encode())


async def test_who_falls_quiet_is_told_of_within_a_minute_and_once(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "segmentation.yaml"
    path.write_text(RECENCY, encoding="utf-8")
    live = settings.model_copy(update={"segmentation": path})
    await create_topics(live)
    async with running(live, tmp_path) as processes, Observer(live) as observer:
        epoch = await observer.catalogue.claim_training(DEFAULT)
        await observer.catalogue.publish_model(
            recent_and_quiet().to_json(),
            version=1,
            epoch=epoch,
            segments={},
            segmentation=DEFAULT,
        )
        processes.start_worker("worker", free_port())
        await processes.until_ready()
        shop = LastOrders(round(time() * 1000))
        await feed_source(shop, live)

        told: defaultdict[str, list[Any]] = defaultdict(list)
        async with asyncio.timeout(150):
            while sum(map(len, told.values())) < 2 * shop.total:
                processes.check()
                await asyncio.sleep(1)
                told.clear()
                for change in map(json.loads, await observer.changes()):
                    told[change["subject"]].append(change)
    assert set(told) == set(shop.due_ms)
    for customer, (first, second) in told.items():
        assert first["data"]["to"]["id"] == "s1"
        assert (second["data"]["to"]["id"], second["data"]["reason"]) == ("s2", "time")
        told_ms = datetime.fromisoformat(second["time"]).timestamp() * 1000
        late_ms = told_ms - shop.due_ms[customer]
        assert 0 <= late_ms <= LATEST_MS
