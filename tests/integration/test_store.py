"""One suite for what lanes need of the state, on the in-memory store and on a real server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

import pytest
from redis.asyncio import Redis

from models.identifiers import CustomerId, SegmentId
from stream.catalogue import Catalogue
from stream.names import Keys
from stream.store import (
    LaneFencedError,
    Outcome,
    RedisStore,
    SegmentRecord,
    Step,
    Store,
    StoredProfile,
)
from tests.memory_store import MemoryStore

ANN, BOB = CustomerId("ann"), CustomerId("böb")
TTL_MS = 60_000


class InspectedStore(Store, Protocol):
    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]: ...


class InspectedRedis(RedisStore):
    async def segment(self, customer: CustomerId, segmentation: str) -> dict[str, str]:
        return await Catalogue(self.redis, self.keys).segment(customer, segmentation)


@pytest.fixture(params=["memory", "redis"])
async def store(
    request: pytest.FixtureRequest, redis: Redis, namespace: str
) -> AsyncIterator[InspectedStore]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        yield InspectedRedis(redis, Keys(namespace))


def step(epoch: int, seq: int, **changes: object) -> Step:
    plain = Step(
        partition=3,
        epoch=epoch,
        seq=seq,
        next_offset=seq + 10,
        clock="5",
        pending=b"told",
        rescored=0,
        profiles=[StoredProfile(ANN, b"a", 100), StoredProfile(BOB, b"b", 50)],
        sizes={"s1": 2},
        ttl_ms=TTL_MS,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields of Step


async def test_a_new_lane_begins_at_epoch_one_without_an_offset(store: InspectedStore) -> None:
    state = await store.claim(3, owner="w")
    assert (state.epoch, state.seq, state.next_offset) == (1, 0, None)
    assert (state.clock, state.pending, state.rescored) == ("", b"", 0)


async def test_a_step_moves_everything_at_once(store: InspectedStore) -> None:
    await store.claim(3, owner="w")
    assert await store.step(step(1, 0, rescored=4)) is Outcome.APPLIED
    assert await store.profiles(3, [ANN, CustomerId("nobody"), BOB]) == [b"a", None, b"b"]
    assert await store.due(3, 75, 10) == [BOB]
    state = await store.claim(3, owner="w")
    assert (state.epoch, state.seq, state.next_offset) == (2, 1, 10)
    assert (state.clock, state.pending, state.rescored) == ("5", b"told", 4)


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
        return SegmentRecord(ANN, version, public, "name", 0.5, "then", "s9", 1, "now")

    await store.write_segments([record(2, "s2")], "default")
    await store.write_segments([record(1, "s1")], "default")
    found = await store.segment(ANN, "default")
    assert (found["id"], found["version"], found["confidence"]) == ("s2", "2", "0.5000")
    await store.write_segments([record(3, None)], "default")
    assert await store.segment(ANN, "default") == {"version": "3"}
    await store.write_segments([record(2, "s2")], "default")
    assert await store.segment(ANN, "default") == {"version": "3"}


async def test_counts_of_all_lanes_add_up(redis: Redis, namespace: str) -> None:
    store, catalogue = RedisStore(redis, Keys(namespace)), Catalogue(redis, Keys(namespace))
    for partition in (0, 1):
        await store.claim(partition, owner="w")
        await store.step(step(1, 0, partition=partition, sizes={"s1": 1, "unassigned": 1}))
    assert await catalogue.sizes([0, 1]) == {"s1": 2, "unassigned": 2}
    assert await catalogue.customers([0, 1]) == 4


async def test_profiles_end_by_themselves_when_no_sweep_comes(redis: Redis, namespace: str) -> None:
    store = RedisStore(redis, Keys(namespace))
    await store.claim(3, owner="w")
    await store.step(step(1, 0))
    assert 0 < await redis.pttl(Keys(namespace).profile(3, ANN)) <= TTL_MS
