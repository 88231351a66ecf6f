"""What outlives a rebuild, and that nothing else does."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

from models.accumulators import update
from models.carrying import KEPT, KEPT_OF_EACH, carry
from models.features import Feature, Kind
from models.formats import FutureFormatError
from models.profiles import DAY_MS, ProfileSchema
from models.scoring import expire, present, size_changes
from tests.models.former_profiles import stored_before
from tests.models.test_accumulators import SCHEMA, START_MS, columns, event, events_strategy

EXPIRE_MS = 60 * DAY_MS
HEAD = {"format", "segmentations", "presence_bytes", "schema"}


def told(n: int = 3) -> np.ndarray:
    """Customers who were told into segments 1, 2, … by the events of a former life."""
    rows = SCHEMA.empty(n)
    former = [
        event(customer=at, id=at + 1, session=at, categories=[at], time_ms=START_MS + at)
        for at in range(n)
    ]
    update(SCHEMA, rows, columns(former))
    rows["version"][:, 0] = np.arange(n) + 5
    rows["segment"][:, 0] = np.arange(n) + 1
    rows["previous"] = 9
    rows["since_ms"] = START_MS
    rows["model"] = 7
    return rows


def test_what_was_told_stays_and_what_was_counted_goes() -> None:
    rows = told()
    carried = carry(SCHEMA, SCHEMA.encode(rows))
    kept = {*KEPT, *KEPT_OF_EACH}
    for name in kept:
        assert_array_equal(carried[name], rows[name])
    for name in set(SCHEMA.dtype.names or ()) - kept - HEAD:
        assert not carried[name].any(), name
    assert present(carried).all()


def test_to_carry_again_changes_nothing() -> None:
    once = SCHEMA.encode(carry(SCHEMA, SCHEMA.encode(told())))
    assert SCHEMA.encode(carry(SCHEMA, once)) == once


def test_who_was_never_told_anything_leaves_nothing() -> None:
    rows = SCHEMA.empty(1)
    update(SCHEMA, rows, columns([event()]))
    carried = carry(SCHEMA, [*SCHEMA.encode(rows), None])
    assert carried["version"].tolist() == [[0], [0]]
    assert not present(carried).any()


@given(events_strategy)
def test_events_count_as_if_the_customer_were_new(events: list[dict[str, object]]) -> None:
    carried, new = carry(SCHEMA, SCHEMA.encode(told())), SCHEMA.empty(3)
    of_three = columns([e | {"customer": int(str(e["customer"])) % 3} for e in events])
    assert_array_equal(update(SCHEMA, carried, of_three), update(SCHEMA, new, of_three))
    touched = new["first_ms"] > 0
    for name in set(SCHEMA.dtype.names or ()) - {"version", "segment", "previous", "since_ms"}:
        assert_array_equal(carried[touched][name], new[touched][name])


def test_who_does_not_come_back_expires_out_of_the_segment() -> None:
    carried = carry(SCHEMA, SCHEMA.encode(told(2)))
    before = carried.copy()
    (none,) = expire(SCHEMA, carried, START_MS + EXPIRE_MS - 1, EXPIRE_MS)
    assert none.row.size == 0
    (moves,) = expire(SCHEMA, carried, START_MS + EXPIRE_MS, EXPIRE_MS)
    assert (moves.row.tolist(), moves.origin.tolist(), moves.target.tolist()) == ([0], [1], [0])
    assert carried["version"].tolist() == [[6], [6]]
    assert size_changes(before, carried, 0) == {1: -1}


def test_a_customer_counts_once_before_and_after_the_first_event() -> None:
    carried = carry(SCHEMA, SCHEMA.encode(told(1)))
    before = carried.copy()
    update(SCHEMA, carried, columns([event()]))
    assert size_changes(before, carried, 0) == {}


def test_profiles_of_a_lost_layout_can_be_carried() -> None:
    other = ProfileSchema((Feature("views", Kind.COUNT),))
    rows = other.empty(1)
    rows["version"], rows["segment"] = 4, 2
    carried = carry(SCHEMA, other.encode(rows))
    assert (carried["version"].item(), carried["segment"].item()) == (4, 2)
    assert carried["schema"][0] == SCHEMA.id


TWO = ProfileSchema(SCHEMA.features, segmentations=("value", "default"))


def told_two(schema: ProfileSchema = TWO) -> np.ndarray:
    rows = schema.empty(2)
    rows["version"], rows["segment"] = [4, 40], [2, 20]
    rows["last_ms"] = START_MS
    return rows


def test_segmentations_are_carried_by_name() -> None:
    three = ProfileSchema(SCHEMA.features, segmentations=("default", "new", "value"))
    three.learn_layout(TWO.id, TWO.layout)
    carried = carry(three, TWO.encode(told_two()))
    assert carried["version"].tolist() == [[40, 0, 4]] * 2
    assert carried["segment"].tolist() == [[20, 0, 2]] * 2
    SCHEMA.learn_layout(TWO.id, TWO.layout)
    assert carry(SCHEMA, TWO.encode(told_two()))["segment"].tolist() == [[20]] * 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_segmentations_of_a_lost_layout_are_carried_in_todays_order(n: int) -> None:
    today = ProfileSchema(SCHEMA.features, segmentations=("a", "b", "c")[:n])
    lost = ProfileSchema(SCHEMA.features[:1], segmentations=("x", "y"))
    carried = carry(today, lost.encode(told_two(lost)))
    assert carried["segment"].tolist() == [[2, 20, 0][:n]] * 2


def test_profiles_of_the_first_format_are_carried_as_the_first_segmentation() -> None:
    (blob,) = stored_before(SCHEMA, told(1), 1)
    carried = carry(TWO, [blob, None, *TWO.encode(told_two())])
    assert carried["segment"].tolist() == [[1, 0], [0, 0], [2, 20], [2, 20]]
    assert carried["last_ms"].tolist() == [START_MS, 0, START_MS, START_MS]


def test_profiles_of_the_second_format_are_carried_as_those_of_today() -> None:
    for schema, rows in ((SCHEMA, told()), (TWO, told_two())):
        former = carry(schema, stored_before(schema, rows, 2))
        assert former.tobytes() == carry(schema, schema.encode(rows)).tobytes()


def test_a_format_from_the_future_is_refused() -> None:
    with pytest.raises(FutureFormatError, match="has format 4, this Shoal reads 3"):
        carry(SCHEMA, [b"\x04" + bytes(11)])
