"""What the members of a segment prefer: categories, channels, hours of the day.

Counts fade by forward decay (Cormode, Shkapenyuk, Srivastava and Xu, 2009, "Forward decay: a
practical time decay model for streaming systems"): an event at time t counts `2^((t - t0) / h)`,
and what was counted before is never touched. So many may add to one count in any order, and the
smallest of many counts are those that no longer matter.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from models.clock import DAY_MS

Kind = Literal["categories", "channels", "hours"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HALF_LIFE_DAYS = 60
PREFERRED = 3
# 2020-01-01; by this half-life a float holds the counts of more than a century from here.
_BEGIN_MS = 1_577_836_800_000
# So many events of everybody's stand against a segment's own: few events prove no taste.
_PRIOR_EVENTS = 50.0
# A preference is at least so much more usual than among everybody ...
_LEAST_LIFT = 1.2
# ... and at least this part of what the segment does.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Preference:
    """A value that a segment has more of than everybody.

    `share`, 0 to 1, is its part of the segment's events; `lift` how many times everybody's.
    """

    value: str
    share: float
    lift: float


Tastes = Mapping[int, Mapping[Kind, tuple[Preference, ...]]]
"""By segment number and kind, the clearest preference first."""
NO_TASTES: Tastes = {}


def weight(time_ms: int) -> float:
    """What an event at a time counts.

    >>> weight(60 * DAY_MS) / weight(0)
    2.0
    """
    return float(2.0 ** ((time_ms - _BEGIN_MS) / (HALF_LIFE_DAYS * DAY_MS)))


def preferences(
    counts: Mapping[tuple[int, str], float], now_ms: int
) -> dict[int, tuple[Preference, ...]]:
    """What each segment prefers of one kind, at most three values.

    The share of a value v in a segment with n events is taken towards everybody's share q, as if
    50 more events were like everybody's: `p = (c + 50 q) / (n + 50)`, and `lift = p / q`. Those
    values come first that say most of what sets the segment apart from everybody, by their part
    of the Kullback-Leibler divergence, `p log(lift)`.

    Parameters
    ----------
    counts
        Sum of weights by segment number and value; 0 stands for customers without a segment.
    now_ms
        When counts are read, which says how many events they are.

    Examples
    --------
    >>> counts = {(1, "tea"): 900, (1, "cups"): 100, (2, "tea"): 100, (2, "cups"): 900}
    >>> now_ms = 1_577_836_800_000
    >>> [(p.value, round(p.lift, 1)) for p in preferences(counts, now_ms)[2]]
    [('cups', 1.8)]
    """
    scale = 1.0 / weight(now_ms)
    # In one order, so that sums of floats are the same however they came together.
    ordered = sorted(counts.items())
    total = sum(count for _, count in ordered)
    everybody: dict[str, float] = {}
    of_segment: dict[int, float] = {}
    for (number, value), count in ordered:
        everybody[value] = everybody.get(value, 0.0) + count / total
        of_segment[number] = of_segment.get(number, 0.0) + count * scale
    found: dict[int, list[Preference]] = {}
    for (number, value), count in ordered:
        usual = everybody[value]
        share = (count * scale + _PRIOR_EVENTS * usual) / (of_segment[number] + _PRIOR_EVENTS)
        if number and share >= max(_LEAST_SHARE, _LEAST_LIFT * usual):
            found.setdefault(number, []).append(Preference(value, share, share / usual))
    return {
        number: tuple(sorted(all_of, key=_clearness, reverse=True)[:PREFERRED])
        for number, all_of in found.items()
    }


def _clearness(preference: Preference) -> tuple[float, str]:
    return preference.share * math.log(preference.lift), preference.value
