"""The stored form of profiles: their records without what is zero, exactly reversible.

A record is a head of 8 bytes, then whole numbers, mostly small, then words of 8 bytes that are
either 0 or use all their bytes (sums and hashes). Stored are the head, a bitmap of what is not
zero, that is one bit for each byte of the whole numbers and one for each word, and then those
bytes and words. Times close to the last event are small as well: they are stored as how long they
lie before it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from models.columns import Bools, Ints, Rows, whole
from models.errors import ShoalError
from models.formats import FORMAT, FutureFormatError

HEAD_BYTES = 8
_BEFORE_LAST = ("since_ms", "first_ms", "visit_ms")
_FIRST_WORDS = "sums"


class DamagedProfileError(ShoalError):
    """A stored profile is shorter or longer than it says."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"a stored profile of {size} bytes is damaged: "
            "restore the state as a whole, or run `shoal rebuild`"
        )
        self.size = size


@dataclass(frozen=True)
class Packing:
    """How records of one layout are stored.

    Parameters
    ----------
    dtype
        A record of `models.layout.record_of`.
    """

    dtype: np.dtype[np.void]

    @property
    def presence_bytes(self) -> int:
        """Size of the bitmap."""
        return self._whole.size

    def pack(self, rows: Rows) -> list[bytes]:
        """Stored form of each record; equal records give equal bytes."""
        rows = whole(rows).copy().view(self.dtype)
        _turn_times(rows)
        raw, words = self._parts(rows)
        present = np.concatenate([raw[:, HEAD_BYTES:] != 0, words != 0], axis=1)
        presence = np.packbits(present, axis=1)
        # One mask over heads, bitmaps and bytes: Python then cuts two pieces a profile, not four.
        front = np.concatenate([raw[:, :HEAD_BYTES], presence, raw[:, HEAD_BYTES:]], axis=1)
        kept = np.ones(front.shape, dtype=bool)
        kept[:, self._begin :] = present[:, : self._n_bytes]
        fronts = front[kept].tobytes()
        backs = words[present[:, self._n_bytes :]].tobytes()
        front_ends, back_ends = map(_running, self._sizes(presence))
        return [
            fronts[i:j] + backs[k:m]
            for (i, j), (k, m) in zip(pairwise(front_ends), pairwise(back_ends), strict=True)
        ]

    def unpack(self, blobs: Sequence[bytes]) -> Rows:
        """Records from their stored form; all have this layout.

        Raises
        ------
        DamagedProfileError
            A blob has not the size that it says.
        """
        begin, n_bytes = self._begin, self._n_bytes
        sizes = np.fromiter(map(len, blobs), np.int64, len(blobs))
        _require(sizes, sizes >= begin)
        heads = np.frombuffer(b"".join([blob[:begin] for blob in blobs]), np.uint8)
        heads = heads.reshape(len(blobs), begin)
        presence = heads[:, HEAD_BYTES:] & self._whole
        front_sizes, back_sizes = self._sizes(presence)
        _require(sizes, sizes == front_sizes + back_sizes)
        present = np.unpackbits(presence, axis=1, count=self._n_units).view(bool)
        ends = front_sizes.tolist()
        fronts = b"".join([blob[begin:end] for blob, end in zip(blobs, ends, strict=True)])
        backs = b"".join([blob[end:] for blob, end in zip(blobs, ends, strict=True)])
        rows = np.zeros(len(blobs), self.dtype)
        raw, words = self._parts(rows)
        raw[:, :HEAD_BYTES] = heads[:, :HEAD_BYTES]
        raw[:, HEAD_BYTES:][present[:, :n_bytes]] = np.frombuffer(fronts, np.uint8)
        words[present[:, n_bytes:]] = np.frombuffer(backs, np.uint64)
        _turn_times(rows)
        return rows

    def unpack_front(self, blobs: Sequence[bytes]) -> Rows:
        """The whole numbers of profiles that go on with others, all of one head.

        Nothing is raised: where a blob is cut short, there are zeros.
        """
        begin = HEAD_BYTES + int.from_bytes(blobs[0][2:4], "little")
        size = begin + self._n_bytes
        whole = np.frombuffer(pad(blobs, size), np.uint8)
        whole = whole.reshape(len(blobs), size)
        present = np.unpackbits(whole[:, HEAD_BYTES:begin], axis=1, count=self._n_bytes)
        place = np.maximum(np.cumsum(present, axis=1, dtype=np.int64) - 1, 0)
        rows = np.zeros(len(blobs), self.dtype)
        raw, _ = self._parts(rows)
        raw[:, HEAD_BYTES:] = np.take_along_axis(whole[:, begin:], place, axis=1) * present
        _turn_times(rows)
        return rows

    @cached_property
    def _n_bytes(self) -> int:
        """How many bytes of whole numbers there are."""
        assert self.dtype.fields is not None  # noqa: S101 - a record has fields, its type does not say so
        return self.dtype.fields[_FIRST_WORDS][1] - HEAD_BYTES

    @cached_property
    def _n_units(self) -> int:
        """How many bytes and words can be left out."""
        return self._n_bytes + (self.dtype.itemsize - HEAD_BYTES - self._n_bytes) // 8

    @cached_property
    def _whole(self) -> np.ndarray:
        """Bitmap of a profile without any zero."""
        return np.packbits(np.ones(self._n_units, dtype=bool))

    @cached_property
    def _begin(self) -> int:
        """Size of head and bitmap."""
        return HEAD_BYTES + self.presence_bytes

    def _parts(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Head and whole numbers as bytes, and the words, of each record; views of the rows."""
        end = HEAD_BYTES + self._n_bytes
        raw = rows.view(np.uint8).reshape(rows.size, self.dtype.itemsize)
        return raw[:, :end], raw[:, end:].view(np.uint64)

    def _sizes(self, presence: np.ndarray) -> tuple[Ints, Ints]:
        """Stored bytes of each record by its bitmap: up to the words, and the words."""
        counts = np.bitwise_count(presence)
        split = self._n_bytes // 8
        front: Ints = self._begin + counts[:, :split].sum(axis=1, dtype=np.int64)
        back: Ints = 8 * counts[:, split:].sum(axis=1, dtype=np.int64)
        return front, back


def _turn_times(rows: Rows) -> None:
    """From times to how long they lie before the last event, and back; in place."""
    # Integers wrap around, so this turns back whatever stands there.
    for name in _BEFORE_LAST:
        times = rows[name]
        times[...] = rows["last_ms"].reshape((-1,) + (1,) * (times.ndim - 1)) - times


def _running(sizes: Ints) -> list[int]:
    return [0, *np.cumsum(sizes).tolist()]


def _require(sizes: Ints, is_whole: Bools) -> None:
    if not is_whole.all():
        raise DamagedProfileError(int(sizes[~is_whole][0]))


def pad(blobs: Sequence[bytes], size: int) -> bytes:
    """Blobs of one size, end to end: cut, or with the zeros that were not stored."""
    return b"".join([blob.ljust(size, b"\0")[:size] for blob in blobs])


def by_head(blobs: Sequence[bytes | None]) -> dict[bytes, list[int]]:
    """Where in `blobs` profiles stand, by their first 8 bytes: those of one head lie alike.

    Raises
    ------
    FutureFormatError
        A profile was stored by a newer Shoal.
    """
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for at, blob in enumerate(blobs):
        if blob:
            places[blob[:HEAD_BYTES].ljust(HEAD_BYTES, b"\0")].append(at)
    for head in places:
        if head[0] > FORMAT:
            raise FutureFormatError("a stored profile", head[0])
    return places
