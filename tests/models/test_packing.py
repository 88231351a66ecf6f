"""Profiles packed and unpacked: the same bits, or a refusal."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.carrying import carry
from models.columns import Rows
from models.features import Attribute, Feature, Form, Kind
from models.packing import HEAD_BYTES, DamagedProfileError
from models.profiles import ProfileSchema
from tests.models.former_profiles import known_customer
from tests.models.test_accumulators import SCHEMA

AGE = Feature("age", Kind.NUMBER, attribute=Attribute("age", Form.NUMBER))
SCHEMAS = (
    SCHEMA,
    ProfileSchema(()),
    ProfileSchema((*SCHEMA.features, AGE), segmentations=("default", "value", "third")),
)
STRANGE = [
    *(struct.pack("<d", number) for number in (-0.0, 5e-324, -1.8e308, float("inf"))),
    bytes.fromhex("0100000000000cf87f")[1:],  # a NaN with a payload
    *(struct.pack("<q", number) for number in (-(2**63), 2**63 - 1, -1, 1, 1_500_000_000_000)),
]
WORDS = st.one_of(st.just(bytes(8)), st.sampled_from(STRANGE), st.binary(min_size=8, max_size=8))


@st.composite
def profiles(draw: st.DrawFn) -> tuple[ProfileSchema, Rows]:
    """Profiles of a schema, with whatever may stand in their fields."""
    schema = draw(st.sampled_from(SCHEMAS))
    rows = schema.empty(draw(st.integers(0, 4)))
    words = rows.view(np.uint64).reshape(rows.size, schema.dtype.itemsize // 8)[:, 1:]
    drawn = draw(st.lists(WORDS, min_size=words.size, max_size=words.size))
    words[...] = np.frombuffer(b"".join(drawn), np.uint64).reshape(words.shape)
    return schema, rows


@given(profiles())
def test_every_profile_reads_back_bit_for_bit(profiles: tuple[ProfileSchema, Rows]) -> None:
    schema, rows = profiles
    before = rows.tobytes()
    blobs = schema.encode(rows)
    assert schema.decode(blobs).tobytes() == before
    assert rows.tobytes() == before


@given(profiles())
def test_a_profile_is_stored_the_same_alone_and_among_others(
    profiles: tuple[ProfileSchema, Rows],
) -> None:
    schema, rows = profiles
    blobs = schema.encode(rows)
    assert blobs == [schema.encode(rows[at : at + 1])[0] for at in range(rows.size)]
    assert blobs == schema.encode(schema.decode(blobs))


def test_profiles_are_read_among_customers_never_seen() -> None:
    (blob,) = SCHEMA.encode(known_customer())
    rows = SCHEMA.decode([None, blob, None])
    expected = np.concatenate([SCHEMA.empty(1), known_customer(), SCHEMA.empty(1)])
    assert rows.tobytes() == expected.tobytes()


def test_what_is_zero_takes_no_room() -> None:
    (empty,) = SCHEMA.encode(SCHEMA.empty(1))
    assert len(empty) == HEAD_BYTES + SCHEMA.empty(1)["presence_bytes"][0]
    (known,) = SCHEMA.encode(known_customer())
    assert len(known) < SCHEMA.dtype.itemsize / 2


@given(st.data())
def test_a_profile_that_is_cut_short_or_goes_on_is_refused(data: st.DataObject) -> None:
    (blob,) = SCHEMA.encode(known_customer())
    size = data.draw(st.integers(HEAD_BYTES, len(blob) - 1))
    more = data.draw(st.binary(min_size=1, max_size=20))
    for damaged in (blob[:size], blob + more):
        told = f"^a stored profile of {len(damaged)} bytes is damaged: .*`shoal rebuild`$"
        with pytest.raises(DamagedProfileError, match=told):
            SCHEMA.decode([blob, damaged, blob])


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_is_refused_or_read_and_harms_no_other_profile(body: bytes, size: int) -> None:
    (blob,) = SCHEMA.encode(known_customer())
    damaged = (blob[:HEAD_BYTES] + body).ljust(size, b"\x01")
    try:
        rows = SCHEMA.decode([blob, damaged, blob])
    except DamagedProfileError:
        return
    assert rows[[0, 2]].tobytes() == 2 * known_customer().tobytes()


@given(st.integers(0, 300), st.binary(max_size=200))
def test_a_rebuild_keeps_what_can_be_read_of_a_damaged_profile(size: int, body: bytes) -> None:
    (blob,) = SCHEMA.encode(known_customer())
    whole = carry(SCHEMA, [blob])
    kept, _, other = carry(SCHEMA, [blob, blob[:HEAD_BYTES] + body, blob[:size]])
    assert kept.tobytes() == whole.tobytes()
    if size >= len(blob):
        assert other.tobytes() == whole.tobytes()
