"""One deployment under load: servers, workers, a trainer, a shop; and what has become of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from uuid import uuid4

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from config.segmentation import load_segmentation
from config.settings import Settings
from stream.embedded import EmbeddedRedis, free_port
from stream.names import Topics
from stream.observer import Observer
from stream.partitions import partitioner
from stream.processes import Processes
from stream.server_process import EmbeddedServer
from stream.store import Reached, read_reached
from stream.topics import create_topics
from tests.faults.history import History, Place, Told
from tests.faults.load import Load, steady_producer
from tests.faults.shop import Shop
from tests.faults.verdict import Judge, Verdict
from tests.redis_cluster import ValkeyCluster

SEGMENTATION = Path(__file__).with_name("segmentation.yaml")
SEGMENTATIONS = tuple(load_segmentation(SEGMENTATION).segmentations)
TRAINER = "trainer"
SESSION_SECONDS = 6.0
PARTITIONS = 8
RATE = 2_200.0
DRAIN_SECONDS = 120.0
SETTLE_SECONDS = 30.0
POLL_SECONDS = 0.05
AWAY = (RedisError, KafkaError, OSError, TimeoutError)


class FaultError(Exception):
    """Shoal did not do what it must, other than counting and telling rightly."""


@dataclass
class Scene:
    """What the faults are done to. Processes that end by themselves are started again.

    `is_static`: workers and trainers are static members of their groups.
    """

    settings: Settings
    kafka: EmbeddedServer
    redis: EmbeddedRedis | ValkeyCluster
    processes: Processes
    observer: Observer
    history: History
    shop: Shop
    load: Load
    judge: Judge
    is_static: bool
    workers: list[str] = field(default_factory=list)
    restarts: int = 0
    _ports: dict[str, int] = field(default_factory=dict)
    _expected_down: set[str] = field(default_factory=set)
    _recovery: asyncio.Task[float] | None = None

    @property
    def valkey(self) -> EmbeddedRedis:
        """The one server that Redis is here."""
        assert isinstance(self.redis, EmbeddedRedis)
        return self.redis

    @property
    def cluster(self) -> ValkeyCluster:
        """The cluster that Redis is here."""
        assert isinstance(self.redis, ValkeyCluster)
        return self.redis

    def start_worker(self, name: str) -> None:
        """Start a worker."""
        self._start(name, self.processes.start_worker)
        if name not in self.workers:
            self.workers.append(name)

    def start_trainer(self, name: str = TRAINER) -> None:
        """Start a trainer."""
        self._start(name, self.processes.start_trainer)

    def _start(self, name: str, start: Callable[..., None]) -> None:
        self._expected_down.discard(name)
        start(name, self._ports.setdefault(name, free_port()), static=self.is_static)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._expected_down.add(name)
        self.processes.kill(name)

    async def terminate(self, name: str, within_seconds: float = 10.0) -> None:
        """SIGTERM; the process must end by itself, in time and in order.

        Raises
        ------
        FaultError
            It does not.
        """
        self._expected_down.add(name)
        began = monotonic()
        code = (await self.processes.stop(name))[name]
        took = monotonic() - began
        if code or took > within_seconds:
            raise FaultError(f"{name} ended {took:.1f} s after SIGTERM, with {code}")

    def retire(self, name: str) -> None:
        """A worker that is down stays down."""
        self.workers.remove(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        os.kill(self.processes.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self.processes.pid(name), signal.SIGCONT)

    def begin_recovery(self) -> None:
        """From now on it counts how long it takes until all that Kafka has now is handled."""
        self._recovery = asyncio.create_task(self._recover(dict(self.load.reached)))

    async def recovered(self) -> float:
        """Seconds from `begin_recovery` until everything of that moment was handled."""
        if self._recovery is None:
            self.begin_recovery()
        assert self._recovery is not None
        seconds = await self._recovery
        self._recovery = None
        return seconds

    async def _recover(self, marks: dict[int, int]) -> float:
        began = monotonic()
        await self.until(lambda: self._are_past(marks), DRAIN_SECONDS, "does not recover")
        return monotonic() - began

    async def _are_past(self, marks: dict[int, int]) -> bool:
        lanes = await self.observer.catalogue.lanes(self.observer.partitions)
        return all(int(lanes[n].get("next_offset", 0)) >= mark for n, mark in marks.items())

    async def _is_scored(self) -> bool:
        catalogue = self.observer.catalogue
        versions = {name: await catalogue.model_version(name) for name in SEGMENTATIONS}
        lanes = await catalogue.lanes(self.observer.partitions)
        reached = [read_reached(lane.get("reached", "")) for lane in lanes]
        return all(
            lane.get(name, Reached()).model >= version
            for lane in reached
            for name, version in versions.items()
        )

    async def until(
        self, condition: Callable[[], Awaitable[bool]], seconds: float, complaint: str
    ) -> None:
        """Wait for a condition, through servers that are away.

        Raises
        ------
        FaultError
            It does not come true in time.
        """
        deadline = monotonic() + seconds
        while True:
            self._restart_ended()
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + seconds):
                    if await condition():
                        return
            except AWAY:
                pass
            if monotonic() > deadline:
                raise FaultError(complaint)
            await asyncio.sleep(POLL_SECONDS)

    def _restart_ended(self) -> None:
        """As a supervisor would: whoever ended by itself is started again."""
        for name in self.processes.ended():
            if name not in self._expected_down:
                self.restarts += 1
                self.processes.kill(name)
                if name in self.workers:
                    self.start_worker(name)
                else:
                    self.start_trainer(name)

    async def until_lively(self) -> None:
        """Wait until customers have segments, and leave them."""

        async def is_lively() -> bool:
            report = await self.observer.segments()
            await self.history.catch_up()
            moved = sum(told.version > 1 for told in self.history.told.values())
            return report.model > 1 and moved > self.settings.partitions

        await self.until(is_lively, DRAIN_SECONDS, "no segment ever changes")

    async def settle(self) -> Verdict:
        """Stop the load, let everything be handled, and compare.

        What is only late (a change that is being told, a page that is being written) is waited
        for; what is wrong now stays wrong.
        """
        await self.load.stop()
        marks = dict(self.load.reached)
        await self.until(lambda: self._are_past(marks), DRAIN_SECONDS, "does not handle everything")
        deadline = monotonic() + SETTLE_SECONDS
        while True:
            await self.until(self._is_scored, DRAIN_SECONDS, "does not score by the last model")
            await self.history.catch_up()
            verdict = await self.judge.judge()
            if verdict.is_clean or monotonic() > deadline:
                return verdict
            await asyncio.sleep(0.5)


def new_settings(
    kafka: EmbeddedServer, redis: EmbeddedRedis | ValkeyCluster, *, is_strict: bool = True
) -> Settings:
    """A namespace of its own."""
    is_cluster = isinstance(redis, ValkeyCluster)
    return Settings(
        kafka=kafka.address,
        redis=redis.url,
        redis_cluster=is_cluster,
        redis_replicas=int(is_cluster),
        namespace=f"f-{uuid4().hex[:12]}",
        partitions=PARTITIONS,
        clock="replay",
        durability="strict" if is_strict else "relaxed",
        segmentation=SEGMENTATION,
        session_timeout_seconds=SESSION_SECONDS,
        batch_events=500,
    )


def new_shop(settings: Settings, seed: int, *, twice: bool = False, garbage: float = 0.0) -> Shop:
    """A shop whose events go where these settings put them; a share of `garbage` among them."""
    place = partitioner(settings.partitioner, settings.partitions)
    return Shop(seed, place, settings.partitions, twice=twice, garbage_share=garbage)


@asynccontextmanager
async def scene(
    directory: Path,
    kafka: EmbeddedServer,
    redis: EmbeddedRedis | ValkeyCluster,
    settings: Settings,
    shop: Shop,
    *,
    workers: int,
    is_static: bool = False,
    told: dict[Place, Told] | None = None,
) -> AsyncIterator[Scene]:
    """Processes that are ready, and a load to start; all of it gone at the end.

    `told` are changes that this Kafka does not hold.
    """
    await create_topics(settings)
    processes = Processes(settings, directory)
    producer = steady_producer(settings)
    await producer.start()
    load = Load(producer, Topics(settings.namespace).events, iter(shop), RATE)
    try:
        async with Observer(settings) as observer, History(settings, told) as history:
            it = Scene(
                settings=settings,
                kafka=kafka,
                redis=redis,
                processes=processes,
                observer=observer,
                history=history,
                shop=shop,
                load=load,
                judge=Judge(settings, shop, history, observer.catalogue),
                is_static=is_static,
            )
            for number in range(workers):
                it.start_worker(f"worker-{number + 1}")
            it.start_trainer()
            await processes.until_ready()
            yield it
    finally:
        await load.stop()
        await producer.stop()
        await processes.stop()
