"""Whether a contender did its work: what must be in Redis and in the topic of changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.contenders.profile import Model, Profile, take
from stream.sources import SourceEvent


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a customer: how many events were counted, and the segment."""

    events: int
    segment: str | None


def expected_pages(
    events: Sequence[SourceEvent], model: Model, read: Callable[[bytes], Mapping[str, object]]
) -> dict[str, Page]:
    """What must be there after these events, by customer."""
    profiles: dict[str, Profile] = {}
    for event in events:
        take(profiles.setdefault(event.customer_id, {}), read(event.value))
    return {
        customer: Page(profile["events"], model.segment_of(profile))
        for customer, profile in profiles.items()
    }


def fault_of_pages(
    expected: Mapping[str, Page], found: Mapping[str, Page], told: Mapping[str, str | None]
) -> str:
    """Why these results are wrong; empty when they are right. `told` is the last change of each."""
    if len(found) != len(expected) or found.keys() != expected.keys():
        return f"the events are of {len(expected)} customers, Redis knows {len(found)}"
    sent, counted = (sum(page.events for page in pages.values()) for pages in (expected, found))
    if sent != counted:
        return f"{sent} events were sent, {counted} were counted"
    wrong = [name for name, page in found.items() if page.events != expected[name].events]
    if wrong:
        return f"the events of {len(wrong)} customers were not counted right, as of {wrong[0]}"
    without = sum(not page.segment for page in found.values())
    if without:
        return f"{without} of {len(found)} customers are in no segment"
    wrong = [name for name, page in found.items() if page.segment != expected[name].segment]
    if wrong:
        return f"{len(wrong)} customers are not in the nearest segment, as {wrong[0]}"
    wrong = [name for name, page in found.items() if told.get(name) != page.segment]
    if wrong:
        return f"the last change told of {len(wrong)} customers is not in Redis, as of {wrong[0]}"
    return ""


def expected_offsets(
    events: Sequence[SourceEvent], partition_of: Callable[[bytes], int]
) -> tuple[dict[int, int], dict[str, int]]:
    """Records in each partition, and the offset of each customer's last event."""
    ends: dict[int, int] = {}
    last: dict[str, int] = {}
    for event in events:
        partition = partition_of(event.customer_id.encode())
        last[event.customer_id] = ends.get(partition, 0)
        ends[partition] = last[event.customer_id] + 1
    return ends, last


def fault_of_offsets(
    expected: tuple[Mapping[int, int], Mapping[str, int]],
    found: tuple[Mapping[int, int], Mapping[str, int]],
    due: int,
) -> str:
    """Why what the floor wrote is wrong; empty when it is right. `due` is how many are due."""
    (ends, last), (found_ends, found_last) = expected, found
    if dict(ends) != dict(found_ends):
        return f"{sum(ends.values())} events were sent, {sum(found_ends.values())} were handled"
    if len(last) != len(found_last) or due != len(last):
        return (
            f"the events are of {len(last)} customers, Redis has profiles of {len(found_last)} "
            f"and {due} are due"
        )
    wrong = [name for name, offset in last.items() if found_last.get(name) != offset]
    if wrong:
        return f"the last event of {len(wrong)} customers is not in Redis, as of {wrong[0]}"
    return ""
