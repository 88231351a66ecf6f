"""Names and hashes for the things that Shoal counts."""

from typing import NewType

import xxhash

CustomerId = NewType("CustomerId", str)
SegmentId = NewType("SegmentId", str)


def hash64(text: str) -> int:
    """64-bit hash of `text`, the same in every process and on every machine.

    >>> hash64("shoal") == hash64("shoal")
    True
    """
    return xxhash.xxh3_64_intdigest(text.encode())


def segment_id(number: int) -> SegmentId | None:
    """Public id of a segment number; 0 stands for no segment.

    >>> segment_id(7), segment_id(0)
    ('s7', None)
    """
    return SegmentId(f"s{number}") if number else None
