"""What lanes need of the state while nodes of a cluster fail: nothing that counts is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from redis.exceptions import RedisError

from config.redis_url import RedisUrl
from config.settings import Settings
from models.identifiers import CustomerId, SegmentId
from models.labels import Label
from stream.catalogue import Catalogue
from stream.connections import connect_redis
from stream.embedded import EmbeddedRedis
from stream.names import Keys
from stream.redis_store import RedisStore
from stream.sender import NotReplicatedError
from stream.store import Outcome, SegmentRecord, Step, StoredProfile
from stream.together import cancelled
from tests.redis_cluster import ValkeyCluster

pytestmark = pytest.mark.slow

PARTITIONS = range(6)
PATIENCE_SECONDS = 40.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ValkeyCluster]:
    """A cluster whose nodes a test may harm."""
    with ValkeyCluster(tmp_path / "cluster") as nodes:
        yield nodes


class Mover:
    """A lane without events: it steps as fast as it can, and claims again after every failure."""

    def __init__(self, store: RedisStore, partition: int) -> None:
        self.steps = 0
        self.failures: list[Exception] = []
        self._store = store
        self._partition = partition
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Raise what was no failure of Redis."""
        await cancelled(self._task)
        if not self._task.cancelled():
            self._task.result()

    def check(self) -> None:
        if self._task.done():
            self._task.result()

    async def _run(self) -> None:
        acknowledged = 0
        while True:
            try:
                state = await self._store.claim(self._partition, owner="w")
                assert state.seq >= acknowledged, f"{acknowledged - state.seq} steps are gone"
                epoch, seq = state.epoch, state.seq
                while (taken := await self._step(epoch, seq)) is not Outcome.RESTARTED:
                    assert taken is Outcome.APPLIED
                    seq = acknowledged = seq + 1
                    await self._store.write_segments([self._page(seq)])
                    page = await Catalogue(self._store.redis, self._store.keys).segment(
                        self._customer, "default"
                    )
                    assert int(page["version"]) == seq
                    self.steps += 1
            except (RedisError, OSError) as error:
                self.failures.append(error)
                await asyncio.sleep(0.1)

    @property
    def _customer(self) -> CustomerId:
        return CustomerId(f"c{self._partition}")

    async def _step(self, epoch: int, seq: int) -> Outcome:
        """A fail-over may pass unseen between two steps: the new primary asks for a new claim."""
        step = Step(
            partition=self._partition,
            epoch=epoch,
            owner="w",
            seq=seq,
            next_offset=seq,
            clock="",
            pending=b"",
            reached={},
            profiles=[StoredProfile(self._customer, b"profile", 1)],
            sizes={"s1": 1},
            ttl_ms=60_000,
        )
        return await self._store.step(step)

    def _page(self, version: int) -> SegmentRecord:
        return SegmentRecord(
            *("default", self._customer, version, SegmentId("s1"), Label("name")),
            *(0.5, "then", "", 1, "now"),
        )


@asynccontextmanager
async def moving(cluster: ValkeyCluster, *, replicas: int) -> AsyncIterator[list[Mover]]:
    """Lanes that move; after it none has seen anything but failures of Redis."""
    settings = Settings(redis=RedisUrl(cluster.url), redis_cluster=True)
    redis = connect_redis(settings)
    store = RedisStore(redis, Keys("moving"), replicas=replicas)
    movers = [Mover(store, partition) for partition in PARTITIONS]
    try:
        await all_move(movers)
        yield movers
        await all_move(movers)
        for mover in movers:
            await mover.stop()
    finally:
        await redis.aclose()


async def all_move(movers: list[Mover]) -> None:
    """Return once every lane has made some more steps."""
    before = [mover.steps for mover in movers]

    def have_moved() -> bool:
        return all(m.steps > steps + 3 for m, steps in zip(movers, before, strict=True))

    await until(have_moved, movers)


async def until(condition: Callable[[], bool], movers: list[Mover]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline
        for mover in movers:
            mover.check()
        await asyncio.sleep(0.02)


def primary_of_lane(cluster: ValkeyCluster, partition: int) -> EmbeddedRedis:
    return cluster.primary_of(Keys("moving").lane(partition))


async def test_a_coordinated_fail_over_loses_nothing(own: ValkeyCluster) -> None:
    async with moving(own, replicas=0) as movers:
        for partition in PARTITIONS[:3]:
            primary = primary_of_lane(own, partition)
            await asyncio.to_thread(own.fail_over, primary)
            await all_move(movers)
            assert primary_of_lane(own, partition) is not primary


async def test_what_counts_survives_the_death_of_its_primary(own: ValkeyCluster) -> None:
    async with moving(own, replicas=1) as movers:
        for partition in PARTITIONS[:3]:
            primary = primary_of_lane(own, partition)
            primary.kill()
            await asyncio.to_thread(own.until_replaced, primary)
            primary.start()
            await all_move(movers)


async def test_a_frozen_primary_is_replaced_and_writes_nothing_when_it_wakes(
    own: ValkeyCluster,
) -> None:
    async with moving(own, replicas=1) as movers:
        primary = primary_of_lane(own, 0)
        primary.freeze()
        await asyncio.to_thread(own.until_replaced, primary)
        primary.thaw()
        await all_move(movers)


async def test_lanes_wait_while_a_shard_has_too_few_replicas_and_the_others_go_on(
    own: ValkeyCluster,
) -> None:
    async with moving(own, replicas=1) as movers:
        primary = primary_of_lane(own, 0)
        (replica,) = own.replicas_of(primary)
        replica.kill()

        def is_told() -> bool:
            return any(isinstance(error, NotReplicatedError) for error in movers[0].failures)

        await until(is_told, movers)
        replica.start()
