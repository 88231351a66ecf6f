"""Hours and days as clocks and calendars on the customers' walls show them."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from models.columns import Ints

HOUR_MS = 3_600_000
DAY_HOURS, WEEK_HOURS = 24, 168
# No zone has changed its offset within one of these since 1972.
_QUARTER_MS = 900_000
# 1 January 1970 was a Thursday; weeks begin on Monday.
_MONDAY_MS = 3 * DAY_HOURS * HOUR_MS


def hours_of(time_ms: Ints, timezone: str) -> Ints:
    """Hour of the day, 0 to 23, of each moment (epoch ms) in an IANA time zone.

    >>> hours_of(np.array([1_711_843_200_000, 1_711_846_800_000]), "Europe/Berlin").tolist()
    [1, 3]
    """
    return week_hours_of(time_ms, timezone) % DAY_HOURS


def weekdays_of(time_ms: Ints, timezone: str) -> Ints:
    """Day of the week, 0 for Monday to 6, of each moment (epoch ms) in an IANA time zone.

    >>> weekdays_of(np.array([0, 1_711_753_200_000]), "Europe/Berlin").tolist()
    [3, 5]
    """
    return week_hours_of(time_ms, timezone) // DAY_HOURS


def week_hours_of(time_ms: Ints, timezone: str) -> Ints:
    """Hour of the week, 0 (Monday, midnight) to 167, of each moment in an IANA time zone."""
    hours: Ints = (time_ms + _offsets_ms(time_ms, timezone) + _MONDAY_MS) // HOUR_MS % WEEK_HOURS
    return hours


def _offsets_ms(time_ms: Ints, timezone: str) -> Ints:
    quarters, inverse = np.unique(time_ms // _QUARTER_MS, return_inverse=True)
    offsets = [_offset_ms(timezone, quarter) for quarter in quarters.tolist()]
    return np.array(offsets, dtype=np.int64)[inverse]


@lru_cache(maxsize=65_536)
def _offset_ms(timezone: str, quarter: int) -> int:
    offset = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, ZoneInfo(timezone)).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0
