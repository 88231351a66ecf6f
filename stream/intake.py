"""What a lane takes of the fetched records: each once, in order, whatever was fetched twice."""

import logging

from stream import metrics
from stream.deployment import StateLostError
from stream.inbox import Inbox
from stream.ports import Position
from stream.records import Record

log = logging.getLogger(__name__)


class Intake:
    """Takes what comes next in a partition's log out of an inbox."""

    def __init__(self, partition: int, inbox: Inbox, position: Position) -> None:
        self._partition = partition
        self._inbox = inbox
        self._position = position
        self._seeks = -1

    async def start(self, offset: int) -> None:
        """Have the log read from this offset, which the lane has reached, on.

        Raises
        ------
        StateLostError
            The log does not reach as far.
        """
        await self._require_log(offset)
        self._inbox.open()
        await self._seek(offset)

    async def take(self, offset: int) -> list[Record]:
        """The records from this offset on, of all batches that are waiting.

        Raises
        ------
        StateLostError
            Records come again that were taken, for the log was made anew.
        """
        records: list[Record] = []
        expected = offset
        for batch in self._inbox.take():
            if batch.seeks != self._seeks:
                continue  # read from somewhere else
            first = batch.records[0].offset
            if batch.read_from > expected:
                # Something between has been taken by nobody; the next batches have it.
                metrics.OFFSET_GAPS.inc()
                await self._seek(expected)
                break
            if first > expected:
                # The log's own hole: retention, compaction or transactions.
                metrics.OFFSETS_MISSING.inc(first - expected)
                log.warning(
                    "lane %d: the log holds no offsets %d to %d",
                    *(self._partition, expected, first - 1),
                )
            if first >= expected:
                records += batch.records
            else:
                await self._require_log(offset)
                fresh = [record for record in batch.records if record.offset >= expected]
                metrics.EVENTS_SKIPPED.inc(len(batch.records) - len(fresh))
                records += fresh
            expected = max(expected, batch.records[-1].offset + 1)
        return records

    async def _seek(self, offset: int) -> None:
        self._seeks = await self._position.seek(self._partition, offset)

    async def _require_log(self, offset: int) -> None:
        """Return if the log still reaches as far as it was counted."""
        end = await self._position.latest(self._partition)
        if end < offset:
            raise StateLostError(
                f"Redis has counted partition {self._partition} of the events up to offset "
                f"{offset}, but it ends at {end}, so the topic was made again or has lost "
                "records: run `shoal rebuild`"
            )
