"""A running Shoal seen from outside: how far it is, and what it has told."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.segmentation import load_segmentation
from config.settings import Settings
from stream.catalogue import EVERYBODY_PPM, Catalogue
from stream.connections import connect_redis, kafka_options
from stream.inspection import SegmentReport, segment_report
from stream.names import Keys, Topics
from stream.store import Reached, read_reached


class Observer:
    """Reads lanes, segments and topics; changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.namespace)
        self._segmentations = tuple(load_segmentation(settings.segmentation).segmentations)
        self._redis = connect_redis(settings, retries=3)
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
        """Segments and sizes of the first segmentation."""
        return await self._segments(self._segmentations[0])

    async def _segments(self, segmentation: str) -> SegmentReport:
        return await segment_report(self.catalogue, segmentation, self._settings.partitions)

    async def is_settled(self) -> bool:
        """Whether the trainer knows all customers, and all customers know its last models.

        Where it samples, its customers cannot be compared with all: then one model is enough.
        """
        lanes = await self.catalogue.lanes(self.partitions)
        used = [read_reached(lane.get("reached", "")) for lane in lanes if "next_offset" in lane]
        for segmentation in self._segmentations:
            if not await self._has_settled(segmentation, used):
                return False
        return True

    async def _has_settled(self, segmentation: str, lanes: Sequence[Mapping[str, Reached]]) -> bool:
        report = await self._segments(segmentation)
        training = await self.catalogue.training(segmentation)
        samples_all = training.get("sampled_ppm", EVERYBODY_PPM) == EVERYBODY_PPM
        if samples_all and training.get("customers", 0) < report.customers:
            return False
        if not report.model:
            return report.customers < training.get("needed", 1)
        return all(lane.get(segmentation, Reached()).model >= report.model for lane in lanes)

    async def changes(self) -> list[bytes]:
        """Every message of the change topic."""
        consumer = AIOKafkaConsumer(**kafka_options(self._settings), enable_auto_commit=False)
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
