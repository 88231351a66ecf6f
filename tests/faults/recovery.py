"""`python -m tests.faults.recovery`: what the death of a worker costs beside a million profiles.

Two workers share the partitions of a state with so many profiles in Redis; one is killed under
load. It counts how long it takes until the other serves all partitions, and how many profiles it
reads for that: no more than those of customers who act.
"""

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic
from typing import Annotated
from uuid import uuid4

import numpy as np
import typer
from rich.console import Console

from config.segmentation import load_segmentation
from config.settings import Settings
from models.clock import EventClock
from models.identifiers import CustomerId
from models.profiles import DAY_MS, ProfileSchema
from stream.connections import connect_redis
from stream.embedded import EmbeddedRedis, free_port
from stream.names import Keys, Topics
from stream.observer import Observer
from stream.partitions import partitioner
from stream.processes import Processes
from stream.redis_store import RedisStore
from stream.store import UNASSIGNED, Outcome, Step, StoredProfile
from stream.topics import create_topics
from tests.apache_kafka import ApacheKafka
from tests.faults.load import Load, steady_producer
from tests.faults.scene import PARTITIONS, RATE, SESSION_SECONDS, FaultError
from tests.faults.shop import Message

LIMIT_SECONDS = SESSION_SECONDS + 2.0
START_MS = 1_500_000_000_000
WARM_UP_SECONDS = 5.0
FILL_AT_ONCE = 5_000
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
LOADED = "shoal_profiles_loaded_total"
OWNER = "fill"
VICTIM, SURVIVOR = "worker-1", "worker-2"

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Recovery:
    """One death. `loaded` and `touched` are customers, from the death until 5 s after."""

    profiles: int
    owned_seconds: float
    loaded: int
    touched: int

    @property
    def is_good(self) -> bool:
        """In time, and with nothing read that nobody asked for."""
        return self.owned_seconds <= LIMIT_SECONDS and self.loaded <= self.touched


async def measure(profiles: int, runs: int) -> list[Recovery]:
    """Kill one of two workers `runs` times."""
    found = []
    with tempfile.TemporaryDirectory(prefix="shoal-recovery-") as name:
        directory = Path(name)
        with (
            ApacheKafka(directory / "kafka") as kafka,
            EmbeddedRedis(directory / "redis", appendfsync="always") as redis,
        ):
            settings = Settings(
                kafka=kafka.address,
                redis=redis.url,
                namespace=f"r-{uuid4().hex[:12]}",
                partitions=PARTITIONS,
                clock="replay",
                session_timeout_seconds=SESSION_SECONDS,
            )
            await create_topics(settings)
            err.print(f"writing {profiles} profiles")
            await _fill(settings, profiles)
            for run in range(runs):
                found.append(await _kill_one(settings, profiles, directory, seed=run))
                err.print(str(found[-1]))
    return found


