"""A batch of events taken into profiles, by array operations.

The result is the same as taking the events one by one, in order of arrival: sorting is stable,
and whatever depends on order (sessions, intervals, which ids are remembered) is computed along
each customer's events.
"""

from dataclasses import dataclass, fields

import numpy as np

from models.columns import Bools, EventColumns, Floats, Hashes, Ints, Rows, pick, whole
from models.distinct import with_bits
from models.features import Selector
from models.layout import DAY_MS, REMEMBERED_IDS, Slot
from models.profiles import IDENTIFY, ProfileSchema
from models.selection import matches

# Keeps running maxima of two customers apart; above every event time, below 2**63 / batch size.
FAR_MS = 1 << 42


@dataclass(frozen=True, slots=True)
class Groups:
    """Events sorted by customer: where each customer's begin, whose they are."""

    start: Ints
    customer: Ints
    of_event: Ints

    @classmethod
    def of(cls, customer: Ints) -> "Groups":
        """Groups of sorted customer indices."""
        is_first = np.empty(customer.size, dtype=bool)
        is_first[:1] = True
        np.not_equal(customer[1:], customer[:-1], out=is_first[1:])
        start = np.flatnonzero(is_first)
        return cls(start, customer[start], np.cumsum(is_first) - 1)


def update(schema: ProfileSchema, rows: Rows, events: EventColumns) -> Bools:
    """Take events into `rows`, in place.

    Parameters
    ----------
    schema
        What `rows` were laid out by.
    rows
        Shape (n_customers,); never-seen customers are rows of `schema.empty`.
    events
        In order of arrival; `customer` indexes `rows`, `type` holds codes of `schema.types`.

    Returns
    -------
    Shape (n_events,): False where the event's id is among the customer's last
    `REMEMBERED_IDS`, and the event was therefore left out.
    """
    fresh = _not_repeated(rows["ids"], events)
    order = np.argsort(events.customer, kind="stable")
    if not fresh.all():
        order = order[fresh[order]]
    if order.size == 0:
        return fresh
    batch = _take(events, order)
    groups = Groups.of(batch.customer)
    touched = pick(rows, groups.customer)

    is_new = touched["first_ms"] == 0
    # A customer from before a rebuild begins with the first event: the log says all of them.
    seen_ms = np.where(is_new, 0, touched["last_ms"])
    latest = np.maximum(seen_ms, np.maximum.reduceat(batch.time_ms, groups.start))
    session_start = _session_starts(schema, touched, batch, groups)
    gaps = _take_times(schema, touched, batch, groups)
    contributions = _contributions(schema, batch, session_start, gaps, latest[groups.of_event])
    touched["sums"] *= np.exp2(-(latest - seen_ms)[:, None] * schema.decay_rates)
    touched["sums"] += np.add.reduceat(contributions, groups.start, axis=0)
    _take_categories(schema, touched, batch, groups, order)
    _take_attributes(touched, batch, groups, order)
    _remember_ids(touched, batch, groups)

    earliest = np.minimum.reduceat(batch.time_ms, groups.start)
    touched["first_ms"] = np.where(is_new, earliest, np.minimum(touched["first_ms"], earliest))
    touched["incarnation"] = np.where(is_new, batch.offset[groups.start], touched["incarnation"])
    touched["last_ms"] = latest
    whole(rows)[groups.customer] = whole(touched)
    return fresh


def _take(events: EventColumns, order: Ints) -> EventColumns:
    """The events at `order`; categories and attributes keep pointing at the original indices."""
    ragged = {"category_event", "category", "attribute_event", "attribute", "attribute_value"}
    return EventColumns(
        **{
            f.name: getattr(events, f.name) if f.name in ragged else getattr(events, f.name)[order]
            for f in fields(EventColumns)
        }
    )


def _not_repeated(remembered: Hashes, events: EventColumns) -> Bools:
    fresh = np.ones(len(events), dtype=bool)
    stored = (remembered[events.customer] == events.id[:, None]).any(axis=1)
    pairs = events.id ^ (events.customer.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15))
    ordered = np.sort(pairs)
    if not ((ordered[1:] == ordered[:-1]).any() or stored.any()):
        return fresh
    # Rare: follow the customers concerned one event at a time.
    _, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    suspects = np.unique(events.customer[stored | (counts[inverse] > 1)])
    known = {
        customer: [int(i) for i in remembered[customer] if i] for customer in suspects.tolist()
    }
    for at in np.flatnonzero(np.isin(events.customer, suspects)).tolist():
        ids = known[int(events.customer[at])]
        event_id = int(events.id[at])
        if event_id in ids:
            fresh[at] = False
        else:
            ids.insert(0, event_id)
            del ids[REMEMBERED_IDS:]
    return fresh


def _running_max_before(times: Ints, stored: Ints, groups: Groups) -> Ints:
    """Largest of a customer's stored time and its times earlier in the batch, for each event."""
    base = groups.of_event * FAR_MS
    shifted = np.empty_like(times)
    shifted[1:] = times[:-1]
    shifted[groups.start] = stored
    return np.maximum.accumulate(shifted + base) - base


