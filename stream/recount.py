"""The event log counted into profiles, outside the lanes and in silence."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from aiokafka import ConsumerRecord

from models.accumulators import update
from models.clock import EventClock
from models.columns import put
from stream.batches import EventBatch, columns_of, read_batch
from stream.homes import Homes
from stream.ports import Teller

PartitionOf = Callable[[bytes], int]


class Recount:
    """Counts records into the profiles of their customers, wherever those belong today.

    Parameters
    ----------
    former
        Where earlier layouts put keys: a record that lies where one of them put it counts too.

    Attributes
    ----------
    clocks
        Event time of each partition, by where customers belong.
    events
        Events counted; `rejected` are those that were set aside.
    """

    def __init__(
        self,
        homes: Homes,
        teller: Teller,
        former: Sequence[PartitionOf],
        wall_ms: Callable[[], int],
    ) -> None:
        self.clocks: defaultdict[int, EventClock] = defaultdict(EventClock)
        self.events = 0
        self.rejected = 0
        self._homes = homes
        self._teller = teller
        self._former = former
        self._wall_ms = wall_ms

    async def take(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        """Count records of one partition of the log; each must come once, in order."""
        maker = self._homes.maker
        batch = read_batch(
            records,
            partition=partition,
            now_ms=self._wall_ms(),
            known=(),
            reading=replace(
                maker.reading, partition_of=partial(self._accepted_at, partition), places=None
            ),
        )
        if batch.rejected:
            await self._teller.rejections(batch.rejected)
        self.events += len(batch)
        self.rejected += len(batch.rejected)
        groups = self._homes.grouped(batch.customers)
        rows = maker.schema.empty(len(batch.customers))
        for home, chosen in groups.items():
            names = [batch.customers[at] for at in chosen]
            blobs = await self._homes.store.profiles(home, names)
            put(rows, chosen, maker.schema.decode(blobs))
        update(maker.schema, rows, columns_of([batch], maker.reading))
        for home, chosen in groups.items():
            names = [batch.customers[at] for at in chosen]
            clock = self._advance(home, chosen, batch)
            now_ms = self._wall_ms() if maker.is_live else clock.now_ms
            await self._homes.write(home, maker.stored(names, rows[chosen], now_ms))

    def _accepted_at(self, partition: int, key: bytes) -> int:
        home = self._homes.maker.reading.partition_of(key)
        return partition if any(of(key) == partition for of in self._former) else home

    def _advance(self, home: int, chosen: Sequence[int], batch: EventBatch) -> EventClock:
        theirs = set(chosen)
        times_ms = [
            event.time_ms
            for event, at in zip(batch.events, batch.customer, strict=True)
            if at in theirs
        ]
        self.clocks[home] = self.clocks[home].advance(times_ms)
        return self.clocks[home]
