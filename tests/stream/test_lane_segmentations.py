"""Several segmentations in one lane, and the labels that operators give to segments."""

from dataclasses import dataclass, replace

import pytest

from models.accumulators import update
from models.editions import Edition, Editions
from models.features import Feature, Kind
from models.identifiers import CustomerId
from models.labels import Label, LabelBook
from models.profiles import DAY_MS, ProfileSchema
from models.scaling import Scaler
from models.segmentation import Segmentation
from models.snapshots import Segment, Snapshot
from stream.batches import Reading, columns_of, read_batch
from stream.change_maker import ChangeMaker
from stream.money import Money
from stream.steps import StepMaker
from stream.store import Reached
from tests.memory_store import MemoryStore
from tests.stream.lane_kit import ORDERS, START_MS, Kit, event, record, until

ORDER = Feature("orders", Kind.COUNT, ORDERS, scale="linear")
SPENT = Feature("spent", Kind.SUM, ORDERS, of="value", scale="linear")
SCHEMA = ProfileSchema((ORDER, SPENT), segmentations=("default", "value"))
DEFAULT, VALUE = (
    Segmentation("default", SCHEMA, (ORDER,)),
    Segmentation("value", SCHEMA, (replace(SPENT, weight=2.0),)),
)
MAKER = StepMaker(
    schema=SCHEMA,
    segmentations=(DEFAULT, VALUE),
    change_maker=ChangeMaker("/test/worker"),
    reading=Reading(Money("EUR"), dict(SCHEMA.types), lambda _: 0, correct_skew=False),
    expire_after_ms=100 * DAY_MS,
    is_live=False,
)
ANN = CustomerId("ann")


def little_and_much(segmentation: Segmentation, version: int = 1, first: int = 1) -> Snapshot:
    """A model that tells one order of 10 from five of 20, in one of the segmentations."""
    rows = SCHEMA.empty(2)
    events = [event("few", 0, properties={"value": 10})]
    events += [event("many", number, properties={"value": 20}) for number in range(1, 6)]
    batch = read_batch(
        [record(at, value) for at, value in enumerate(events)],
        partition=0,
        now_ms=START_MS,
        known=(),
        reading=MAKER.reading,
    )
    update(SCHEMA, rows, columns_of([batch], MAKER.reading))
    vectors = segmentation.vectors(rows, START_MS)
    scaler = Scaler.fit(segmentation.features, vectors)
    return Snapshot(
        segmentation=segmentation.name,
        version=version,
        epoch=1,
        created_ms=START_MS,
        now_ms=START_MS,
        customers=2,
        algorithm="online_kmeans",
        river_version="0",
        scaler=scaler,
        centroids=scaler.transform(vectors),
        segments=(Segment(first, "Little", 0.5, 1), Segment(first + 1, "Much", 0.5, 1)),
        next_number=first + 2,
        sample_threshold=1.0,
        margin=0.1,
    )


@dataclass
class TwoKit(Kit):
    """A lane with two segmentations."""

    in_force: Editions = MAKER.nothing_yet

    @property
    def editions(self) -> Editions:
        return self.in_force

    def put_in_force(self, *models: Snapshot, labels: LabelBook | None = None) -> None:
        known = {model.segmentation: model for model in models}
        self.in_force = tuple(
            Edition(
                edition.segmentation,
                known.get(edition.segmentation.name, edition.model),
                labels or edition.labels,
            )
            for edition in self.in_force
        )

    def told(self) -> list[tuple[str, str, int, str]]:
        """Segmentation, new segment, version and reason of each change."""
        return [
            (d["segmentation"], d["to"]["id"], d["version"], d["reason"])
            for d in (event["data"] for event in self.kafka.events())
        ]


@pytest.fixture
def kit(store: MemoryStore) -> TwoKit:
    return TwoKit(store)


async def test_one_step_moves_a_customer_in_every_segmentation(
    kit: TwoKit, store: MemoryStore
) -> None:
    kit.put_in_force(little_and_much(DEFAULT), little_and_much(VALUE, first=7))
    async with kit.running(MAKER) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0, properties={"value": 99}))))
        await until(lambda: lane.next_offset == 1)
    assert kit.told() == [("default", "s1", 1, "event"), ("value", "s8", 1, "event")]
    assert {change["data"]["cause_event_id"] for change in kit.kafka.events()} == {"ann-0"}
    assert store.lanes[0].sizes == {"default:s1": 1, "value:s8": 1}
    pages = {name: await store.segment(ANN, name) for name in SCHEMA.segmentations}
    assert {name: page["id"] for name, page in pages.items()} == {"default": "s1", "value": "s8"}
    ids = {change["id"] for change in kit.kafka.events()}
    assert len(ids) == 2


