"""A lane whose Redis, Kafka or place is taken away."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from models.identifiers import CustomerId
from stream.deployment import StateLostError
from stream.store import LaneState, Outcome, Reached, Step
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import Kit, event, record, two_segments, until


def reached(store: MemoryStore) -> int:
    """The model that everybody was scored by."""
    return store.lanes[0].reached.get("default", Reached()).model


async def test_a_successor_tells_what_its_predecessor_could_not_byte_for_byte(
    kit: Kit, store: MemoryStore
) -> None:
    kit.model = two_segments()

    def die() -> None:
        raise asyncio.CancelledError

    kit.kafka.fail = die
    lane = kit.lane()
    task = asyncio.create_task(lane.run())
    await until(lambda: lane.next_offset is not None)
    await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
    await asyncio.wait([task])
    assert kit.kafka.told == []
    pending = store.lanes[0].pending
    kit.kafka.fail = None
    async with kit.running() as successor:
        assert successor.next_offset == 1
    assert [value for _, value in kit.kafka.told] == [pending]


class LossyStore(MemoryStore):
    """Applies a step, then loses the connection before the worker hears of it."""

    lose = False

    async def step(self, step: Step) -> Outcome:
        outcome = await super().step(step)
        if self.lose:
            self.lose = False
            raise RedisConnectionError("connection lost")
        return outcome


async def test_a_reply_that_is_lost_counts_nothing_twice() -> None:
    store = LossyStore()
    kit = Kit(store, model=two_segments())
    async with kit.running() as lane:
        await until(lambda: reached(store) == 1)
        store.lose = True
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
        again = kit.kafka.batch(record(0, event("ann", 1)), record(1, event("ann", 2)))
        await lane.inbox.put(again)
        await until(lambda: lane.next_offset == 2)
    assert kit.orders() == {"ann": 2}
    assert len({change["id"] for change in kit.kafka.events()}) == len(kit.kafka.told) == 1


class AbsentStore(MemoryStore):
    """Does not answer for a while."""

    answers = True
    refused = 0

    async def profiles(self, partition: int, customers: Sequence[CustomerId]) -> list[bytes | None]:
        if not self.answers:
            self.refused += 1
            raise RedisConnectionError("connection refused")
        return await super().profiles(partition, customers)

    async def claim(
        self, partition: int, *, owner: str, unless_above: int | None = None
    ) -> LaneState:
        if not self.answers:
            raise RedisConnectionError("connection refused")
        return await super().claim(partition, owner=owner, unless_above=unless_above)


async def test_a_redis_that_goes_away_is_waited_for() -> None:
    store = AbsentStore()
    kit = Kit(store)
    async with kit.running() as lane:
        store.answers = False
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: store.refused)
        store.answers = True
        await until(lambda: len(kit.kafka.sought) == 2)
        assert kit.kafka.sought == [0, 0]
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
    assert kit.orders() == {"ann": 1}


async def test_a_worker_that_lost_its_lane_writes_nothing_and_rests(
    kit: Kit, store: MemoryStore
) -> None:
    async with kit.running() as lane:
        other = await store.claim(0, owner="other")
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: store.lanes[0].epoch > other.epoch)
        assert kit.orders() == {}


async def test_a_redis_that_came_back_older_is_read_again_from_its_own_offset(
    kit: Kit, store: MemoryStore
) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
        older = store.lanes.pop(0)
        store.lanes[0].epoch = older.epoch - 1
        await lane.inbox.put(kit.kafka.batch(record(1, event("ann", 2))))
        await until(lambda: lane.next_offset == 0)
        everything = [record(at, event("ann", at + 1)) for at in range(2)]
        await lane.inbox.put(kit.kafka.batch(*everything))
        await until(lambda: lane.next_offset == 2)
    assert kit.orders() == {"ann": 2}


async def test_a_log_that_ends_before_what_was_counted_ends_the_lane(kit: Kit) -> None:
    lane = kit.lane()
    task = asyncio.create_task(lane.run())
    await until(lambda: lane.is_serving)
    await lane.inbox.put(kit.kafka.batch(*[record(n, event("ann", n)) for n in range(3)]))
    await until(lambda: lane.next_offset == 3)
    kit.kafka.log_end = 1
    await lane.inbox.put(kit.kafka.batch(record(0, event("bob", 1))))
    with pytest.raises(StateLostError, match="ends at 1, so the topic was made again"):
        await asyncio.wait_for(task, 5)
    assert kit.orders() == {"ann": 3}


async def test_a_lane_that_rests_holds_nobody_up_and_stops_at_once(
    kit: Kit, store: MemoryStore
) -> None:
    lane = kit.lane(fenced_pause_seconds=3600)
    task = asyncio.create_task(lane.run())
    await until(lambda: lane.is_serving)
    await store.claim(0, owner="other")
    await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
    await until(lambda: not lane.is_serving)
    for n in range(1_000):
        await lane.inbox.put(kit.kafka.batch(record(n, event("ann", n))))
    lane.stop()
    await asyncio.wait_for(task, 5)
    assert kit.orders() == {}
