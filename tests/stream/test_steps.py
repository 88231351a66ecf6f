"""Batches of several partitions taken at once: the same bytes as each of them alone."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.columns import Rows
from models.editions import Editions
from models.identifiers import CustomerId
from models.population import in_sample
from models.snapshots import Snapshot
from stream.batches import EventBatch, read_batch
from stream.steps import Scored, Taking
from stream.store import StoredProfile
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


def test_who_is_gone_is_told_of_even_if_the_sample_has_become_smaller() -> None:
    model = replace(two_segments(), sample_threshold=0.5)
    editions = (replace(MAKER.nothing_yet[0], model=model),)
    names = [CustomerId(f"c{number}") for number in range(40)]
    inside = {name for name in names if in_sample(name, 0.5)}
    assert 0 < len(inside) < len(names)
    rows = SCHEMA.empty(len(names))
    for due_ms, expected in ((START_MS, inside), (None, set(names))):
        profiles = [StoredProfile(name, b"profile", due_ms) for name in names]
        scored = Scored(names, rows, profiles, {}, [], b"")
        sampled = MAKER.sampled(scored, editions)
        assert set(sampled) == expected
        assert set(sampled.values()) == {None if due_ms is None else b"profile"}
