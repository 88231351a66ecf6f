"""Events to measure with, and how they get into Kafka all at once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from random import Random

from aiokafka import AIOKafkaProducer

from config.settings import Settings
from stream.connections import kafka_options
from stream.names import Topics
from stream.partitions import partitioner
from stream.replay import feed
from stream.simulate import START_MS, open_simulator
from stream.sources import SourceEvent, rfc3339

NEWCOMERS_PER_EVENT = 3
_GAP_MS = 50
_LOOKING_AROUND = (b'"product_viewed"', b'"product_list_viewed"', b'"checkout_started"')


def simulated(events: int, customers: int) -> list[SourceEvent]:
    """The first events of the simulated shop."""
    return list(islice(open_simulator(seed=7, customers=customers), events))


def visitors(customers: int) -> Iterator[SourceEvent]:
    """One visit of each customer, who looks at a product; every other one orders it.

    1.5 events a customer, in event-time order. Amounts are spread, so that there is something to
    tell customers apart by.
    """
    random = Random(7)
    for number in range(customers):
        customer, time_ms = f"v{number:07}", START_MS + number * _GAP_MS
        category = random.choice(("books", "garden", "music", "toys"))
        viewed = f'"product_id":"p{random.randrange(500)}","category":"{category}"'
        yield _event(customer, 0, time_ms, "product_viewed", viewed)
        if number % 2 == 0:
            revenue = random.lognormvariate(3.0, 1.0)
            ordered = f'"order_id":"o{number}","revenue":{revenue:.2f},"category":"{category}"'
            yield _event(customer, 1, time_ms + 1, "order_completed", ordered)


def newcomers(events: int) -> list[SourceEvent]:
    """The first events of a simulated shop to which new customers keep coming.

    Nobody is told who only looks around. Who is new enters a segment, and most of what is left
    moves somebody on to another: nearly a third of these events change a segment.
    """
    told = (
        event
        for event in open_simulator(seed=7, customers=NEWCOMERS_PER_EVENT * events)
        if not any(kind in event.value for kind in _LOOKING_AROUND)
    )
    return list(islice(told, events))


def _event(customer: str, number: int, time_ms: int, kind: str, properties: str) -> SourceEvent:
    value = (
        f'{{"event_id":"{customer}-{number}","customer_id":"{customer}","type":"{kind}",'
        f'"timestamp":"{rfc3339(time_ms)}","properties":{{{properties}}}}}'
    )
    return SourceEvent(customer, time_ms, value.encode())


def customers_of(events: Sequence[SourceEvent]) -> int:
    """How many customers the events are of."""
    return len({event.customer_id for event in events})


async def fill(
    events: Sequence[SourceEvent],
    settings: Settings,
    *,
    wait: Callable[[int], Awaitable[None]] | None = None,
) -> None:
    """Put events into Kafka as fast as it takes them, and as `wait` allows."""
    async with _producer(settings, linger_ms=20) as producer:
        await feed(
            events,
            producer,
            Topics(settings.namespace).events,
            partitioner(settings.partitioner, settings.partitions),
            wait=wait,
        )


def _producer(settings: Settings, *, linger_ms: int) -> AIOKafkaProducer:
    # The embedded Kafka rewrites all it has once a second, on the same cores: who is faster takes
    # more events, and would pay for it with most of a core.
    return AIOKafkaProducer(
        **kafka_options(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=65_536,
        compression_type="zstd",
    )
