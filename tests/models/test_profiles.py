"""The stored form of profiles, and reading what another configuration wrote."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models.accumulators import update
from models.features import Feature, Kind, Selector
from models.formats import FutureFormatError
from models.profiles import DAY_MS, ProfileSchema, UnknownProfileError
from tests.models.former_profiles import STORED_BY_FORMAT_2, stored_before
from tests.models.former_profiles import known_customer as told_customer
from tests.models.test_accumulators import ORDER, SCHEMA, START_MS, VIEW, columns, event


def known_customer() -> np.ndarray:
    rows = SCHEMA.empty(1)
    batch = columns([event(id=i + 1, time_ms=START_MS + i * DAY_MS) for i in range(3)])
    update(SCHEMA, rows, batch)
    return rows


def test_a_customer_never_seen_is_an_empty_profile() -> None:
    assert SCHEMA.decode([None]).tobytes() == SCHEMA.empty(1).tobytes()


def test_the_order_of_features_does_not_change_their_values() -> None:
    rows = known_customer()
    shuffled = ProfileSchema(SCHEMA.features[::-1])
    other = shuffled.empty(1)
    update(
        shuffled, other, columns([event(id=i + 1, time_ms=START_MS + i * DAY_MS) for i in range(3)])
    )
    now_ms = START_MS + 5 * DAY_MS
    assert_array_equal(SCHEMA.vectors(rows, now_ms)[:, ::-1], shuffled.vectors(other, now_ms))


def test_a_quiet_customers_vector_moves_by_itself() -> None:
    rows = known_customer()
    soon, later = (SCHEMA.vectors(rows, START_MS + days * DAY_MS)[0] for days in (3, 33))
    names = SCHEMA.names
    assert later[names.index("recency")] == soon[names.index("recency")] + 30
    assert later[names.index("frequency")] == pytest.approx(soon[names.index("frequency")] / 2)


def test_a_mean_outlasts_the_sums_it_is_made_of() -> None:
    value = Feature("value", Kind.MEAN, Selector((ORDER,)), of="value", half_life_days=0.01)
    schema = ProfileSchema((value,))
    rows = schema.empty(1)
    rows["first_ms"] = rows["last_ms"] = START_MS
    rows["sums"] = [[60, 3]]
    assert schema.vectors(rows, START_MS + 1_000 * DAY_MS).tolist() == [[20]]


def test_a_changed_configuration_reads_old_profiles_by_name() -> None:
    blob = SCHEMA.encode(known_customer())[0]
    changed = ProfileSchema(
        (
            Feature("views", Kind.COUNT, Selector((VIEW,)), half_life_days=7),
            Feature("frequency", Kind.COUNT, Selector((ORDER,)), half_life_days=40),
            Feature("recency", Kind.RECENCY, Selector((ORDER,))),
            Feature("support", Kind.COUNT, Selector(("support_contacted",)), half_life_days=60),
        )
    )
    changed.learn_layout(SCHEMA.id, SCHEMA.layout)
    vector = dict(
        zip(
            changed.names,
            changed.vectors(changed.decode([blob]), START_MS + 2 * DAY_MS)[0],
            strict=True,
        )
    )
    before = SCHEMA.vectors(known_customer(), START_MS + 2 * DAY_MS)[0]
    assert vector["recency"] == 0
    assert vector["frequency"] == pytest.approx(before[SCHEMA.names.index("frequency")])
    assert vector["views"] == vector["support"] == 0


def test_an_unknown_schema_says_what_to_do() -> None:
    other = ProfileSchema(SCHEMA.features[:2])
    with pytest.raises(UnknownProfileError, match=r"which Redis does not know: .*`shoal rebuild`$"):
        other.decode(SCHEMA.encode(known_customer()))


def test_a_format_from_the_future_is_refused() -> None:
    blob = b"\x09" + SCHEMA.encode(known_customer())[0][1:]
    told = "^a stored profile has format 9, this Shoal reads 3: run the version that wrote it"
    with pytest.raises(FutureFormatError, match=told):
        SCHEMA.decode([blob])


def test_profiles_of_the_first_format_are_the_first_segmentations() -> None:
    rows = told_customer()
    (blob,) = stored_before(SCHEMA, rows, 1)
    layout = {k: v for k, v in SCHEMA.layout.items() if k in {"times", "sums", "distinct"}}
    two = ProfileSchema(SCHEMA.features, segmentations=("default", "value"))
    one = ProfileSchema(SCHEMA.features)
    for schema in (one, two):
        schema.learn_layout(SCHEMA.id, layout)
        (read,) = schema.decode([blob])
        assert (read["segment"][0], read["version"][0], read["model"][0]) == (3, 9, 7)
        assert not read["version"][1:].any()
        now_ms = START_MS + 3 * DAY_MS
        assert_array_equal(schema.vectors(np.array([read]), now_ms), SCHEMA.vectors(rows, now_ms))


def test_profiles_of_the_second_format_read_as_they_were() -> None:
    rows = told_customer()
    assert stored_before(SCHEMA, rows, 2) == [STORED_BY_FORMAT_2]
    (today,) = SCHEMA.encode(rows)
    read = SCHEMA.decode([STORED_BY_FORMAT_2, None, today])
    assert read[[0, 2]].tobytes() == 2 * rows.tobytes()
    other = ProfileSchema(SCHEMA.features[::-1])
    other.learn_layout(SCHEMA.id, SCHEMA.layout)
    assert other.decode([STORED_BY_FORMAT_2]).tobytes() == other.decode([today]).tobytes()
