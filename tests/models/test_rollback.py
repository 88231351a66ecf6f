"""Going back to an earlier model, and how two models differ."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.comparison import Birth, Death, compare
from models.lineage import Lineage
from models.rollback import bring_back
from models.snapshots import Retirement, Segment, Snapshot
from tests.models.test_assignment import line

NUMBERS = st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True)


def of(version: int, *numbers: int) -> Snapshot:
    """A model whose segment i lies at i."""
    return replace(
        line(*map(float, numbers)),
        version=version,
        segments=tuple(Segment(n, f"n{n}", 1 / len(numbers), version) for n in numbers),
        next_number=20 + version,
        sample_threshold=1 / version,
        retired=(),
    )


def back(old: Snapshot, current: Snapshot) -> Snapshot:
    return bring_back(old, current, version=current.version + 1, epoch=8, created_ms=5)


def test_a_model_that_is_brought_back_says_what_it_said_under_a_new_version() -> None:
    old, current = of(2, 1, 2), of(5, 1, 2)
    brought = back(old, current)
    assert (brought.version, brought.epoch, brought.created_ms) == (6, 8, 5)
    assert brought.segments == old.segments
    assert np.array_equal(brought.centroids, old.centroids)
    assert brought.reason == "rollback"
    assert brought.lineage == Lineage(previous=5, restored=2)
    read = Snapshot.from_json(brought.to_json())
    assert (read.reason, read.lineage) == (brought.reason, brought.lineage)


def test_who_was_gone_lives_again_and_who_came_since_ends_in_the_nearest() -> None:
    current = replace(of(5, 1, 8), retired=(Retirement(3, 1, 4), Retirement(7, 8, 5)))
    brought = back(of(2, 1, 3), current)
    assert brought.lineage.born == (3,)
    assert brought.lineage.died == ((8, 3),)
    assert brought.retired == (Retirement(7, 8, 5), Retirement(8, 3, 6))
    assert brought.successor(7) == 3


def test_what_was_given_stays_given_and_the_sample_does_not_grow_again() -> None:
    brought = back(of(2, 1), of(5, 2))
    assert brought.next_number == 25
    assert brought.sample_threshold == 1 / 5


def test_models_of_other_features_have_no_known_successors() -> None:
    current = of(5, 8)
    column = replace(current.scaler.columns[0], name="other")
    current = replace(current, scaler=replace(current.scaler, columns=(column,)))
    assert back(of(2, 1), current).lineage.died == ((8, 0),)
    assert compare(of(2, 8), current).kept[0].moved is None


@given(NUMBERS, NUMBERS, NUMBERS)
def test_there_and_back_again_leaves_the_segments_that_were(
    first: list[int], second: list[int], third: list[int]
) -> None:
    old, current = of(1, *first), of(2, *second)
    there = back(old, current)
    assert set(there.numbers.tolist()) == set(first)
    for number in {*first, *second, *third}:
        assert there.successor(number) in {0, *first}
        if number in second:
            assert there.successor(number) in first
    again = back(current, there)
    assert again.segments == current.segments
    assert {*again.lineage.born} == {number for number, _ in there.lineage.died}
    assert {number for number, _ in again.lineage.died} == {*there.lineage.born}


def test_segments_of_two_models_stay_come_and_go() -> None:
    before, after = of(1, 1, 4), of(3, 1, 6)
    moved = replace(
        after,
        centroids=after.centroids + 0.5,
        segments=(replace(after.segments[0], name="other", share=0.9), after.segments[1]),
        retired=(Retirement(4, 6, 2),),
    )
    found = compare(before, moved)
    (stay,) = found.kept
    assert (stay.id, stay.name_before, stay.name) == ("s1", "n1", "other")
    assert (stay.share_before, stay.share) == (0.5, 0.9)
    assert stay.moved == pytest.approx(0.5)
    assert found.born == (Birth("s6", "n6", 0.5),)  # type: ignore[arg-type] # a NewType
    assert found.died == (Death("s4", "n4", 0.5, "s6"),)  # type: ignore[arg-type] # a NewType
    assert (found.before, found.after) == (1, 3)


@given(NUMBERS)
def test_a_model_does_not_differ_from_itself(numbers: list[int]) -> None:
    found = compare(of(1, *numbers), of(1, *numbers))
    assert len(found.kept) == len(numbers)
    assert all(stay.moved == 0 and stay.name == stay.name_before for stay in found.kept)
    assert not found.born
    assert not found.died
