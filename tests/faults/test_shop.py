"""The shop's truth is what it sent."""

import json
from collections import Counter
from itertools import islice
from random import Random

import pytest
from aiokafka import ConsumerRecord

from config.segmentation import load_segmentation
from stream.batches import Reading, read_batch
from stream.money import Money
from stream.partitions import partitioner
from tests.faults.garbage import garbage
from tests.faults.scene import SEGMENTATION
from tests.faults.shop import START_MS, Shop

PLACE = partitioner("murmur2", 8)
TYPES = dict(load_segmentation(SEGMENTATION).profile_schema().types)


def test_the_truth_is_what_was_sent() -> None:
    shop = Shop(1, PLACE, 8)
    orders: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for message in islice(shop, 5_000):
        event = json.loads(message.value or b"")
        assert PLACE(message.key or b"") == message.partition
        if event["type"] == "order_completed":
            orders[event["customer_id"]] += 1
            spent[event["customer_id"]] += event["properties"]["value"]
    assert {name: tally.counts[2] for name, tally in shop.truth.items()} == {
        name: orders[name] for name in shop.truth
    }
    assert {name: tally.spent for name, tally in shop.truth.items()} == {
        name: spent[name] for name in shop.truth
    }
    assert sum(sum(tally.counts) for tally in shop.truth.values()) == 5_000


def test_the_same_seed_tells_the_same_story() -> None:
    first, second = (list(islice(Shop(3, PLACE, 8), 500)) for _ in range(2))
    assert first == second


def test_an_event_that_is_sent_twice_counts_once() -> None:
    shop = Shop(1, PLACE, 8, twice=True)
    sent = list(islice(shop, 2_001))
    counted = Counter(message.value for message in sent)
    assert max(counted.values()) == 2
    assert sum(sum(tally.counts) for tally in shop.truth.values()) == len(counted)


def test_whoever_stays_acts_before_being_forgotten() -> None:
    shop = Shop(2, PLACE, 8)
    last: dict[str, int] = {}
    for message in islice(shop, 60_000):
        event = json.loads(message.value or b"")
        name = event["customer_id"]
        if int(name[1:]) % 10:
            assert event["timestamp"] - last.get(name, START_MS) < 8 * 86_400_000
        last[name] = event["timestamp"]


@pytest.mark.parametrize("seed", range(200))
def test_all_garbage_is_rejected(seed: int) -> None:
    partition, key, value = garbage(Random(seed), PLACE, 8)
    record = ConsumerRecord(
        *("t", partition, 0, START_MS, 0, key, value, None, len(key or b""), len(value or b"")), ()
    )
    reading = Reading(Money("EUR"), TYPES, PLACE, correct_skew=False)
    batch = read_batch(
        [record], partition=partition, now_ms=2 * START_MS, known=(), reading=reading
    )
    assert len(batch.rejected) == 1
