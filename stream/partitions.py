"""Where producers put a key."""

import zlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

Partitioner = Literal["murmur2", "crc32"]
Places = Callable[[Sequence[bytes]], list[int]]

FEW = 8
_SEED, _M, _R = 0x9747B28C, np.uint32(0x5BD1E995), np.uint32(24)


def partitioner(name: Partitioner, partitions: int) -> Callable[[bytes], int]:
    """The partition of a key: by Java's murmur2, or by librdkafka's crc32.

    >>> partitioner("murmur2", 8)(b"c000001"), partitioner("crc32", 8)(b"c000001")
    (6, 5)
    """
    if name == "crc32":
        return lambda key: zlib.crc32(key) % partitions
    return lambda key: (murmur2(key) & 0x7FFF_FFFF) % partitions


def partitioner_of_many(name: Partitioner, partitions: int) -> Places:
    """The partitions of several keys, in order.

    >>> partitioner_of_many("murmur2", 8)([b"c000001", b"c000002"])
    [6, 1]
    """
    if name == "crc32":
        return lambda keys: [zlib.crc32(key) % partitions for key in keys]
    alone = partitioner(name, partitions)

    def places(keys: Sequence[bytes]) -> list[int]:
        if len(keys) < FEW:
            return list(map(alone, keys))
        found: list[int] = ((murmur2_of_many(keys) & 0x7FFF_FFFF) % partitions).tolist()
        return found

    return places


def murmur2_of_many(keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Java's org.apache.kafka.common.utils.Utils.murmur2 of each key, without a sign.

    Array operations over all keys: aiokafka's, in Python, takes 5 µs a key. At least one key.
    """
    lengths = np.array([len(key) for key in keys])
    width = 4 * (int(lengths.max()) // 4 + 1)
    padded = b"".join([key.ljust(width, b"\0") for key in keys])
    words = np.frombuffer(padded, dtype="<u4").reshape(len(keys), -1)
    whole, rest = lengths // 4, lengths % 4
    hashed = (_SEED ^ lengths).astype(np.uint32)
    for at in range(int(whole.max())):
        word = words[:, at] * _M
        word = (word ^ (word >> _R)) * _M
        hashed = np.where(at < whole, (hashed * _M) ^ word, hashed)
    # What remains is a word of its own, padded with zeros.
    last = words[np.arange(len(keys)), whole]
    hashed = np.where(rest > 0, (hashed ^ last) * _M, hashed)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * _M
    return (hashed ^ (hashed >> np.uint32(15))).astype(np.int64)
