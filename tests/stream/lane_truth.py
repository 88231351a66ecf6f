"""What must hold once a lane has come to rest, computed from the log and from what was told."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from models.columns import Rows
from models.identifiers import CustomerId, SegmentId, segment_id
from models.profiles import DAY_MS
from stream.changes import Change, read_change, segment_record
from stream.store import size_field
from tests.stream.lane_kit import SCHEMA
from tests.stream.lane_world import Accepted, World

EXPIRE_AFTER_MS = 100 * DAY_MS

Told = dict[int, set[bytes]]
"""What was told of a customer, by version."""


class Fault(NamedTuple):
    """What is not as it must be."""

    what: str
    detail: str


def wrong_profiles(world: World) -> Iterator[Fault]:
    """What is wrong with profiles, pages, counts, due times, rejections; these hold always."""
    lane = world.store.lanes[0]
    rows = _rows(world)
    living = {customer: row for customer, row in rows.items() if row["first_ms"] > 0}
    for customer, events in world.accepted.items():
        for detail in _wrong_life(world, events, living.get(customer)):
            yield Fault("profile", f"{customer}: {detail}")
    for customer in rows.keys() | {customer for _, customer in world.store.segments}:
        right = _segment(rows.get(customer))
        page = world.store.segments.get(("default", customer))
        if (shown := (page.version, page.id) if page else (0, None)) != right:
            yield Fault("page", f"{customer}: shows {shown}, not {right}")
    segments = Counter(size_field("default", int(row["segment"][0])) for row in living.values())
    version = world.model.version if world.model else 0
    counts: dict[str, tuple[object, object]] = {
        "customers": (living.keys() - world.accepted.keys(), set()),
        "sizes": (+lane.sizes, segments),
        "sizes below 0": (-lane.sizes, Counter()),
        "due": (lane.due.keys(), living.keys()),
        "models": ({int(row["model"][0]) for row in living.values()} - {version}, set()),
        "rejected": ({r.record.offset for r in world.kafka.rejected}, world.bad),
    }
    for what, (found, should) in counts.items():
        if found != should:
            yield Fault(what, f"{found}, not {should}")


def _wrong_life(world: World, events: list[Accepted], row: Rows | None) -> Iterator[str]:
    """A life counts each of its events once; an earlier one ended because it was quiet."""
    begin = world.end if row is None else int(row["incarnation"])
    life = {event.event_id: event.time_ms for event in events if event.offset >= begin}
    past = [event.time_ms for event in events if event.offset < begin]
    if past and max(past) + EXPIRE_AFTER_MS > world.wall_ms:
        yield f"too early to forget what was before offset {begin}"
    if row is None:
        return
    if begin not in {event.offset for event in events}:
        yield f"begins at offset {begin}, which was never accepted"
    if (count := float(row["sums"][0])) != len(life):
        yield f"{count:g} events counted, {len(life)} accepted"
    if life and int(row["last_ms"]) != max(life.values()):
        yield f"last event at {row['last_ms']}, not {max(life.values())}"


def wrong_changes(world: World) -> Iterator[Fault]:
    """What is wrong with what was told; a Redis that lost writes may cause some of it."""
    told: defaultdict[CustomerId, Told] = defaultdict(lambda: defaultdict(set))
    for customer, value in world.kafka.told:
        told[customer][read_change(value).data.version].add(value)
    rows = _rows(world)
    for customer in sorted(rows.keys() | told.keys()):
        for what, detail in _wrong_chain(told[customer], *_segment(rows.get(customer))):
            yield Fault(what, f"{customer}: {detail}")
    for (_, customer), page in world.store.segments.items():
        contents = told[customer].get(page.version, ())
        if page not in {segment_record(_read({content})) for content in contents}:
            yield Fault("page", f"{customer}: shows what was never told: {page}")
    ids = Counter(_read(contents).id for known in told.values() for contents in known.values())
    if reused := [name for name, times in ids.items() if times > 1]:
        yield Fault("ids used twice", f"{reused}")


def _wrong_chain(told: Told, last: int, segment: SegmentId | None) -> Iterator[Fault]:
    versions = sorted(told)
    if versions != list(range(1, last + 1)):
        yield Fault("versions", f"{versions} were told, the profile has {last}")
    if conflicts := [version for version in versions if len(told[version]) > 1]:
        yield Fault("contents", f"versions {conflicts} were told in two ways")
    at = None
    for data in (_read(told[version]).data for version in versions):
        if (data.origin.id if data.origin else None) != at:
            yield Fault("chain", f"version {data.version} does not begin in {at}")
        at = data.target.id if data.target else None
        if (at is None) != (data.reason == "expired"):
            yield Fault("reason", f"version {data.version} leads to {at} for {data.reason}")
    if at != segment:
        yield Fault("chain", f"leads to {at}, the profile is in {segment}")


def _read(contents: set[bytes]) -> Change:
    return read_change(min(contents))


def _segment(row: Rows | None) -> tuple[int, SegmentId | None]:
    """Version and segment of a profile, also where there is none."""
    return (
        (0, None) if row is None else (int(row["version"][0]), segment_id(int(row["segment"][0])))
    )


def _rows(world: World) -> dict[CustomerId, Rows]:
    profiles = world.store.lanes[0].profiles
    return dict(zip(profiles, SCHEMA.decode(list(profiles.values())), strict=True))
