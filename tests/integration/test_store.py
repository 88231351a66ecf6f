"""One suite for what lanes need of the state: in memory, on Valkey, on Redis, on a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from config.redis_url import RedisUrl
from config.settings import Settings
from models.identifiers import CustomerId, SegmentId
from models.labels import Label
from stream.catalogue import Catalogue, StaleTrainerError
from stream.cluster import RedisClient
from stream.connections import connect_node, connect_redis
from stream.embedded import EmbeddedRedis
from stream.names import Keys
from stream.redis_store import RedisStore
from stream.sender import NotReplicatedError
from stream.store import (
    LaneFencedError,
    Outcome,
    Reached,
    SegmentRecord,
    Step,
    Store,
    StoredProfile,
)
from tests.memory_store import MemoryStore
from tests.redis_cluster import ValkeyCluster

ANN, BOB = CustomerId("ann"), CustomerId("böb")
TTL_MS = 60_000
SERVERS = ["redis_server", "redis_itself", pytest.param("cluster", marks=pytest.mark.slow)]


class InspectedStore(Store, Protocol):
    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]: ...

    async def lose_claims(self, partition: int, epoch: int) -> None: ...

    async def claimed_elsewhere(self, partition: int) -> None: ...


class InspectedRedis(RedisStore):
    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]:
        return await Catalogue(self.redis, self.keys).segment(customer, segmentation)

    async def lose_claims(self, partition: int, epoch: int) -> None:
        await self.redis.hset(self.keys.lane(partition), "epoch", epoch)

    async def claimed_elsewhere(self, partition: int) -> None:
        await self.redis.hset(self.keys.lane(partition), "server", "another")


@asynccontextmanager
async def connected(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    server = request.getfixturevalue(request.param)
    is_cluster = isinstance(server, ValkeyCluster)
    redis = connect_redis(Settings(redis=RedisUrl(server.url), redis_cluster=is_cluster))
    yield redis
    await redis.aclose()


@pytest.fixture(params=SERVERS)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    async with connected(request) as client:
        yield client


@pytest.fixture(params=["memory", *SERVERS])
async def store(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[InspectedStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with connected(request) as client:
        # A cluster's primaries have a replica each, and all steps wait for it.
        replicas = 1 if request.param == "cluster" else 0
        yield InspectedRedis(client, Keys(namespace), replicas=replicas)


REACHED = {"default": Reached(4, 0xABC), "value": Reached(2)}


def step(epoch: int, seq: int, **changes: object) -> Step:
    plain = Step(
        partition=3,
        epoch=epoch,
        owner="w",
        seq=seq,
        next_offset=seq + 10,
        clock="5",
        pending=b"told",
        reached={},
        profiles=[StoredProfile(ANN, b"a", 100), StoredProfile(BOB, b"b", 50)],
        sizes={"default:s1": 2},
        ttl_ms=TTL_MS,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields of Step


async def test_a_new_lane_begins_at_epoch_one_without_an_offset(store: InspectedStore) -> None:
    state = await store.claim(3, owner="w")
    assert (state.epoch, state.seq, state.next_offset) == (1, 0, None)
    assert (state.clock, state.pending, state.reached) == ("", b"", {})


async def test_a_step_moves_everything_at_once(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    assert await store.step(step(1, 0, reached=REACHED)) is Outcome.APPLIED
    assert await store.profiles(3, [ANN, CustomerId("nobody"), BOB]) == [b"a", None, b"b"]
    assert await store.due(3, 75, 10) == [BOB]
    state = await store.claim(3, owner="w")
    assert (state.epoch, state.seq, state.next_offset) == (2, 1, 10)
    assert (state.clock, state.pending, state.reached) == ("5", b"told", REACHED)


async def test_a_step_that_is_sent_twice_is_applied_once(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    assert await store.step(step(1, 0)) is Outcome.APPLIED
    again = step(1, 0, profiles=[StoredProfile(ANN, b"other", 100)])
    assert await store.step(again) is Outcome.APPLIED
    assert await store.profiles(3, [ANN]) == [b"a"]


async def test_a_worker_whose_lane_was_claimed_can_write_nothing(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    await store.claim(3, owner="w")
    assert await store.step(step(1, 0)) is Outcome.FENCED
    assert await store.profiles(3, [ANN]) == [None]


async def test_a_lane_that_went_back_in_time_refuses_the_next_step(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    assert await store.step(step(1, 7)) is Outcome.OUT_OF_ORDER
    assert await store.step(step(9, 0)) is Outcome.ROLLED_BACK


async def test_an_epoch_that_is_given_twice_fences_whom_it_was_given_first(
    store: InspectedStore,
) -> None:
    first = await store.claim(3, owner="w")
    await store.lose_claims(3, epoch=0)
    assert (await store.claim(3, owner="other")).epoch == first.epoch
    assert await store.step(step(1, 0)) is Outcome.FENCED
    with pytest.raises(LaneFencedError):
        await store.claim(3, owner="w", unless_above=first.epoch)
    assert await store.profiles(3, [ANN]) == [None]


async def test_a_server_takes_no_step_of_a_lane_that_was_claimed_on_another_one(
    store: InspectedStore,
) -> None:
    await store.claim(3, owner="w")
    await store.claimed_elsewhere(3)
    assert await store.step(step(1, 0)) is Outcome.RESTARTED
    again = await store.claim(3, owner="w", unless_above=1)
    assert await store.step(step(again.epoch, 0)) is Outcome.APPLIED


async def test_claiming_again_is_refused_after_somebody_else_did(store: InspectedStore) -> None:
    first = await store.claim(3, owner="w")
    await store.claim(3, owner="other")
    with pytest.raises(LaneFencedError):
        await store.claim(3, owner="w", unless_above=first.epoch)


async def test_claiming_again_is_allowed_while_nobody_else_did(store: InspectedStore) -> None:
    first = await store.claim(3, owner="w")
    assert (await store.claim(3, owner="w", unless_above=first.epoch)).epoch == first.epoch + 1


async def test_a_claim_whose_reply_was_lost_does_not_fence_its_own_worker(
    store: InspectedStore,
) -> None:
    first = await store.claim(3, owner="w")
    await store.claim(3, owner="w")
    assert (await store.claim(3, owner="w", unless_above=first.epoch)).epoch == first.epoch + 2


async def test_a_forgotten_customer_leaves_profile_and_due_set(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    await store.step(step(1, 0))
    gone = [StoredProfile(ANN, b"", None), StoredProfile(BOB, b"tombstone", None)]
    await store.step(step(1, 1, profiles=gone, sizes={"s1": -2}))
    assert await store.profiles(3, [ANN, BOB]) == [None, b"tombstone"]
    assert await store.due(3, 1_000, 10) == []


async def test_a_profile_that_is_left_as_it_is_is_looked_at_when_due(
    store: InspectedStore,
) -> None:
    await store.claim(3, owner="w")
    await store.step(step(1, 0))
    await store.step(step(1, 1, profiles=[StoredProfile(BOB, None, 200)], sizes={}))
    assert await store.profiles(3, [ANN, BOB]) == [b"a", b"b"]
    assert await store.due(3, 199, 10) == [ANN]
    assert await store.due(3, 200, 10) == [ANN, BOB]


async def test_a_scan_comes_past_everybody(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    names = [CustomerId(f"c{i}") for i in range(1_500)]
    await store.step(step(1, 0, profiles=[StoredProfile(name, b"x", 5) for name in names]))
    seen: set[CustomerId] = set()
    cursor, rounds = 0, 0
    while cursor or not rounds:
        cursor, found = await store.scan(3, cursor, 100)
        seen |= set(found)
        rounds += 1
    assert seen == set(names)
    assert rounds > 1


async def test_the_highest_version_of_a_segment_stays(store: InspectedStore) -> None:
    def record(version: int, number: str | None) -> SegmentRecord:
        public = SegmentId(number) if number else None
        label = Label("name", "/tea", tags=("tea",))
        return SegmentRecord(*("default", ANN, version, public, label, 0.5, "then", "s9", 1, "now"))

    await store.write_segments([record(2, "s2")])
    await store.write_segments([record(1, "s1")])
    found = await store.segment(ANN, "default")
    assert (found["id"], found["version"], found["confidence"]) == ("s2", "2", "0.5000")
    await store.write_segments([record(3, None)])
    assert await store.segment(ANN, "default") == {"version": "3"}
    await store.write_segments([record(2, "s2")])
    assert await store.segment(ANN, "default") == {"version": "3"}


async def test_counts_of_all_lanes_add_up(redis: RedisClient, namespace: str) -> None:
    store, catalogue = RedisStore(redis, Keys(namespace)), Catalogue(redis, Keys(namespace))
    for partition in (0, 1):
        await store.claim(partition, owner="w")
        sizes = {"default:s1": 1, "default:unassigned": 1, "value:s1": 5}
        await store.step(step(1, 0, partition=partition, sizes=sizes))
    assert await catalogue.sizes([0, 1], "default") == {"s1": 2, "unassigned": 2}
    assert await catalogue.customers([0, 1]) == 4


async def test_profiles_end_by_themselves_when_no_sweep_comes(
    redis: RedisClient, namespace: str
) -> None:
    store = RedisStore(redis, Keys(namespace))
    await store.claim(3, owner="w")
    await store.step(step(1, 0))
    assert 0 < await redis.pttl(Keys(namespace).profile(3, ANN)) <= TTL_MS


async def test_many_segments_are_written_at_once(store: InspectedStore) -> None:
    names = [CustomerId(f"c{i}") for i in range(200)]
    records = [
        SegmentRecord(
            *("default", name, 1, SegmentId("s1"), Label("name"), 0.5, "then", "", 1, "now")
        )
        for name in names
    ]
    await store.write_segments(records)
    found = [await store.segment(name, "default") for name in names]
    assert {segment["id"] for segment in found} == {"s1"}


async def test_a_model_and_its_segments_are_published_as_one(
    redis: RedisClient, namespace: str
) -> None:
    catalogue = Catalogue(redis, Keys(namespace))
    epoch = await catalogue.claim_training("default")
    for version, name in enumerate(["Old", "New"], start=1):
        cards = {f"s{version}": f'{{"name": "{name}"}}'}
        for _ in range(2):  # the reply to the first was lost
            await catalogue.publish_model(
                b"model", version=version, epoch=epoch, segments=cards, segmentation="default"
            )
    assert await catalogue.model_version("default") == 2
    assert await catalogue.model(2, "default") == b"model"
    assert await catalogue.segments("default") == {"s2": {"name": "New"}}


async def test_a_trainer_whose_place_was_taken_publishes_nothing(
    redis: RedisClient, namespace: str
) -> None:
    catalogue = Catalogue(redis, Keys(namespace))
    stale = await catalogue.claim_training("default")
    await catalogue.claim_training("default")
    with pytest.raises(StaleTrainerError):
        await catalogue.publish_model(
            b"late", version=1, epoch=stale, segments={}, segmentation="default"
        )
    assert await catalogue.model_version("default") == 0


async def test_what_no_replica_has_does_not_count(
    redis_server: EmbeddedRedis, namespace: str
) -> None:
    async with connect_node(Settings(redis=RedisUrl(redis_server.url))) as alone:
        with pytest.raises(NotReplicatedError, match="0 of 1 replicas"):
            await RedisStore(alone, Keys(namespace), replicas=1).claim(3, owner="w")


async def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(
    redis: RedisClient, namespace: str
) -> None:
    store = RedisStore(redis, Keys(namespace))
    await store.claim(3, owner="w")
    await redis.script_flush()
    assert (await store.claim(3, owner="w")).epoch == 2


async def test_a_scan_comes_past_everybody_though_the_server_restarts(
    tmp_path: Path, namespace: str
) -> None:
    names = [CustomerId(f"c{i}") for i in range(1_500)]
    with EmbeddedRedis(tmp_path) as server:
        redis = connect_redis(Settings(redis=RedisUrl(server.url)), retries=1)
        store = RedisStore(redis, Keys(namespace))
        await store.claim(3, owner="w")
        await store.step(step(1, 0, profiles=[StoredProfile(name, b"x", 5) for name in names]))
        cursor, found = await store.scan(3, 0, 1_000)
        seen = set(found)
        server.stop()
        server.start()
        while cursor:
            cursor, found = await store.scan(3, cursor, 100)
            seen |= set(found)
        await redis.aclose()
    assert seen == set(names)
