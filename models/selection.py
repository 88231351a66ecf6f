"""Which events of a batch a selector takes."""

from functools import lru_cache

import numpy as np

from models.calendar import DAY_HOURS, WEEK_HOURS, week_hours_of
from models.columns import Bools, EventColumns
from models.features import Flag, Selector
from models.profiles import ProfileSchema


def matches(
    schema: ProfileSchema, selector: Selector, batch: EventColumns, session_start: Bools
) -> Bools:
    """Whether the selector takes each event, shape (n_events,).

    Parameters
    ----------
    session_start
        Shape (n_events,), which events open a visit.
    """
    mask = schema.wanted_types[selector][batch.type]
    match selector.where:
        case Flag.DISCOUNTED:
            mask &= batch.discounted
        case Flag.SESSION_START:
            mask &= session_start
    if selector.hours or selector.days:
        mask &= _open_hours(selector)[week_hours_of(batch.time_ms, schema.timezone)]
    return mask


@lru_cache(maxsize=1024)
def _open_hours(selector: Selector) -> Bools:
    """Whether a selector takes events of each hour of the week, shape (168,)."""
    day, hour = np.divmod(np.arange(WEEK_HOURS), DAY_HOURS)
    first, end = selector.hours or (0, DAY_HOURS)
    lasts = (end - first) % DAY_HOURS or DAY_HOURS
    taken: Bools = (hour - first) % DAY_HOURS < lasts
    return taken & np.isin(day, selector.days) if selector.days else taken
