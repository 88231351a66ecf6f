"""The least that any engine in Python must do: fetch, decode, and one write a batch.

Partitions run side by side. A step is one script that writes for each customer as many bytes as
Shoal keeps, a score in the set of who is due, and how far the partition is. There is no logic: a
profile is the offset of the customer's last event, filled up.
"""

import asyncio

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from bench.contenders.job import PREFIX, Job, Meter
from bench.contenders.pacing import pace

DUE, LANE = f"{PREFIX}due:", f"{PREFIX}lane:"
TTL_MS = 86_400_000

WRITE = """
redis.call('SET', KEYS[1], ARGV[1])
local due = {}
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i], 'PX', ARGV[2])
  due[#due + 1] = i
  due[#due + 1] = KEYS[i]
  if #due == 1000 then
    redis.call('ZADD', KEYS[2], unpack(due))
    due = {}
  end
end
if #due > 0 then redis.call('ZADD', KEYS[2], unpack(due)) end
"""


class Properties(msgspec.Struct, gc=False):
    """What features need of an event's properties."""

    revenue: float | None = None
    value: float | None = None
    quantity: float | None = None
    discount: float | None = None
    coupon: str | None = None
    category: str | None = None


class Event(msgspec.Struct, gc=False):
    """What features need of an event."""

    event_id: str
    customer_id: str
    type: str
    timestamp: str
    session_id: str | None = None
    properties: Properties | None = None


async def serve(
    job: Job, partition: int, consumer: AIOKafkaConsumer, write: AsyncScript, meter: Meter
) -> None:
    """Take a partition's batches, one after the other, until all events of all are written."""
    place = TopicPartition(job.events_topic, partition)
    decode = msgspec.json.Decoder(Event).decode
    while True:
        fetched = await consumer.getmany(place, timeout_ms=100, max_records=job.batch)
        records = fetched.get(place)
        if not records:
            continue
        meter.begin(len(records))
        last = {decode(record.value).customer_id: record.offset for record in records}
        next_offset = records[-1].offset + 1
        blobs = [
            offset.to_bytes(8, "little").ljust(job.profile_bytes, b".") for offset in last.values()
        ]
        names = [f"{PREFIX}{customer}" for customer in last]
        await write(
            keys=[f"{LANE}{partition}", f"{DUE}{partition}", *names],
            args=[next_offset, TTL_MS, *blobs],
        )
        if meter.count(len(records)):
            return


async def run(job: Job) -> None:
    """All partitions, until one of them has written the last event."""
    meter = Meter(job)
    redis = Redis.from_url(job.redis)
    consumer = AIOKafkaConsumer(bootstrap_servers=job.kafka, enable_auto_commit=False)
    await pace(consumer).start()
    try:
        places = [TopicPartition(job.events_topic, number) for number in range(job.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        write = redis.register_script(WRITE)
        lanes = [
            asyncio.create_task(serve(job, place.partition, consumer, write, meter))
            for place in places
        ]
        done, others = await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
        for lane in others:
            lane.cancel()
        for lane in done:
            lane.result()
    finally:
        await consumer.stop()
        await redis.aclose()


if __name__ == "__main__":
    uvloop.run(run(Job.told()))
