"""The harness can fail: whatever is wrong in Redis or Kafka after a run is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.segmentation import load_segmentation
from models.identifiers import CustomerId
from stream.embedded import EmbeddedRedis
from stream.names import Keys, Topics
from stream.partitions import partitioner
from stream.server_process import EmbeddedServer
from tests.faults.scene import SEGMENTATION, Scene, new_settings, new_shop, scene
from tests.faults.verdict import Verdict

pytestmark = pytest.mark.slow

SCHEMA = load_segmentation(SEGMENTATION).profile_schema()


async def test_nothing_is_wrong_after_plain_load_and_every_damage_is_found(
    kafka: EmbeddedServer, tmp_path: Path
) -> None:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        own = new_settings(kafka, redis)
        shop = new_shop(own, seed=1)
        async with scene(tmp_path, kafka, redis, own, shop, workers=1, is_static=True) as it:
            it.load.start()
            await it.until_lively()
            verdict = await it.settle()
            assert verdict == Verdict()
            await it.processes.stop()  # or a model, and its changes, may follow
            told = sorted(
                name
                for (segmentation, name), told in it.history.told.items()
                if told.segment and segmentation == "default"
            )
            damage = _Damage(it)

            await damage.profile(told[0], lambda row: row["sums"].__setitem__(0, 7e6))
            assert (await it.judge.judge()).double_counted > 0
            await it.observer.catalogue.redis.delete(damage.key(told[0]))
            found = await it.judge.judge()
            assert (found.lost > 0, found.double_counted) == (True, 0)
            assert found.changes_conflicting == 2
            assert found.changes_missing == 2  # one customer fewer than the segments of each count

            await damage.profile(told[1], _raise_version)
            assert (await it.judge.judge()).changes_missing == 3

            page = damage.keys.segment(CustomerId(told[2]))
            await it.observer.catalogue.redis.hset(page, "id", "s999")
            assert (await it.judge.judge()).changes_missing == 4

            await damage.tell_again(told[3])
            await it.history.catch_up()
            assert (await it.judge.judge()).changes_conflicting == 3

            await damage.reject()
            await it.history.catch_up()
            assert (await it.judge.judge()).double_counted == 1


def _raise_version(row: Any) -> None:
    row["version"][0] += 1


class _Damage:
    """Does harm to what a run has left."""

    def __init__(self, it: Scene) -> None:
        self._it = it
        self._topics = Topics(it.settings.namespace)
        self.keys = Keys(it.settings.namespace)

    def key(self, name: str) -> str:
        place = partitioner(self._it.settings.partitioner, self._it.settings.partitions)
        return self.keys.profile(place(name.encode()), CustomerId(name))

    async def profile(self, name: str, change: Callable[[Any], None]) -> None:
        redis = self._it.observer.catalogue.redis
        rows = SCHEMA.decode([await redis.get(self.key(name))])
        change(rows[0])
        await redis.set(self.key(name), SCHEMA.encode(np.asarray(rows))[0])

    async def tell_again(self, name: str) -> None:
        for value in await self._it.observer.changes():
            change = json.loads(value)
            if change["subject"] == name:
                change["data"]["confidence"] = 0.123
                break
        await self._it.load.producer.send_and_wait(
            self._topics.changes, json.dumps(change).encode(), key=name.encode()
        )

    async def reject(self) -> None:
        headers = [("partition", b"0"), ("offset", b"1")]
        await self._it.load.producer.send_and_wait(
            self._topics.rejected, b"", partition=0, headers=headers
        )
