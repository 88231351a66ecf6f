"""Where producers put a key."""

import zlib
from collections.abc import Callable
from typing import Literal

from aiokafka.partitioner import murmur2


def partitioner(name: Literal["murmur2", "crc32"], partitions: int) -> Callable[[bytes], int]:
    """The partition of a key: by Java's murmur2, or by librdkafka's crc32.

    >>> partitioner("murmur2", 8)(b"c000001"), partitioner("crc32", 8)(b"c000001")
    (6, 5)
    """
    if name == "crc32":
        return lambda key: zlib.crc32(key) % partitions
    return lambda key: (murmur2(key) & 0x7FFF_FFFF) % partitions
