"""Fetches that spare the embedded broker, for contenders that use aiokafka."""

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver

from stream import fetching
from stream.app import FETCH_SPACING_SECONDS


def pace(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """The same consumer, which asks for more no sooner than Shoal's own when there is little.

    noida-db 0.2.3 answers every fetch at once, even one that brings nothing: a contender that
    keeps asking would be slow for the sake of this broker, and not of its own.
    """
    fetching.pace(consumer, FETCH_SPACING_SECONDS)
    return consumer


class PacedThread(driver.AIOKafkaConsumerThread):
    """Faust's thread of a consumer, paced."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        return pace(super()._create_worker_consumer(transport))


class PacedConsumer(driver.Consumer):
    """Faust's consumer in such a thread."""

    def _new_consumer_thread(self) -> PacedThread:
        return PacedThread(self, loop=self.loop, beacon=self.beacon)


class PacedTransport(driver.Transport):
    """Faust's transport with such a consumer."""

    Consumer = PacedConsumer
