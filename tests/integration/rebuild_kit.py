"""What rebuilds are tried on, and what is compared after them."""

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from config.settings import Settings
from models.identifiers import CustomerId
from stream.catalogue import Catalogue
from stream.embedded import free_port
from stream.feeding import feed_source
from stream.names import Keys, Topics
from stream.observer import Observer
from stream.processes import SHOAL
from stream.reach import reach_kafka
from stream.store import Reached, read_reached
from stream.topics import create_topics
from tests.integration.counting_shop import Shop, counted, running, until

Truth = dict[str, tuple[float, float, float]]


def merged(*truths: Truth) -> Truth:
    """What several shops sold together."""
    total: dict[str, list[float]] = {}
    for truth in truths:
        for name, numbers in truth.items():
            sums = total.setdefault(name, [0.0, 0.0, 0.0])
            total[name] = [a + b for a, b in zip(sums, numbers, strict=True)]
    return {name: (a, b, c) for name, (a, b, c) in total.items()}


def segment(ref: dict[str, str] | None) -> str | None:
    """Id of a segment; names do not outlive an emptied Redis."""
    return ref["id"] if ref else None


@dataclass(frozen=True)
class Told:
    """What Redis and Kafka say after everything has come to rest."""

    counted: Truth
    changes: Mapping[str, Mapping[int, dict[str, Any]]]
    pages: Mapping[str, dict[str, str]]
    sizes: Mapping[str, int]

    def check(self, truth: Truth) -> None:
        """Counts are exact; versions have no gap and no conflict; pages and sizes agree."""
        assert {name: n for name, n in self.counted.items() if any(n)} == truth
        sizes: Counter[str] = Counter()
        for name, versions in self.changes.items():
            assert sorted(versions) == list(range(1, len(versions) + 1)), name
            last = versions[max(versions)]
            assert self.pages[name]["version"] == str(last["version"])
            if last["to"] is not None:
                assert self.pages[name]["id"] == last["to"]["id"]
                sizes[last["to"]["id"]] += 1
            for version in range(2, len(versions) + 1):
                assert segment(versions[version]["from"]) == segment(versions[version - 1]["to"])
        assert truth.keys() <= self.changes.keys()
        assert self.sizes == sizes


async def serve(settings: Settings, directory: Path, shop: Shop | None, *, records: int) -> Told:
    """Run a worker and the trainer over what the shop sells, until `records` are handled."""
    async with running(settings, directory) as processes, Observer(settings) as observer:
        processes.start_worker("worker", free_port(), static=False)
        processes.start_trainer("trainer", free_port(), static=False)
        await processes.until_ready()
        if shop is not None:
            await feed_source(shop, settings)

        async def is_done() -> bool:
            model = (await observer.segments()).model
            lanes = await observer.catalogue.lanes(observer.partitions)
            reached = [read_reached(lane.get("reached", "")) for lane in lanes]
            scored = all(lane.get("default", Reached()).model == model > 0 for lane in reached)
            return scored and await observer.handled() == records

        await until(is_done, processes)
        assert await processes.stop("trainer", "worker") == {"worker": 0, "trainer": 0}
        return await look(settings, observer)


async def look(settings: Settings, observer: Observer) -> Told:
    """What they say now; a change that conflicts with another is an error."""
    changes: dict[str, dict[int, dict[str, Any]]] = {}
    contents: dict[tuple[str, int], bytes] = {}
    for change in await observer.changes():
        data = json.loads(change)["data"]
        name, version = data["customer_id"], data["version"]
        assert contents.setdefault((name, version), change) == change, "a conflicting change"
        changes.setdefault(name, {})[version] = data
    pages = {
        name: await observer.catalogue.segment(CustomerId(name), "default") for name in changes
    }
    sizes = await observer.catalogue.sizes(range(settings.partitions), "default")
    return Told(await counted(settings), changes, pages, sizes)


def shoal(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of ours, with these settings and no others."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
    return subprocess.run(  # noqa: S603 - our own command
        [*SHOAL, *arguments],
        env=plain | settings.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def refusal(settings: Settings, *arguments: str) -> str:
    """The one line of a command that does not do what it was asked."""
    result = await asyncio.to_thread(shoal, settings, *(arguments or ("worker",)))
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


async def rebuilt(settings: Settings) -> str:
    """What a rebuild says at its end."""
    result = await asyncio.to_thread(shoal, settings, "rebuild", "--yes")
    assert result.returncode == 0, result.stderr
    return result.stdout


async def page(redis: Redis, settings: Settings, customer: str) -> dict[str, str]:
    """What a page reads of a customer."""
    catalogue = Catalogue(redis, Keys(settings.namespace))
    return await catalogue.segment(CustomerId(customer), "default")


async def empty(redis: Redis, settings: Settings) -> None:
    """Delete everything that Shoal keeps."""
    await redis.delete(*[key async for key in redis.scan_iter(f"{settings.namespace}:*")])


async def reached(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(0.005)


async def made_again(settings: Settings) -> None:
    """Delete the event topic and create it, without its events."""
    async with reach_kafka(settings) as admin:
        await admin.delete_topics([Topics(settings.namespace).events])

    async def is_made() -> bool:  # a deleted topic is gone only after a while
        return any(topic.created for topic in await create_topics(settings))

    await reached(is_made)
