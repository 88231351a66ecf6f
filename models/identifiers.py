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


def segment_number(public: SegmentId | None) -> int:
    """Number behind a public id, 0 for no segment; ValueError where there is none.

    >>> segment_number(SegmentId("s7")), segment_number(None)
    (7, 0)
    """
    return int(public.removeprefix("s")) if public else 0