async def _kill_one(settings: Settings, profiles: int, directory: Path, *, seed: int) -> Recovery:
    processes = Processes(settings, directory)
    shoppers = _Shoppers(settings, profiles, seed)
    try:
        for name in (VICTIM, SURVIVOR):
            processes.start_worker(name, free_port(), static=False)
        await processes.until_ready()
        async with Observer(settings) as observer, _load(settings, shoppers) as load:
            await _until_owned(processes, PARTITIONS // 2)
            first = await _next_offsets(observer)
            load.start()
            await asyncio.sleep(WARM_UP_SECONDS)
            reached = await _next_offsets(observer)
            before = (await processes.scrape(SURVIVOR)).total(LOADED)
            processes.kill(VICTIM)
            died = monotonic()
            await _until_owned(processes, PARTITIONS)
            owned_seconds = monotonic() - died
            await asyncio.sleep(WARM_UP_SECONDS)
            await load.stop()
            while sum((await _next_offsets(observer)).values()) < sum(first.values()) + load.sent:
                processes.check()
                await asyncio.sleep(POLL_SECONDS)
            loaded = (await processes.scrape(SURVIVOR)).total(LOADED) - before
            handled = {partition: at - first[partition] for partition, at in reached.items()}
            touched = shoppers.after(handled)
            return Recovery(profiles, round(owned_seconds, 2), int(loaded), touched)
    finally:
        await processes.stop()


async def _next_offsets(observer: Observer) -> dict[int, int]:
    lanes = await observer.catalogue.lanes(observer.partitions)
    return {n: int(lane.get("next_offset", 0)) for n, lane in enumerate(lanes)}


async def _until_owned(processes: Processes, partitions: int) -> None:
    """Wait until the survivor serves so many partitions."""
    deadline = monotonic() + PATIENCE_SECONDS
    while (await processes.scrape(SURVIVOR)).total("shoal_partitions_assigned") != partitions:
        processes.check()
        if monotonic() > deadline:
            raise FaultError(f"{SURVIVOR} does not own {partitions} partitions")
        await asyncio.sleep(POLL_SECONDS)
    await processes.until_ready()


class _Shoppers:
    """Each event is of a customer drawn from all; remembers whose went where, in order."""

    def __init__(self, settings: Settings, profiles: int, seed: int) -> None:
        self._random = Random(seed)
        self._run = uuid4().hex[:8]
        self._place = partitioner(settings.partitioner, settings.partitions)
        self._profiles = profiles
        self._sent: defaultdict[int, list[str]] = defaultdict(list)

    def __iter__(self) -> Iterator[Message]:
        for number in count():
            name = _name(self._random.randrange(self._profiles))
            partition = self._place(name.encode())
            self._sent[partition].append(name)
            event = {
                "event_id": f"{self._run}-{number}",
                "customer_id": name,
                "type": "product_viewed",
                "timestamp": START_MS,
            }
            yield Message(partition, name.encode(), json.dumps(event).encode())

    def after(self, handled: dict[int, int]) -> int:
        """How many customers acted after so many events of each partition."""
        return len({name for n, names in self._sent.items() for name in names[handled[n] :]})


@asynccontextmanager
async def _load(settings: Settings, shoppers: _Shoppers) -> AsyncIterator[Load]:
    async with steady_producer(settings) as producer:
        load = Load(producer, Topics(settings.namespace).events, iter(shoppers), RATE)
        try:
            yield load
        finally:
            await load.stop()


async def _fill(settings: Settings, profiles: int) -> None:
    """Write profiles as a worker would have, of customers who did one thing each."""
    schema = load_segmentation(settings.segmentation).profile_schema()
    place = partitioner(settings.partitioner, settings.partitions)
    redis = connect_redis(settings)
    store = RedisStore(redis, Keys(settings.namespace))
    owned: defaultdict[int, list[CustomerId]] = defaultdict(list)
    for number in range(profiles):
        name = _name(number)
        owned[place(name.encode())].append(name)
    try:
        for partition, names in owned.items():
            await _fill_lane(store, schema, partition, names)
    finally:
        await redis.aclose()


async def _fill_lane(
    store: RedisStore, schema: ProfileSchema, partition: int, names: list[CustomerId]
) -> None:
    state = await store.claim(partition, owner=OWNER)
    rows = schema.empty(FILL_AT_ONCE)
    rows["first_ms"] = rows["last_ms"] = START_MS
    rows["sums"] = np.random.default_rng(partition).random(rows["sums"].shape)
    blobs = schema.encode(rows)
    for number, at in enumerate(range(0, len(names), FILL_AT_ONCE)):
        chosen = names[at : at + FILL_AT_ONCE]
        outcome = await store.step(
            Step(
                partition=partition,
                epoch=state.epoch,
                owner=OWNER,
                seq=state.seq + number,
                next_offset=0,
                clock=EventClock(START_MS).to_text(),
                pending=b"",
                reached={},
                profiles=[
                    StoredProfile(name, blob, START_MS + 365 * DAY_MS)
                    for name, blob in zip(chosen, blobs, strict=False)
                ],
                sizes={UNASSIGNED: len(chosen)},
                ttl_ms=365 * DAY_MS,
            )
        )
        assert outcome is Outcome.APPLIED


def _name(number: int) -> CustomerId:
    return CustomerId(f"c{number:07}")


def main(
    *,
    profiles: Annotated[int, typer.Option(min=1, help="Profiles in Redis")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="So many deaths")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Kill one of two workers beside many profiles, and see what the other one does."""
    found = asyncio.run(measure(profiles, runs))
    seconds = [run.owned_seconds for run in found]
    result = {
        "profiles": profiles,
        "runs": runs,
        "owned_seconds": {"p50": median(seconds), "max": max(seconds)},
        "limit_seconds": LIMIT_SECONDS,
        "profiles_loaded": [run.loaded for run in found],
        "customers_touched": [run.touched for run in found],
    }
    out = Console(highlight=False, soft_wrap=True)
    out.print(json.dumps(result) if as_json else result)
    if not all(run.is_good for run in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
