"""`shoal rebuild`: what it would do, whether it may, and doing it."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from stream.catalogue import Catalogue
from stream.connections import kafka_options
from stream.groups import members
from stream.names import Keys, Topics
from stream.preflight import require_servers
from stream.reach import reach_kafka, reach_redis
from stream.rebuilding import Rebuild, RebuildRefusedError, Rebuilt
from stream.topics import describe

LEAVING_SECONDS = 2.0
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Survey:
    """What a rebuild of a namespace throws away, and what it begins from."""

    namespace: str
    redis: str
    customers: int
    events: int

    def __str__(self) -> str:
        return (
            f"This deletes all that was counted in namespace {self.namespace} at {self.redis} "
            f"({self.customers} customers), and counts the {self.events} events anew that Kafka "
            "still holds. What came before those is lost. The segment that each customer was last "
            "told to be in is kept."
        )


async def survey(settings: Settings) -> Survey:
    """What a rebuild would throw away and count; changes nothing.

    Raises
    ------
    PreflightError
        The servers or the topics are not as they must be.
    """
    await require_servers(settings)
    info = await describe(settings)
    async with reach_redis(settings) as redis:
        customers = await Catalogue(redis, Keys(settings.namespace)).customers(
            range(settings.partitions)
        )
    events = sum(info.end_offsets.values()) - sum(info.start_offsets.values())
    return Survey(settings.namespace, str(settings.redis), customers, events)


async def rebuild(settings: Settings, console: Console) -> Rebuilt:
    """Make the state anew; one that died half-way is begun again by the next.

    Raises
    ------
    RebuildRefusedError
        Workers or trainers are running, or another rebuild has begun meanwhile.
    PreflightError
        The servers or the topics are not as they must be.
    UnreachableError
        One of them went away meanwhile.
    """
    await require_servers(settings)
    info = await describe(settings)
    async with reach_kafka(settings) as admin, reach_redis(settings) as redis:
        await _require_nobody(admin, settings, console)
        producer = AIOKafkaProducer(
            **kafka_options(settings), acks="all", enable_idempotence=True, linger_ms=5
        )
        await producer.start()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        try:
            with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
                return await Rebuild(settings, info, redis, producer, progress).run()
        finally:
            await producer.stop()


async def _require_nobody(admin: AIOKafkaAdminClient, settings: Settings, console: Console) -> None:
    topics = Topics(settings.namespace)
    deadline = monotonic() + settings.session_timeout_seconds + LEAVING_SECONDS
    for group in (topics.worker_group, topics.trainer_group):
        if not (count := await members(admin, group, settings)):
            continue
        console.print(f"waiting for {count} members of group {group} to leave")
        while count := await members(admin, group, settings):
            if monotonic() > deadline:
                raise RebuildRefusedError(
                    f"group {group} has {count} members: stop all workers and trainers of "
                    f"namespace {settings.namespace}, then run `shoal rebuild` again"
                )
            await asyncio.sleep(POLL_SECONDS)
