"""What people ask of a running Shoal: a customer, the segments, the changes."""

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.table import Table

from config.segmentation import load_segmentation
from config.settings import Settings
from models.assignment import distances_to
from models.clock import EventClock
from models.errors import ShoalError
from models.identifiers import CustomerId
from models.snapshots import Snapshot
from stream.catalogue import Catalogue
from stream.changes import Change, read_change, rfc3339
from stream.connections import kafka_options
from stream.names import Keys, Topics
from stream.partitions import partitioner
from stream.preflight import reach_redis, require_topics
from stream.redis_store import RedisStore
from stream.store import UNASSIGNED
from stream.worker import wall_ms


class UnknownCustomerError(ShoalError):
    """Nobody by that id was ever seen, or they were forgotten."""

    def __init__(self, customer: CustomerId) -> None:
        super().__init__(
            f"no customer {customer!r}: check the id, and whether its events were accepted "
            "(metric shoal_events_rejected_total)"
        )


@dataclass(frozen=True, slots=True)
class Membership:
    """A customer's segment in one segmentation, as pages read it.

    `distances` are to each segment's centroid, in scaled units.
    """

    segment: dict[str, str]
    distances: dict[str, float]


@dataclass(frozen=True, slots=True)
class CustomerReport:
    """One customer."""

    customer_id: str
    partition: int
    first_seen: str
    last_seen: str
    features: dict[str, float]
    segmentations: dict[str, Membership]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment and how many customers are in it."""

    id: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """All segments. `learned` of `needed` customers while there is no model."""

    customers: int
    unassigned: int
    model: int
    learned: int
    needed: int
    segments: list[SegmentRow]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def describe_customer(settings: Settings, customer: CustomerId) -> CustomerReport:
    """Everything that Redis holds of a customer, and the vector it stands for now.

    Raises
    ------
    UnknownCustomerError
        There is no such customer.
    """
    segmentation = load_segmentation(settings.segmentation)
    schema = segmentation.profile_schema()
    partition = partitioner(settings.partitioner, settings.partitions)(customer.encode())
    async with reach_redis(settings) as redis:
        keys = Keys(settings.namespace)
        catalogue, store = Catalogue(redis, keys), RedisStore(redis, keys)
        for schema_id, layout in (await catalogue.schemas()).items():
            schema.learn_layout(schema_id, layout)
        rows = schema.decode(await store.profiles(partition, [customer]))
        if rows["first_ms"][0] == 0:
            raise UnknownCustomerError(customer)
        lane = (await catalogue.lanes([partition]))[0]
        pages = {name: await catalogue.segment(customer, name) for name in schema.segmentations}
        models = [await catalogue.newest_model(name) for name in schema.segmentations]
    replayed_ms = EventClock.from_text(lane.get("clock", "")).now_ms
    vector = schema.vectors(rows, wall_ms() if settings.clock == "live" else replayed_ms)
    return CustomerReport(
        customer_id=customer,
        partition=partition,
        first_seen=rfc3339(int(rows["first_ms"][0])),
        last_seen=rfc3339(int(rows["last_ms"][0])),
        # What the customer never told is not a number: it has no place in JSON.
        features={
            name: value
            for name, value in zip(schema.names, vector[0].round(3).tolist(), strict=True)
            if isfinite(value)
        },
        segmentations={
            grouping.name: Membership(
                pages[grouping.name], _distances(model, grouping.of(vector)) if model else {}
            )
            for grouping, model in zip(segmentation.groupings(schema), models, strict=True)
        },
    )


def _distances(model: Snapshot, vector: np.ndarray) -> dict[str, float]:
    distances = distances_to(model.scaler.transform(vector), model.centroids)[0]
    return {
        f"{segment.id} {segment.name}": round(float(distance), 3)
        for segment, distance in zip(model.segments, distances, strict=True)
    }


def show_customer(report: CustomerReport, console: Console) -> None:
    """The report for people."""
    for segmentation, member in report.segmentations.items():
        name = member.segment.get("name") or "in no segment yet"
        where = f"{segmentation}: " if len(report.segmentations) > 1 else ""
        public = member.segment.get("id", "")
        console.print(f"{report.customer_id}: {where}{name} {public}", markup=False)
    console.print(f"first seen {report.first_seen}, last seen {report.last_seen}")
    features = Table("feature", "value")
    for feature, value in report.features.items():
        features.add_row(feature, f"{value:g}")
    console.print(features)
    for segmentation, member in report.segmentations.items():
        if member.distances:
            nearness = Table(f"segment of {segmentation}", "distance")
            for segment, distance in sorted(member.distances.items(), key=lambda pair: pair[1]):
                nearness.add_row(segment, f"{distance:.3f}")
            console.print(nearness)


async def segment_report(catalogue: Catalogue, segmentation: str, partitions: int) -> SegmentReport:
    """The segments in force with their sizes, the largest first."""
    sizes = await catalogue.sizes(range(partitions), segmentation)
    known = await catalogue.segments(segmentation)
    training = await catalogue.training(segmentation)
    unassigned = sizes.pop(UNASSIGNED, 0)
    rows = [
        SegmentRow(number, known.get(number, {}).get("name", number), sizes.get(number, 0))
        for number in dict.fromkeys((*known, *sizes))
    ]
    return SegmentReport(
        customers=sum(sizes.values()) + unassigned,
        unassigned=unassigned,
        model=await catalogue.model_version(segmentation),
        learned=training.get("customers", 0),
        needed=training.get("needed", 0),
        segments=sorted(rows, key=lambda row: -row.size),
    )


def segment_table(report: SegmentReport) -> Table:
    """Segments, their names and sizes; what is missing while there are none."""
    title = f"{report.customers} customers, model {report.model}"
    if not report.model:
        title = (
            f"{report.customers} customers, no segments yet: "
            f"{report.learned} of {report.needed} needed to learn from"
        )
    table = Table("segment", "name", "customers", "share", title=title, title_justify="left")
    whole = max(report.customers, 1)
    for row in report.segments:
        table.add_row(row.id, row.name, str(row.size), f"{row.size / whole:.1%}")
    if report.unassigned:
        table.add_row("", "unassigned", str(report.unassigned), f"{report.unassigned / whole:.1%}")
    return table


async def follow_changes(
    settings: Settings,
    console: Console,
    *,
    from_start: bool = False,
    as_json: bool = False,
    limit: int | None = None,
) -> None:
    """Print changes of segment as they come."""
    await require_topics(settings)
    consumer = AIOKafkaConsumer(
        Topics(settings.namespace).changes,
        **kafka_options(settings),
        auto_offset_reset="earliest" if from_start else "latest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        seen = 0
        async for record in consumer:
            if as_json:
                console.out(record.value.decode())
            else:
                console.out(describe_change(read_change(record.value)))
            seen += 1
            if seen == limit:
                return
    finally:
        await consumer.stop()


def describe_change(change: Change) -> str:
    """A change in one line."""
    data = change.data
    origin = data.origin.name if data.origin else "nowhere"
    target = data.target.name if data.target else "nowhere"
    time = change.time.isoformat(timespec="seconds")
    return (
        f"{time}  {data.customer_id}  {origin} -> {target}"
        f"  ({data.reason}, confidence {data.confidence:.2f}, version {data.version})"
    )


def summarise(changes: list[bytes]) -> tuple[int, int]:
    """How many distinct changes there are, and how many repeats."""
    ids = {json.loads(change)["id"] for change in changes}
    return len(ids), len(changes) - len(ids)
