"""Keys go where producers put them."""

import zlib

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from stream.partitions import partitioner, partitioner_of_many

# What Java's org.apache.kafka.common.utils.Utils.murmur2 gives, as its own tests list it.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
MANY = 2**31 - 1


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_murmur2_is_javas(key: bytes, hashed: int) -> None:
    positive = hashed & 0x7FFF_FFFF
    assert partitioner("murmur2", MANY)(key) == positive % MANY
    assert partitioner("murmur2", 12)(key) == positive % 12


@given(st.binary(max_size=40), st.integers(1, 64))
def test_murmur2_puts_keys_where_aiokafka_does(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    expected = DefaultPartitioner()(key, every, every)
    assert partitioner("murmur2", partitions)(key) == expected


@pytest.mark.parametrize("name", ["murmur2", "crc32"])
@given(keys=st.lists(st.binary(max_size=40) | st.binary(min_size=250, max_size=256)))
def test_many_keys_are_put_where_each_alone_is(name: str, keys: list[bytes]) -> None:
    alone = partitioner(name, 12)  # type: ignore[arg-type]  # one of the two
    places = partitioner_of_many(name, 12)  # type: ignore[arg-type]  # the same
    assert places(keys) == [alone(key) for key in keys]


def test_crc32_is_the_one_that_librdkafka_uses() -> None:
    # 0xCBF43926 is the check value of CRC-32/ISO-HDLC.
    assert partitioner("crc32", 2**32)(b"123456789") == 0xCBF4_3926
    assert partitioner("crc32", 8)(b"123456789") == 0xCBF4_3926 % 8


@given(st.binary(max_size=40), st.integers(1, 64))
def test_crc32_puts_keys_by_the_whole_unsigned_hash(key: bytes, partitions: int) -> None:
    assert partitioner("crc32", partitions)(key) == (zlib.crc32(key) & 0xFFFF_FFFF) % partitions


@pytest.mark.parametrize("name", ["murmur2", "crc32"])
def test_every_partition_gets_its_part_of_the_customers(name: str) -> None:
    place = partitioner(name, 8)  # type: ignore[arg-type]  # one of the two
    counts = [0] * 8
    for number in range(4_000):
        counts[place(b"c%06d" % number)] += 1
    assert 400 < min(counts) <= max(counts) < 600


def test_the_two_disagree_so_that_the_setting_matters() -> None:
    murmur2, crc32 = partitioner("murmur2", 8), partitioner("crc32", 8)
    keys = [b"c%06d" % number for number in range(100)]
    assert sum(murmur2(key) != crc32(key) for key in keys) > 50
