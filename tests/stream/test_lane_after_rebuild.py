"""A lane after a rebuild: customers of whom it knows what was told, and nothing else."""

from models.identifiers import CustomerId
from models.profiles import DAY_MS
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, START_MS, Kit, event, maker, record, two_segments, until


def carried(version: int, segment: int) -> bytes:
    """A profile as a rebuild leaves it: in a segment, with nothing counted."""
    rows = SCHEMA.empty(1)
    rows["version"], rows["segment"], rows["last_ms"] = version, segment, START_MS
    return SCHEMA.encode(rows)[0]


async def test_after_a_rebuild_an_event_moves_a_customer_on_from_where_they_were(
    kit: Kit, store: MemoryStore
) -> None:
    store.lanes[0].profiles[CustomerId("ann")] = carried(4, 2)
    store.lanes[0].due[CustomerId("ann")] = START_MS + 100 * DAY_MS
    store.lanes[0].sizes["default:s2"] = 1
    kit.model = two_segments()
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
    (told,) = kit.kafka.events()
    assert (told["data"]["from"]["id"], told["data"]["to"]["id"]) == ("s2", "s1")
    assert told["data"]["version"] == 5
    assert kit.orders() == {"ann": 1}
    assert {name: n for name, n in store.lanes[0].sizes.items() if n} == {"default:s1": 1}


async def test_after_a_rebuild_who_does_not_come_back_expires(kit: Kit, store: MemoryStore) -> None:
    store.lanes[0].profiles[CustomerId("ann")] = carried(4, 2)
    store.lanes[0].due[CustomerId("ann")] = START_MS + 100 * DAY_MS
    store.lanes[0].sizes["default:s2"] = 1
    kit.model = two_segments()
    kit.wall_ms = START_MS + 100 * DAY_MS
    async with kit.running(maker(is_live=True)):
        await until(lambda: kit.kafka.told)
    (told,) = kit.kafka.events()
    assert (told["data"]["reason"], told["data"]["version"]) == ("expired", 5)
    assert (told["data"]["from"]["id"], told["data"]["to"]) == ("s2", None)
    assert store.lanes[0].due == {}
    assert not any(store.lanes[0].sizes.values())
