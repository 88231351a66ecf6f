"""What was told of customers, collected from profiles and changes, on a real Redis."""

from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from models.columns import Rows
from models.identifiers import CustomerId, SegmentId
from models.profiles import DAY_MS
from stream.changes import Change, ChangeData, SegmentRef, TargetRef, change_bytes, change_id, utc
from stream.homes import Homes
from stream.names import Keys
from stream.partitions import partitioner
from stream.recount import Recount
from stream.remains import Remains
from tests.stream.lane_kit import SCHEMA, START_MS, MemoryKafka, event, maker, record

ANN, BOB = CustomerId("ann"), CustomerId("bob")


@dataclass
class Kit:
    """A namespace of eight partitions."""

    redis: Redis
    keys: Keys
    homes: Homes
    remains: Remains

    async def profile(self, customer: CustomerId) -> Rows:
        return SCHEMA.decode(await self.homes.store.profiles(self.homes.of(customer), [customer]))

    async def put(self, partition: int, customer: CustomerId, **fields: int) -> str:
        """Store a profile; the name of its key."""
        rows = SCHEMA.empty(1)
        for name, value in fields.items():
            rows[name] = value
        key = self.keys.profile(partition, customer)
        await self.redis.set(key, SCHEMA.encode(rows)[0])
        return key


@pytest.fixture
def kit(redis: Redis, namespace: str) -> Kit:
    keys = Keys(namespace)
    eight = maker()
    eight = replace(eight, reading=replace(eight.reading, partition_of=partitioner("murmur2", 8)))
    homes = Homes(redis, keys, eight)
    return Kit(redis, keys, homes, Remains(keys, homes))


def change(customer: CustomerId, version: int, target: str | None, model: int = 3) -> bytes:
    return change_bytes(
        Change(
            id=change_id("default", customer, "0:0", version),
            source="/test",
            subject=customer,
            time=utc(START_MS + version),
            data=ChangeData(
                segmentation="default",
                customer_id=customer,
                origin=SegmentRef(id=SegmentId("s9"), name="Old"),
                target=TargetRef(id=SegmentId(target), name="New") if target else None,
                reason="event",
                confidence=0.5,
                runner_up=None,
                margin=0.2,
                since=utc(START_MS),
                version=version,
                model_version=model,
                cause_event_id=None,
            ),
        )
    )


async def test_a_profile_moves_to_where_its_customer_belongs_now(kit: Kit) -> None:
    home = kit.homes.of(ANN)
    away = (home + 1) % 8
    key = await kit.put(away, ANN, version=4, segment=2, first_ms=1, last_ms=START_MS)
    await kit.remains.keep_profiles([key])
    row = (await kit.profile(ANN))[0]
    assert (row["version"], row["segment"], row["first_ms"]) == (4, 2, 0)
    assert not await kit.redis.exists(key)
    due = await kit.redis.zscore(kit.keys.due(home), ANN)
    assert due == START_MS + 100 * DAY_MS
    assert await kit.redis.pttl(kit.keys.profile(home, ANN)) > 0


async def test_of_two_profiles_of_a_customer_the_later_one_is_kept(kit: Kit) -> None:
    keys = [await kit.put(at, ANN, version=at + 1, segment=at + 1) for at in range(8)]
    for _ in range(2):
        await kit.remains.keep_profiles(keys)
        assert (await kit.profile(ANN))["version"].tolist() == [[8]]
    assert [bool(await kit.redis.exists(key)) for key in keys].count(True) == 1


async def test_who_was_never_told_anything_is_deleted(kit: Kit) -> None:
    key = await kit.put(kit.homes.of(ANN), ANN, first_ms=1, last_ms=1)
    await kit.remains.keep_profiles([key])
    assert not await kit.redis.exists(key)
    assert await kit.redis.zcard(kit.keys.due(kit.homes.of(ANN))) == 0


async def test_the_highest_version_of_a_change_is_kept_and_shown(kit: Kit) -> None:
    values = [change(ANN, 2, "s4"), change(ANN, 3, "s5"), change(ANN, 2, "s4"), b"{nonsense", None]
    await kit.remains.keep_changes([record(at, value) for at, value in enumerate(values)])
    row = (await kit.profile(ANN))[0]
    assert [row[name].tolist() for name in ("version", "segment", "previous")] == [[3], [5], [9]]
    assert row["last_ms"] == START_MS + 3
    page = await kit.redis.hgetall(kit.keys.segment(ANN))
    assert (page[b"id"], page[b"version"], page[b"previous"]) == (b"s5", b"3", b"s9")
    assert (kit.remains.told, kit.remains.unreadable) == ({"default": (3, 9)}, 2)


async def test_a_profile_is_not_set_back_by_an_older_change(kit: Kit) -> None:
    key = await kit.put(kit.homes.of(ANN), ANN, version=6, segment=2, last_ms=START_MS)
    await kit.remains.keep_profiles([key])
    await kit.remains.keep_changes([record(0, change(ANN, 5, "s4"))])
    assert (await kit.profile(ANN))[["version", "segment"]].tolist() == [([6], [2])]


async def test_who_left_keeps_the_version_and_is_not_looked_at_again(kit: Kit) -> None:
    await kit.remains.keep_changes([record(0, change(ANN, 7, None))])
    assert (await kit.profile(ANN))[["version", "segment"]].tolist() == [([7], [0])]
    assert await kit.redis.zcard(kit.keys.due(kit.homes.of(ANN))) == 0


async def test_events_of_former_layouts_count_where_their_customers_belong(kit: Kit) -> None:
    kafka = MemoryKafka()
    four = partitioner("murmur2", 4)
    recount = Recount(kit.homes, kafka, [four], lambda: START_MS)
    customers = [CustomerId(f"c{number}") for number in range(40)]
    for partition in range(4):
        here = [name for name in customers if four(name.encode()) == partition]
        await recount.take(partition, [record(at, event(name, 1)) for at, name in enumerate(here)])
    for partition in range(8):
        here = [name for name in customers if kit.homes.of(name) == partition]
        await recount.take(
            partition, [record(at + 99, event(name, 2)) for at, name in enumerate(here)]
        )
    for name in customers:
        assert SCHEMA.vectors(await kit.profile(name), START_MS)[0, 0] == 2
    assert (recount.events, recount.rejected) == (80, 0)
    stray = next(p for p in range(8) if p not in {kit.homes.of(ANN), four(ANN.encode())})
    await recount.take(stray, [record(0, event(ANN, 3))])
    assert [rejection.reason.value for rejection in kafka.rejected] == ["wrong_partition"]
