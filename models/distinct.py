"""Distinct values counted in two 64-bit bitmaps: of this time window, and of the one before.

Linear counting: Whang, Vander-Zanden and Taylor, 1990, "A linear-time probabilistic counting
algorithm".
"""

import numpy as np

from models.columns import Floats, Hashes, Ints

BITS = 64
_NONE = np.uint64(0)


def estimate(bitmaps: Hashes, age: Ints, passed: float | Floats) -> Floats:
    """How many distinct values there were lately, shape (n, n_slots).

    Parameters
    ----------
    bitmaps
        Shape (n, n_slots, 2): of the window that was current when they were kept, and of the one
        before.
    age
        Shape (n, n_slots), windows that have ended since.
    passed
        Part of today's window that is over, 0 to 1; the older window fades with it.
    """
    current, previous = bitmaps[..., 0], bitmaps[..., 1]
    is_today = age <= 0
    recent: Hashes = np.where(is_today, current, _NONE)
    before: Hashes = np.where(is_today, previous, np.where(age == 1, current, _NONE))
    inside = _linear_count(recent)
    both = _linear_count(recent | before)
    # A window that is yet to come has not begun to fade the one before it.
    lately: Floats = inside + (both - inside) * (1 - np.where(age < 0, 0.0, passed))
    return lately


def with_bits(
    bitmaps: Hashes, aged: Ints, customer: Ints, windows_ago: Ints, bit: Hashes
) -> Hashes:
    """Bitmaps of the current and the previous window, (n, 2), after `aged` windows and new bits."""
    current, previous = bitmaps[:, 0], bitmaps[:, 1]
    previous = np.where(aged == 0, previous, np.where(aged == 1, current, _NONE))
    current = np.where(aged == 0, current, _NONE)
    for bitmap, ago in ((current, 0), (previous, 1)):
        hit = windows_ago == ago
        np.bitwise_or.at(bitmap, customer[hit], bit[hit])
    return np.stack([current, previous], axis=1)


def _linear_count(bitmaps: Hashes) -> Floats:
    """Estimated number of distinct values behind 64-bit bitmaps.

    >>> _linear_count(np.array([0, 1], dtype=np.uint64)).round(2).tolist()
    [0.0, 1.01]
    """
    count: Floats = _COUNTS[np.bitwise_count(bitmaps)]
    return count


_COUNTS = BITS * np.log(BITS / np.maximum(BITS - np.arange(BITS + 1, dtype=np.float64), 0.5))
