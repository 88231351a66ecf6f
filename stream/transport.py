"""Faust's Kafka transport, handing over whole fetches instead of single messages.

Faust spends about 150 µs on each message before an agent sees it. Here it spends them once per
fetch, whatever it brings. Groups, rebalancing, agents and timers stay Faust's; offsets of batched
topics are the lanes' business: nothing is acknowledged, nothing is sought to what Kafka has
committed, and a batch that was fetched before a seek or under another generation is put back.

The seams are underscored: faust-streaming 0.15.3 and aiokafka 0.14.0 are pinned exactly.
"""

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import faust
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage, Message
from faust.types.transports import ConsumerT, ProducerT, TransportT

from models.errors import ShoalError
from stream import producing
from stream.fetching import LONGEST_SPACING_SECONDS, ConsumerInLoop, Fetched
from stream.records import Record
from stream.together import cancelled

log = logging.getLogger(__name__)

QUIESCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, fetched together, in order.

    `seeks` tells under which position of the consumer they were fetched: whoever sought the
    partition since must not use them. `read_from` is the offset that the consumer read on from: if
    the first record is beyond it, the log holds none between.
    """

    partition: int
    records: list[Record]
    seeks: int
    read_from: int


class FetchSchema(faust.Schema[Any, Any]):
    """Hands a fetch to the agent as it is: decoding is the lane's work."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The key as bytes."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The batches."""
        return message.value


class NothingRead(dict[TP, int | None]):
    """In place of Faust's account of what was read, below which it drops messages in silence.

    Faust writes a batch down only once it is delivered. A lane that got it may have sought back by
    then, and all that it sought for would be dropped.
    """

    def __missing__(self, tp: TP) -> None:
        """Nothing was read of any partition."""

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Forget it."""


class BatchingConsumer(driver.Consumer):
    """Yields one message per fetch: a list of batches, one of each partition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NothingRead()
        self._seeks: defaultdict[TP, int] = defaultdict(int)
        self._sought: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerInLoop:
        return ConsumerInLoop(self, cast("BatchingApp", self.app).fetch_spacing_seconds)

    async def seek_lane(self, tp: TP, offset: int) -> int:
        """Go on reading at `offset`; the number that batches read from there on carry."""
        self._seeks[tp] += 1
        self._sought[tp] = offset
        await self.seek_wait({tp: offset})
        return self._seeks[tp]

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and yield a message per topic whose value is a list of `RecordBatch`."""
        generation = self.app.consumer_generation_id
        seeks = dict(self._seeks)
        records, _ = await self._wait_next_records(timeout)
        if not records or self.should_stop:
            return
        taken: defaultdict[str, list[RecordBatch]] = defaultdict(list)
        for aiokafka_tp, fetched in records.items():
            tp, batch = ensure_TP(aiokafka_tp), cast("Fetched", fetched)
            fetched_under = seeks.get(tp, 0)
            sought = self._seeks[tp] != fetched_under
            if sought or not self.flow_active or self.app.consumer_generation_id != generation:
                await self._put_back(tp, self._sought[tp] if sought else batch.records[0].offset)
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            taken[tp.topic].append(
                RecordBatch(tp.partition, batch.records, fetched_under, batch.read_from)
            )
        for topic, batches in taken.items():
            tp = TP(topic, batches[-1].partition)
            yield tp, self._message(tp, batches)

    async def _put_back(self, tp: TP, offset: int) -> None:
        # The fetch has moved the position on: without this the batch would never come again.
        if tp in self.assignment():
            await self.seek_wait({tp: offset})

    def _message(self, tp: TP, batches: list[RecordBatch]) -> ConsumerMessage:
        """Stands for the last record of the last batch, whose partition `tp` is."""
        last = batches[-1].records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            [],
            None,
            cast("Any", batches),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue holds the next fetch back by itself.

        Faust would leave the partition out of the fetches to come. Those ask for what others have,
        and wait a second where they have nothing, whoever has room meanwhile.
        """

    async def perform_seek(self) -> None:
        """Nothing: each lane seeks to its own offset when it is claimed."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the steps in flight end before Faust takes the partitions away."""
        self.stop_flow()
        await self._quiesce()
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        """Let the steps in flight end, for a while; what remains is left to the successor."""
        await self._quiesce()

    async def _quiesce(self) -> None:
        app = self.app
        if isinstance(app, BatchingApp) and app.quiesce is not None:
            await app.quiesce()

    async def on_task_error(self, exc: BaseException) -> None:
        """Nothing to commit: lanes commit what is durable."""


class DurableProducer(driver.Producer):
    """acks=all and idempotent, whatever else is set."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[producing.Message]
    ) -> tuple[int, Awaitable[Any]]:
        """See `stream.producing.Producer`."""
        return await producing.send_batch(self._ensure_producer(), topic, partition, messages)


class BatchingTransport(driver.Transport):
    """Transport of an app all of whose topics are batched."""

    Consumer: ClassVar[type[ConsumerT]] = BatchingConsumer
    Producer: ClassVar[type[ProducerT]] = DurableProducer


class BatchingApp(faust.App):
    """A Faust app whose agents receive lists of `RecordBatch`.

    `quiesce` is awaited before partitions are taken away and before the process ends; it must
    return within a few seconds. Fetches that bring little follow each other at
    `fetch_spacing_seconds`.
    """

    quiesce: Callable[[], Awaitable[None]] | None = None
    fetch_spacing_seconds: float = LONGEST_SPACING_SECONDS
    ended_by: ShoalError | None = None

    def end(self, error: ShoalError) -> None:
        """Stop in good order, for a reason that a person must see to."""
        if self.ended_by is None:
            self.ended_by = error
            signal.raise_signal(signal.SIGTERM)

    def _new_transport(self) -> TransportT:
        return BatchingTransport(self.conf.broker, self, loop=self.loop)

    def batched_topic(self, name: str, partitions: int) -> faust.TopicT:
        """A topic whose batches nobody acknowledges to Faust."""
        return self.topic(name, partitions=partitions, acks=False, schema=FetchSchema())


def crash_on_error(app: BatchingApp) -> Callable[[asyncio.Task[None]], None]:
    """Callback for a task whose failure must not be passed over.

    The process ends, and a successor goes on from what is durable. What Shoal itself raises is a
    fault of something outside, and needs no traceback.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, ShoalError):
            app.end(error)
        else:
            log.critical("%s failed", task.get_name(), exc_info=error)
            _crashes.add(asyncio.ensure_future(app.crash(error)))

    return ended


_crashes: set[asyncio.Future[None]] = set()


async def within(seconds: float, *tasks: asyncio.Task[None]) -> None:
    """Wait for tasks to end, then cancel those that did not."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    await cancelled(*late)
