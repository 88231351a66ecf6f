"""Profiles on their way to the trainer: beside the steps, the latest of each, all in the end."""

import asyncio
from collections.abc import Mapping

from models.identifiers import CustomerId
from stream.outbox import FLUSH_PROFILES, SampleOutbox
from tests.stream.lane_kit import MemoryKafka, until

ANN, BOB = CustomerId("ann"), CustomerId("bob")


class SlowKafka(MemoryKafka):
    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.sendings = 0

    async def profiles(self, profiles: Mapping[CustomerId, bytes | None]) -> None:
        self.sendings += 1
        await self.go_on.wait()
        await super().profiles(profiles)


async def test_a_slow_kafka_holds_up_no_step() -> None:
    kafka = SlowKafka()
    outbox = SampleOutbox(kafka)
    for number in range(3):
        outbox.add({ANN: b"%d" % number})
        await outbox.flush()
    await until(lambda: kafka.sendings == 1)
    assert kafka.sampled == {}
    kafka.go_on.set()
    await outbox.drain()
    assert kafka.sampled == {ANN: b"2"}


async def test_a_second_passes_between_two_flushes_unless_many_wait() -> None:
    kafka = MemoryKafka()
    outbox = SampleOutbox(kafka)
    outbox.add({ANN: b"1"})
    await outbox.flush()
    await until(lambda: kafka.sampled)
    outbox.add({BOB: b"1"})
    await outbox.flush()
    assert BOB not in kafka.sampled
    outbox.add({CustomerId(f"c{n}"): b"1" for n in range(FLUSH_PROFILES)})
    await outbox.flush()
    await until(lambda: BOB in kafka.sampled)


async def test_a_lost_lane_sends_nothing_more() -> None:
    kafka = SlowKafka()
    outbox = SampleOutbox(kafka)
    outbox.add({ANN: None})
    await outbox.flush()
    await until(lambda: kafka.sendings == 1)
    await outbox.close()
    kafka.go_on.set()
    await asyncio.sleep(0)
    assert kafka.sampled == {}
