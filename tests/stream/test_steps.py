"""Batches of several partitions taken at once: the same bytes as each of them alone."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.columns import Rows
from models.editions import Editions
from models.identifiers import CustomerId
from models.snapshots import Snapshot
from stream.batches import EventBatch, read_batch
from stream.steps import Scored, Taking
from tests.stream.lane_kit import SCHEMA, START_MS, event, maker, record, two_segments

MAKER = maker()
HOUR_MS = 3_600_000
BATCHES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 12), st.sampled_from(["", "tea", "cake"])),
        max_size=8,
    ),
    min_size=1,
    max_size=4,
)


def batch_of(partition: int, numbers: list[tuple[int, int, str]]) -> EventBatch:
    """Events of a partition's own customers; the same number twice is a repetition."""
    records = [
        record(at, event(f"p{partition}c{customer}", number, properties={"category": category}))
        for at, (customer, number, category) in enumerate(numbers)
    ]
    return read_batch(
        records, partition=0, now_ms=START_MS + HOUR_MS, known=(), reading=MAKER.reading
    )


def taken(
    rounds: list[list[list[tuple[int, int, str]]]], editions: Editions, *, together: bool
) -> list[Scored]:
    """What all partitions become, round by round, at once or one after the other."""
    profiles = dict[CustomerId, Rows]()
    scored: list[Scored] = []
    for at, batches in enumerate(rounds):
        takings = []
        for partition, numbers in enumerate(batches):
            batch = batch_of(partition, numbers)
            rows = SCHEMA.empty(len(batch.customers))
            for row, name in enumerate(batch.customers):
                rows[row] = profiles.get(name, rows[row])
            takings.append(Taking(partition, batch, rows, START_MS + (at + partition) * HOUR_MS))
        apart = [takings] if together else [[taking] for taking in takings]
        for some in apart:
            made = MAKER.events(some, editions)
            scored += made
            for step in made:
                profiles |= {name: step.rows[row].copy() for row, name in enumerate(step.customers)}
    return scored


@given(st.lists(BATCHES, min_size=1, max_size=3), st.sampled_from([None, two_segments()]))
@settings(deadline=None)
def test_a_round_of_partitions_gives_the_bytes_that_each_gives_alone(
    rounds: list[list[list[tuple[int, int, str]]]], model: Snapshot | None
) -> None:
    editions = (replace(MAKER.nothing_yet[0], model=model),)
    at_once = taken(rounds, editions, together=True)
    alone = taken(rounds, editions, together=False)
    assert len(at_once) == len(alone)
    for one, other in zip(at_once, alone, strict=True):
        assert one.rows.tobytes() == other.rows.tobytes()
        assert replace(one, rows=other.rows) == other
    everybody = np.concatenate([SCHEMA.empty(0), *(step.rows for step in at_once)])
    assert model is None or everybody["segment"][everybody["first_ms"] > 0].all()