async def test_each_segmentation_goes_its_own_way(kit: TwoKit, store: MemoryStore) -> None:
    kit.put_in_force(little_and_much(DEFAULT))
    async with kit.running(MAKER) as lane:
        orders = [record(at, event("ann", at, properties={"value": 1})) for at in range(5)]
        await lane.inbox.put(kit.kafka.batch(orders[0]))
        await until(lambda: lane.next_offset == 1)
        assert store.lanes[0].sizes == {"default:s1": 1, "value:unassigned": 1}
        kit.put_in_force(little_and_much(VALUE, version=3))
        await until(lambda: len(kit.kafka.told) == 2)
        await lane.inbox.put(kit.kafka.batch(*orders[1:]))
        await until(lambda: len(kit.kafka.told) == 3)
    assert kit.told() == [
        ("default", "s1", 1, "event"),
        ("value", "s1", 1, "model"),
        ("default", "s2", 2, "event"),
    ]
    assert +store.lanes[0].sizes == {"default:s2": 1, "value:s1": 1}
    reached = store.lanes[0].reached
    assert {name: r.model for name, r in reached.items()} == {"default": 1, "value": 3}


async def test_who_is_forgotten_leaves_every_segmentation(kit: TwoKit, store: MemoryStore) -> None:
    kit.put_in_force(little_and_much(DEFAULT), little_and_much(VALUE))
    async with kit.running(MAKER) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        await until(lambda: lane.next_offset == 1)
        late = kit.wall_ms = START_MS + 101 * DAY_MS
        days = [record(at, event("bob", at, time_ms=late + at)) for at in range(1, 12)]
        await lane.inbox.put(kit.kafka.batch(*days))
        await until(lambda: len(kit.kafka.told) == 6)
    gone = [change["data"] for change in kit.kafka.events() if change["data"]["to"] is None]
    assert {(d["segmentation"], d["customer_id"], d["reason"]) for d in gone} == {
        ("default", "ann", "expired"),
        ("value", "ann", "expired"),
    }
    assert sum(store.lanes[0].sizes.values()) == 2


async def test_a_label_reaches_every_page_and_the_changes_to_come_without_a_change_of_its_own(
    kit: TwoKit, store: MemoryStore
) -> None:
    kit.put_in_force(little_and_much(DEFAULT))
    async with kit.running(MAKER) as lane:
        orders = [record(n, event(f"c{n}", n)) for n in range(1_200)]
        await lane.inbox.put(kit.kafka.batch(*orders))
        await until(lambda: lane.next_offset == 1_200)
        vip = LabelBook(1, {1: Label("VIP", "/vip", tags=("a",))})
        kit.put_in_force(labels=vip)
        digest = kit.in_force[0].digest
        await until(lambda: store.lanes[0].reached["default"] == Reached(1, digest))
        pages = [await store.segment(CustomerId(f"c{n}"), "default") for n in range(1_200)]
        assert {(page["name"], page["landing_page"]) for page in pages} == {("VIP", "/vip")}
        assert len(kit.kafka.told) == 1_200
        await lane.inbox.put(kit.kafka.batch(record(1_200, event("new", 1_200))))
        await until(lambda: len(kit.kafka.told) == 1_201)
    attached = {"landing_page": "/vip", "offer": "", "message": "", "tags": ["a"]}
    assert kit.kafka.events()[-1]["data"]["to"] == {"id": "s1", "name": "VIP"} | attached


async def test_a_successor_reads_nobody_again_whom_its_predecessor_has_scored_and_shown(
    kit: TwoKit, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.put_in_force(little_and_much(DEFAULT), little_and_much(VALUE))
    async with kit.running(MAKER) as lane:
        await lane.inbox.put(kit.kafka.batch(record(0, event("ann", 0))))
        goals = {e.segmentation.name: Reached(1, e.digest) for e in kit.in_force}
        await until(lambda: store.lanes[0].reached == goals)
    monkeypatch.delattr(MemoryStore, "scan")
    async with kit.running(MAKER) as lane:
        await lane.inbox.put(kit.kafka.batch(record(1, event("ann", 1))))
        await until(lambda: lane.next_offset == 2)
    assert store.lanes[0].reached == goals
