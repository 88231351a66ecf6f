"""Profiles that another configuration stored: what both know goes on as if nothing had changed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from models.accumulators import update
from models.columns import Rows
from models.features import Attribute, Feature, Form, Kind, Selector
from models.layout import ASSIGNED
from models.profiles import DAY_MS, ProfileSchema
from tests.models.test_accumulators import ORDER, SCHEMA, START_MS, columns, event, events_strategy

SUPPORT = Feature("support", Kind.COUNT, Selector(("support_contacted",)), half_life_days=60)
NOW_MS = START_MS + 400 * DAY_MS


def learned(schema: ProfileSchema, rows: Rows, events: list[dict[str, Any]]) -> Rows:
    """The profiles after these events."""
    update(schema, rows, columns(events, schema))
    return rows


def carried(rows: Rows, old: ProfileSchema, new: ProfileSchema) -> Rows:
    """Profiles stored by one schema and read by another."""
    new.learn_layout(old.id, old.layout)
    return new.decode(old.encode(rows))


def some_features(*, with_support: bool) -> st.SearchStrategy[ProfileSchema]:
    chosen = st.lists(st.sampled_from(SCHEMA.features), unique=True, max_size=8)
    added = (SUPPORT,) if with_support else ()
    return chosen.map(lambda features: ProfileSchema((*features, *added)))


@given(events_strategy, st.data())
def test_what_both_schemas_know_is_counted_on_as_if_nothing_had_changed(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    for number, one in enumerate(events, start=1):
        one["id"] = number  # what is repeated is left out, and that is not the point here
        one["type"] = one["type"].replace("something_else", SUPPORT.selector.events[0])
    old = data.draw(some_features(with_support=False))
    new = data.draw(some_features(with_support=True))
    cut = data.draw(st.integers(0, len(events)))
    rows = carried(learned(old, old.empty(4), events[:cut]), old, new)
    found = new.vectors(learned(new, rows, events[cut:]), NOW_MS)
    never_changed = new.vectors(learned(new, new.empty(4), events), NOW_MS)
    for at, feature in enumerate(new.features):
        if feature in old.features:
            assert_allclose(found[:, at], never_changed[:, at], atol=1e-9)
    only_later = new.vectors(learned(new, new.empty(4), events[cut:]), NOW_MS)
    assert_allclose(found[:, -1], only_later[:, -1], atol=1e-9)


@pytest.mark.parametrize("new_half_life", [3.0, 300.0, None])
def test_a_sum_with_another_half_life_goes_on_from_the_old_and_fades_by_the_new(
    new_half_life: float | None,
) -> None:
    old, new = (
        ProfileSchema(
            (Feature("spent", Kind.SUM, Selector((ORDER,)), of="value", half_life_days=h),)
        )
        for h in (30.0, new_half_life)
    )
    first = [event(id=n + 1, time_ms=START_MS + n * DAY_MS) for n in range(5)]
    rows = learned(old, old.empty(1), first)
    (before,) = old.vectors(rows, START_MS + 4 * DAY_MS)[0]
    rows = carried(rows, old, new)
    assert new.vectors(rows, START_MS + 4 * DAY_MS)[0] == before
    learned(new, rows, [event(id=9, time_ms=START_MS + 14 * DAY_MS)])
    fades = 2 ** (-10 / new_half_life) if new_half_life else 1.0
    assert new.vectors(rows, START_MS + 14 * DAY_MS)[0] == pytest.approx(before * fades + 10.0)


def test_a_distinct_count_with_another_half_life_begins_anew() -> None:
    old, new = (
        ProfileSchema((Feature("breadth", Kind.DISTINCT, half_life_days=days),))
        for days in (14, 15)
    )
    rows = learned(old, old.empty(1), [event(categories=[1, 2, 3])])
    assert old.vectors(rows, START_MS)[0, 0] > 2.9
    assert new.vectors(carried(rows, old, new), START_MS)[0, 0] == 0


def test_taking_a_file_back_loses_only_what_the_other_file_did_not_know() -> None:
    smaller = ProfileSchema(SCHEMA.features[:4])
    rows = learned(SCHEMA, SCHEMA.empty(1), [event(id=n + 1, categories=[n]) for n in range(3)])
    there = carried(rows, SCHEMA, smaller)
    back = carried(there, smaller, SCHEMA)
    before, after = SCHEMA.vectors(rows, NOW_MS)[0], SCHEMA.vectors(back, NOW_MS)[0]
    kept = [SCHEMA.names.index(name) for name in (*smaller.names, "tenure")]
    assert_allclose(after[kept], before[kept])
    assert after[SCHEMA.names.index("breadth")] == 0
    assert back["ids"].tolist() == rows["ids"].tolist()


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=5).map(tuple)


@given(NAMES, NAMES)
def test_what_is_kept_for_a_segmentation_is_found_by_its_name(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    old, new = (
        ProfileSchema(SCHEMA.features[:3], segmentations=names) for names in (before, after)
    )
    rows = old.empty(1)
    for at, name in enumerate(ASSIGNED):
        rows[name] = [10 * ord(segmentation) + at for segmentation in before]
    found = carried(rows, old, new)
    for at, name in enumerate(ASSIGNED):
        assert found[name].tolist() == [[10 * ord(s) + at if s in before else 0 for s in after]]


def test_traits_are_found_by_their_path_and_form() -> None:
    def told(*attributes: Attribute) -> ProfileSchema:
        return ProfileSchema(
            tuple(Feature(f"f{at}", Kind.NUMBER, attribute=a) for at, a in enumerate(attributes))
        )

    age, size = Attribute("age", Form.NUMBER), Attribute("size", Form.NUMBER)
    old, new = told(age, size), told(Attribute("size", Form.TEXT), Attribute("new", Form.FLAG), age)
    rows = old.empty(1)
    rows["attributes"], rows["attribute_ms"] = [42.0, 3.0], [START_MS, START_MS + 1]
    found = carried(rows, old, new)
    assert found["attributes"].tolist() == [[0.0, 0.0, 42.0]]
    assert found["attribute_ms"].tolist() == [[0, 0, START_MS]]