def _session_starts(
    schema: ProfileSchema, touched: Rows, batch: EventColumns, groups: Groups
) -> Bools:
    """Which events open a visit: another session id, or a pause without one.

    To be identified is no part of a visit.
    """
    opens = np.zeros(len(batch), dtype=bool)
    acts = np.flatnonzero(batch.type != schema.types[IDENTIFY])
    if acts.size == 0:
        return opens
    time_ms, session = batch.time_ms[acts], batch.session[acts]
    visits = Groups.of(groups.of_event[acts])
    visit_ms = touched["visit_ms"][visits.customer]
    last = _running_max_before(time_ms, visit_ms, visits)
    before = np.empty_like(session)
    before[1:] = session[:-1]
    before[visits.start] = touched["session"][visits.customer]
    named = (session != 0) & (before != 0)
    timeout_ms = int(schema.session_timeout_minutes * 60_000)
    starts = np.where(named, session != before, time_ms - last > timeout_ms)
    ends = np.append(visits.start[1:], acts.size) - 1
    touched["session"][visits.customer] = session[ends]
    touched["visit_ms"][visits.customer] = np.maximum(
        visit_ms, np.maximum.reduceat(time_ms, visits.start)
    )
    opens[acts] = starts | (last == 0)
    return opens


def _take_times(
    schema: ProfileSchema, touched: Rows, batch: EventColumns, groups: Groups
) -> dict[Selector, Floats]:
    """Move the latest time of each selector on; days since the event before, 0 where none."""
    no_flags = np.zeros(len(batch), dtype=bool)
    gaps = {}
    for at, selector in enumerate(schema.time_slots):
        times = np.where(matches(schema, selector, batch, no_flags), batch.time_ms, 0)
        stored = touched["times"][:, at]
        before = _running_max_before(times, stored, groups)
        closes = (before > 0) & (times > before)
        gaps[selector] = np.where(closes, (times - before) / DAY_MS, 0.0)
        touched["times"][:, at] = np.maximum(stored, np.maximum.reduceat(times, groups.start))
    return gaps


def _contributions(
    schema: ProfileSchema,
    batch: EventColumns,
    session_start: Bools,
    gaps: dict[Selector, Floats],
    latest: Ints,
) -> Floats:
    """What each event adds to each slot, decayed by its lateness; (n_events, n_slots)."""
    masks = {
        selector: matches(schema, selector, batch, session_start)
        for selector in dict.fromkeys(slot.selector for slot in schema.slots)
    }
    added = np.empty((len(batch), len(schema.slots)))
    for at, slot in enumerate(schema.slots):
        mask = masks[slot.selector]
        added[:, at] = mask if slot.measure == "one" else mask * _measured(slot, batch, gaps)
    late = (latest - batch.time_ms).astype(np.float64)
    is_late = late > 0
    if is_late.any():
        added[is_late] *= np.exp2(-late[is_late, None] * schema.decay_rates)
    return added


def _measured(slot: Slot, batch: EventColumns, gaps: dict[Selector, Floats]) -> Floats | Bools:
    match slot.measure:
        case "value":
            return batch.value
        case "quantity":
            return batch.quantity
        case "gap":
            return gaps[slot.selector]
    return gaps[slot.selector] > 0


def _positions(original: Ints, order: Ints) -> Ints:
    """Where in the sorted batch the events of these original indices are; -1 for one left out."""
    position = np.full(int(max(order.max(), original.max())) + 1, -1)
    position[order] = np.arange(order.size)
    return position[original]


def _take_attributes(touched: Rows, batch: EventColumns, groups: Groups, order: Ints) -> None:
    """Keep what was told latest by event time; of one time, what came last."""
    if batch.attribute.size == 0:
        return
    event = _positions(batch.attribute_event, order)
    kept = event >= 0
    event, attribute, value = event[kept], batch.attribute[kept], batch.attribute_value[kept]
    row, time_ms = groups.of_event[event], batch.time_ms[event]
    place = row * touched["attributes"].shape[1] + attribute
    by_time = np.lexsort((event, time_ms, place))
    last = by_time[np.diff(place[by_time], append=-1) != 0]
    last = last[time_ms[last] >= touched["attribute_ms"][row[last], attribute[last]]]
    touched["attributes"][row[last], attribute[last]] = value[last]
    touched["attribute_ms"][row[last], attribute[last]] = time_ms[last]


def _take_categories(
    schema: ProfileSchema, touched: Rows, batch: EventColumns, groups: Groups, order: Ints
) -> None:
    if batch.category.size == 0 or not schema.distinct_slots:
        return
    event = _positions(batch.category_event, order)
    kept = event >= 0
    event, bit = event[kept], np.uint64(1) << (batch.category[kept] & np.uint64(63))
    no_flags = np.zeros(len(batch), dtype=bool)
    for at, slot in enumerate(schema.distinct_slots):
        chosen = matches(schema, slot.selector, batch, no_flags)[event]
        customer = groups.of_event[event[chosen]]
        window = batch.time_ms[event[chosen]] // slot.window_ms
        newest = touched["window"][:, at].copy()
        np.maximum.at(newest, customer, window)
        touched["bits"][:, at] = with_bits(
            touched["bits"][:, at],
            newest - touched["window"][:, at],
            customer,
            newest[customer] - window,
            bit[chosen],
        )
        touched["window"][:, at] = newest


def _remember_ids(touched: Rows, batch: EventColumns, groups: Groups) -> None:
    """Newest ids first, as many as are remembered."""
    ends = np.append(groups.start[1:], len(batch)) - 1
    added = (ends - groups.start + 1)[:, None]
    place = np.arange(REMEMBERED_IDS)
    from_batch = batch.id[np.maximum(ends[:, None] - place, 0)]
    from_stored = np.take_along_axis(touched["ids"], np.maximum(place - added, 0), axis=1)
    touched["ids"] = np.where(place < added, from_batch, from_stored)
