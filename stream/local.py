"""A whole Shoal on one machine: embedded servers, real processes, and a look at what they do."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

from rich.console import Console

from config.settings import Settings, load_settings
from stream.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from stream.observer import Observer
from stream.processes import ProcessError, Processes
from stream.scrape import Scrape
from stream.topics import create_topics

WORKER, TRAINER = "worker", "trainer"
MAX_BACKLOG = 4_000
DRAIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Local:
    """What runs here, and what can be seen of it."""

    settings: Settings
    processes: Processes
    observer: Observer

    def start_worker(self) -> None:
        """Start the worker."""
        self.processes.start_worker(WORKER, self.settings.metrics_port)

    def start_trainer(self) -> None:
        """Start the trainer."""
        self.processes.start_trainer(TRAINER, self.settings.trainer_metrics_port)

    async def scrape(self) -> Scrape:
        """The worker's metrics."""
        return await self.processes.scrape(WORKER)

    async def hold_back(self, sent: int) -> None:
        """Return once the worker is near enough to what was sent."""
        while sent - await self.observer.handled() > MAX_BACKLOG:
            self.processes.check()
            await asyncio.sleep(0.02)

    async def drain(self, sent: int) -> float:
        """Wait until every event is handled and everyone is scored by the last model.

        Returns
        -------
        When the last event was handled, by the monotonic clock.

        Raises
        ------
        ProcessError
            A process ended, or it takes too long.
        """
        deadline = monotonic() + DRAIN_SECONDS
        while await self.observer.handled() < sent:
            await self._pause(deadline)
        handled_at = monotonic()
        while not await self.observer.is_settled():
            await self._pause(deadline)
        return handled_at

    async def _pause(self, deadline: float) -> None:
        self.processes.check()
        if monotonic() > deadline:
            words = self.processes.last_words(WORKER)
            raise ProcessError(WORKER, "does not come to an end", words)
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def local_servers(
    console: Console, *, clock: Literal["live", "replay"] = "replay"
) -> AsyncIterator[Local]:
    """Kafka and Redis with all topics, and no process of Shoal yet; all gone at the end."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:
        directory = Path(name)
        console.print("starting Kafka and Redis", style="dim")
        with (
            EmbeddedKafka(directory / "kafka") as kafka,
            EmbeddedRedis(directory / "redis") as redis,
        ):
            settings = load_settings(
                kafka=kafka.address,
                redis=redis.url,
                clock=clock,
                durability="strict",
                replication=1,
                metrics_host="127.0.0.1",
                metrics_port=free_port(),
                trainer_metrics_port=free_port(),
            )
            await create_topics(settings)
            processes = Processes(settings, directory)
            try:
                async with Observer(settings) as observer:
                    yield Local(settings, processes, observer)
            finally:
                await processes.stop()


@contextlib.asynccontextmanager
async def local_shoal(console: Console) -> AsyncIterator[Local]:
    """Servers, a worker and the trainer, ready; all gone at the end."""
    async with local_servers(console) as local:
        console.print("starting a worker and the trainer", style="dim")
        local.start_worker()
        local.start_trainer()
        await local.processes.until_ready()
        yield local
