"""A lane that gets events, models and time."""

from dataclasses import replace

from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from models.identifiers import CustomerId
from models.profiles import DAY_MS
from stream.store import Reached
from stream.transport import RecordBatch
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import SCHEMA, START_MS, Kit, event, maker, record, two_segments, until


def reached(store: MemoryStore) -> int:
    """The model that everybody was scored by."""
    return store.lanes[0].reached.get("default", Reached()).model


async def test_events_become_profiles_and_the_lane_moves_on(kit: Kit, store: MemoryStore) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(
            kit.kafka.batch(
                record(0, event("ann", 1)), record(1, event("bob", 1)), record(2, event("ann", 2))
            )
        )
        await until(lambda: lane.next_offset == 3)
    assert kit.orders() == {"ann": 2, "bob": 1}
    assert store.lanes[0].sizes == {"default:unassigned": 2}
    assert set(kit.kafka.sampled) == {"ann", "bob"}


async def test_nothing_is_taken_before_it_is_known_what_is_in_force(store: MemoryStore) -> None:
    kit, asked = Kit(store), 0

    async def informed() -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RedisConnectionError("gone")
        kit.model = two_segments()

    kit.informed = informed
    store.lanes[0] = replace(store.lanes[0], reached={"default": Reached(1)})
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.is_serving)
        assert asked == 3
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
        assert reached(store) == 1
    (told,) = kit.kafka.events()
    assert (told["data"]["reason"], told["data"]["to"]["id"]) == ("event", "s1")


async def test_what_cannot_be_read_is_set_aside_and_the_rest_goes_on(kit: Kit) -> None:
    bad = [b"{half", None, event("ann", 1, value=1)[:-1], b"\xff\xfe", event("", 1)]
    async with kit.running() as lane:
        records = [record(at, value) for at, value in enumerate(bad)]
        await lane.inbox.put(kit.kafka.batch(*records, record(5, event("ann", 2))))
        await until(lambda: lane.next_offset == 6)
    assert [r.record.offset for r in kit.kafka.rejected] == [0, 1, 2, 3, 4]
    assert kit.orders() == {"ann": 1}


async def test_an_event_on_another_customers_partition_is_rejected(kit: Kit) -> None:
    async with kit.running(maker(partition=1)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
    assert [r.reason.value for r in kit.kafka.rejected] == ["wrong_partition"]
    assert kit.orders() == {}


async def test_records_that_come_again_are_not_counted_again(kit: Kit) -> None:
    first, second = record(0, event("ann", 1)), record(1, event("ann", 2))
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(first))
        await lane.inbox.put(kit.kafka.batch(first, second))
        await until(lambda: lane.next_offset == 2)
    assert kit.orders() == {"ann": 2}


async def test_a_slow_kafka_makes_no_event_late_that_is_in_redis(kit: Kit) -> None:
    kit.model = two_segments()
    seconds, events = "shoal_event_to_redis_seconds_sum", "shoal_event_to_redis_seconds_count"
    before = {name: REGISTRY.get_sample_value(name) or 0.0 for name in (seconds, events)}

    def take_a_minute() -> None:
        kit.wall_ms += 60_000

    kit.kafka.fail = take_a_minute
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1 and kit.kafka.told)
    after = {name: REGISTRY.get_sample_value(name) or 0.0 for name in (seconds, events)}
    assert after[events] == before[events] + 1
    assert after[seconds] == before[seconds]


async def test_a_batch_from_before_a_seek_is_left_alone(kit: Kit) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(RecordBatch(0, [record(0, event("ann", 1))], seeks=0, read_from=0))
        await lane.inbox.put(kit.kafka.batch(record(0, event("bob", 1))))
        await until(lambda: lane.next_offset == 1)
    assert kit.orders() == {"bob": 1}


async def test_what_was_skipped_on_the_way_is_sought_back(kit: Kit) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(7, event("ann", 7)), read_from=5))
        await until(lambda: kit.kafka.sought == [0, 0])
        await lane.inbox.put(kit.kafka.batch(record(7, event("ann", 7)), read_from=5))
        await until(lambda: kit.kafka.sought == [0, 0, 0])
        assert lane.next_offset == 0
        await lane.inbox.put(kit.kafka.batch(*[record(n, event("ann", n)) for n in range(8)]))
        await until(lambda: lane.next_offset == 8)
    assert kit.orders() == {"ann": 8}


async def test_a_hole_in_the_log_itself_is_passed_over(kit: Kit) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(7, event("ann", 1)), read_from=0))
        await until(lambda: lane.next_offset == 8)
    assert kit.kafka.sought == [0]
    assert kit.orders() == {"ann": 1}


async def test_without_a_model_nobody_has_a_segment_and_then_everybody_gets_one(
    kit: Kit, store: MemoryStore
) -> None:
    async with kit.running() as lane:
        events = [event("ann", 1), *(event("bob", n) for n in range(5))]
        records = [record(at, value) for at, value in enumerate(events)]
        await lane.inbox.put(kit.kafka.batch(*records))
        await until(lambda: lane.next_offset == 6)
        assert kit.kafka.told == []
        kit.model = two_segments()
        await until(lambda: len(kit.kafka.told) == 2)
    changes = {change["subject"]: change["data"] for change in kit.kafka.events()}
    assert {name: data["to"]["id"] for name, data in changes.items()} == {"ann": "s1", "bob": "s2"}
    assert {data["reason"] for data in changes.values()} == {"model"}
    assert all(data["from"] is None and data["version"] == 1 for data in changes.values())
    assert +store.lanes[0].sizes == {"default:s1": 1, "default:s2": 1}
    assert store.segments["default", CustomerId("bob")].label.name == "Many orders"


