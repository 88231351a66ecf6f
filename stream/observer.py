"""A running Shoal seen from outside: how far it is, and what it has told."""

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.segmentation import load_segmentation
from config.settings import Settings
from stream.catalogue import EVERYBODY_PPM, Catalogue
from stream.inspection import SegmentReport, segment_report
from stream.names import Keys, Topics
from stream.store import connect


class Observer:
    """Reads lanes, segments and topics; changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.namespace)
        self._segmentation = load_segmentation(settings.segmentation).name
        self._redis = connect(settings.redis, retries=3)
        self.catalogue = Catalogue(self._redis, Keys(settings.namespace))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._redis.aclose()

    @property
    def partitions(self) -> range:
        """Partitions of the event topic."""
        return range(self._settings.partitions)

    async def handled(self) -> int:
        """Records that the lanes have behind them."""
        lanes = await self.catalogue.lanes(self.partitions)
        return sum(int(lane.get("next_offset", 0)) for lane in lanes)

    async def segments(self) -> SegmentReport:
        """Segments and sizes."""
        return await segment_report(self.catalogue, self._segmentation, self._settings.partitions)

    async def is_settled(self) -> bool:
        """Whether the trainer knows all customers, and all customers know its last model.

        Where it samples, its customers cannot be compared with all: then one model is enough.
        """
        report = await self.segments()
        training = await self.catalogue.training(self._segmentation)
        samples_all = training.get("sampled_ppm", EVERYBODY_PPM) == EVERYBODY_PPM
        if samples_all and training.get("customers", 0) < report.customers:
            return False
        if not report.model:
            return report.customers < training.get("needed", 1)
        lanes = await self.catalogue.lanes(self.partitions)
        used = [lane for lane in lanes if "next_offset" in lane]
        return all(int(lane.get("rescored", 0)) >= report.model for lane in used)

    async def changes(self) -> list[bytes]:
        """Every message of the change topic."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka, enable_auto_commit=False
        )
        await consumer.start()
        try:
            parts = [TopicPartition(self._topics.changes, number) for number in self.partitions]
            consumer.assign(parts)
            await consumer.seek_to_beginning(*parts)
            ends = await consumer.end_offsets(parts)
            found: list[bytes] = []
            while any([await consumer.position(part) < ends[part] for part in parts]):
                fetched = await consumer.getmany(timeout_ms=1000)
                found += [record.value for records in fetched.values() for record in records]
            return found
        finally:
            await consumer.stop()
