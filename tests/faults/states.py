"""State and log that do not fit together: Shoal refuses to start, and `shoal rebuild` mends it."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from aiokafka.admin import NewPartitions

from config.settings import Settings
from stream.connections import connect_redis
from stream.embedded import EmbeddedRedis
from stream.names import Topics
from stream.partitions import partitioner
from stream.processes import SHOAL
from stream.reach import reach_kafka
from stream.topics import create_topics
from tests.apache_kafka import ApacheKafka
from tests.faults.scene import PARTITIONS, FaultError, Scene, new_settings, new_shop, scene
from tests.faults.shop import Shop
from tests.faults.verdict import Verdict

LOAD_SECONDS = 2.0
REFUSED = 2
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Damaged:
    """What there is to go on with: settings, and the broker that they name."""

    settings: Settings
    kafka: ApacheKafka


@dataclass(frozen=True)
class Damage:
    """What is done to the state or the log, and a part of the line that Shoal refuses it with."""

    name: str
    do: Callable[["Deployment", ExitStack], Awaitable[Damaged]]
    refusal: str


@dataclass(frozen=True)
class Deployment:
    """What a damage is done to, while nothing of it runs."""

    settings: Settings
    kafka: ApacheKafka
    shop: Shop
    directory: Path


async def remake_topic(it: Deployment, _: ExitStack) -> Damaged:
    """The event topic is deleted and made again."""
    async with reach_kafka(it.settings) as admin:
        await admin.delete_topics([Topics(it.settings.namespace).events])
    deadline = monotonic() + PATIENCE_SECONDS
    while not any(topic.created for topic in await create_topics(it.settings)):
        if monotonic() > deadline:
            raise FaultError("the deleted topic does not go away")
        await asyncio.sleep(0.05)
    it.shop.forget()
    return Damaged(it.settings, it.kafka)


async def add_partitions(it: Deployment, _: ExitStack) -> Damaged:
    """The event topic gets twice as many partitions, and the others with it."""
    topics, count = Topics(it.settings.namespace), 2 * PARTITIONS
    async with reach_kafka(it.settings) as admin:
        await admin.create_partitions(
            {
                name: NewPartitions(count)
                for name in (topics.events, topics.rejected, topics.changes)
            }
        )
    wider = it.settings.model_copy(update={"partitions": count})
    it.shop.move(partitioner(wider.partitioner, count), count)
    return Damaged(wider, it.kafka)


async def empty_redis(it: Deployment, _: ExitStack) -> Damaged:
    """Redis holds nothing any more."""
    redis = connect_redis(it.settings)
    await redis.flushall()
    await redis.aclose()
    return Damaged(it.settings, it.kafka)


async def move_to_another_cluster(it: Deployment, servers: ExitStack) -> Damaged:
    """The settings name another Kafka, which has none of the events."""
    other = servers.enter_context(ApacheKafka(it.directory / "other-kafka"))
    moved = it.settings.model_copy(update={"kafka": other.address})
    await create_topics(moved)
    it.shop.forget()
    return Damaged(moved, other)


DAMAGES = (
    Damage("topic made again", remake_topic, "the topic was made again"),
    Damage("partition count changed", add_partitions, "settings say 16"),
    Damage("Redis emptied", empty_redis, "holds no state"),
    Damage("state of another cluster", move_to_another_cluster, "another Kafka cluster"),
)


async def run_damage(
    damage: Damage, kafka: ApacheKafka, directory: Path, *, seed: int
) -> tuple[Verdict, int, float]:
    """Load, damage, refusal, rebuild and load again.

    Returns
    -------
    What everything amounts to, how many events were sent, and how many seconds lay between the
    start of `shoal rebuild` and processes that are ready.

    Raises
    ------
    FaultError
        Shoal starts where it must not, does not name the way out, or the way out leads nowhere.
    """
    with ExitStack() as servers:
        redis = servers.enter_context(EmbeddedRedis(directory / "redis"))
        settings = new_settings(kafka, redis)
        shop = new_shop(settings, seed)
        async with scene(directory, kafka, redis, settings, shop, workers=2) as it:
            verdict, sent, told = *await _serve(it), it.history.told
        if not verdict.is_clean:
            raise FaultError(f"wrong before anything was done: {verdict.examples}")
        there = await damage.do(Deployment(settings, kafka, shop, directory), servers)
        await _expect_refusal(there.settings, damage.refusal)
        began = monotonic()
        await _rebuild(there.settings)
        elsewhere = told if there.kafka is not kafka else None
        async with scene(
            *(directory, there.kafka, redis, there.settings, shop), workers=2, told=elsewhere
        ) as it:
            seconds = monotonic() - began
            verdict, more = await _serve(it)
        return verdict, sent + more, seconds


async def _serve(it: Scene) -> tuple[Verdict, int]:
    it.load.start()
    await it.until_lively()
    await asyncio.sleep(LOAD_SECONDS)
    verdict = await it.settle()
    return verdict, it.load.sent


async def _expect_refusal(settings: Settings, words: str) -> None:
    code, said = await _shoal(settings, "worker")
    if code != REFUSED or words not in said or "`shoal rebuild`" not in said:
        raise FaultError(f"`shoal worker` ended with {code}: {said}")


async def _rebuild(settings: Settings) -> None:
    code, said = await _shoal(settings, "rebuild", "--yes")
    if code:
        raise FaultError(f"`shoal rebuild` ended with {code}: {said}")


async def _shoal(settings: Settings, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(
        subprocess.run,
        (*SHOAL, *arguments),
        env={"PATH": str(Path(sys.executable).parent), **settings.environment()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr.strip()