async def test_a_customer_who_moves_is_told_of_with_the_event_that_did_it(kit: Kit) -> None:
    kit.model = two_segments()
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: lane.next_offset == 1)
        more = [record(at, event("ann", at)) for at in range(1, 6)]
        await lane.inbox.put(kit.kafka.batch(*more))
        await until(lambda: lane.next_offset == 6)
    first, second = (change["data"] for change in kit.kafka.events())
    assert (first["to"]["id"], second["from"]["id"], second["to"]["id"]) == ("s1", "s1", "s2")
    assert (second["reason"], second["cause_event_id"], second["version"]) == ("event", "ann-5", 2)


async def test_a_customer_who_never_comes_back_is_forgotten_once(
    kit: Kit, store: MemoryStore
) -> None:
    kit.model = two_segments()
    kit.wall_ms = START_MS
    async with kit.running(maker(is_live=True)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: len(kit.kafka.told) == 1)
    kit.wall_ms = START_MS + 101 * DAY_MS
    async with kit.running(maker(is_live=True)) as lane:
        await until(lambda: kit.kafka.events()[-1]["data"]["version"] == 2)
        await lane.inbox.put(kit.kafka.batch(record(1, event("ann", 1, time_ms=kit.wall_ms))))
        await until(lambda: kit.kafka.events()[-1]["data"]["version"] == 3)
    gone, back = (change["data"] for change in kit.kafka.events()[-2:])
    assert (gone["reason"], gone["to"], gone["version"]) == ("expired", None, 2)
    assert (back["from"], back["to"]["id"], back["version"]) == (None, "s1", 3)
    assert +store.lanes[0].sizes == {"default:s1": 1}
    assert kit.orders() == {"ann": 1}


async def test_records_that_come_again_are_skipped_while_the_log_goes_on(kit: Kit) -> None:
    async with kit.running() as lane:
        records = [record(n, event("ann", n)) for n in range(3)]
        await lane.inbox.put(kit.kafka.batch(*records))
        await until(lambda: lane.next_offset == 3)
        kit.kafka.log_end = 4
        await lane.inbox.put(kit.kafka.batch(*records, record(3, event("ann", 3))))
        await until(lambda: lane.next_offset == 4)
    assert kit.orders() == {"ann": 4}


async def test_a_model_that_comes_during_a_scan_scores_everybody_again(
    kit: Kit, store: MemoryStore
) -> None:
    async with kit.running() as lane:
        records = [record(n, event(f"c{n:04}", 1)) for n in range(1_200)]
        await lane.inbox.put(kit.kafka.batch(*records))
        await until(lambda: lane.next_offset == 1_200)
        kit.model = two_segments(version=1)
        await until(lambda: len(kit.kafka.told) >= 500)
        kit.model = two_segments(version=2)
        await until(lambda: reached(store) == 2)
    rows = SCHEMA.decode(list(store.lanes[0].profiles.values()))
    assert set(rows["model"].ravel().tolist()) == {2}


async def test_values_without_a_rate_are_counted_by_currency(kit: Kit) -> None:
    def count(currency: str) -> float:
        name = "shoal_values_without_rate_total"
        return REGISTRY.get_sample_value(name, {"currency": currency}) or 0.0

    before = {currency: count(currency) for currency in ("SEK", "other")}
    async with kit.running() as lane:
        currencies = ["SEK", "sek", "monopoly money", "EUR"]
        values = [
            event("ann", n, properties={"value": 1, "currency": currency})
            for n, currency in enumerate(currencies)
        ]
        await lane.inbox.put(kit.kafka.batch(*(record(n, v) for n, v in enumerate(values))))
        await until(lambda: lane.next_offset == 4)
    assert {c: count(c) - n for c, n in before.items()} == {"SEK": 2, "other": 1}


async def test_a_customer_who_came_before_the_worker_knew_the_model_is_scored_by_it(
    kit: Kit, store: MemoryStore
) -> None:
    kit.model = two_segments()
    async with kit.running() as lane:
        await until(lambda: reached(store) == 1)
    kit.model = None
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await until(lambda: lane.next_offset == 1)
        kit.model = two_segments()
        await until(lambda: kit.kafka.told)
    assert kit.kafka.events()[0]["data"]["to"]["id"] == "s1"


async def test_a_gap_behind_good_records_is_sought_from_where_it_begins(kit: Kit) -> None:
    async with kit.running() as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 1))))
        await lane.inbox.put(kit.kafka.batch(record(2, event("ann", 3))))
        await until(lambda: len(kit.kafka.sought) == 2)
        assert kit.kafka.sought[1] == 1
        await lane.inbox.put(
            kit.kafka.batch(record(1, event("ann", 2)), record(2, event("ann", 3)))
        )
        await until(lambda: lane.next_offset == 3)
    assert kit.orders() == {"ann": 3}


async def test_a_customer_who_is_gone_is_taken_from_the_trainer_too(
    kit: Kit, store: MemoryStore
) -> None:
    async with kit.running(maker(is_live=True)) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: lane.next_offset == 1)
    assert kit.kafka.sampled[CustomerId("ann")] is not None
    kit.wall_ms = START_MS + 101 * DAY_MS
    kit.model = two_segments()
    async with kit.running(maker(is_live=True)):
        await until(lambda: not store.lanes[0].due)
    assert kit.kafka.sampled == {"ann": None}
