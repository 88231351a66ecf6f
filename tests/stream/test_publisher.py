"""Telling Kafka until it has everything."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RequestTimedOutError,
)
from faust.exceptions import ProducerSendError
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from models.identifiers import CustomerId
from stream.batches import Rejection
from stream.events import Reason
from stream.names import Topics
from stream.producing import Message, Producer
from stream.publisher import (
    LONGEST_PAUSE_SECONDS,
    MAX_REJECTED_BYTES,
    ProducerBrokenError,
    Publisher,
    told,
)
from tests.stream.lane_kit import record
from tests.stream.test_changes import change, ref, target

TOPICS = Topics("shop")
SPREAD = {TOPICS.changes, TOPICS.rejected}
Sent = tuple[str, bytes | None, bytes | None, Mapping[str, bytes] | None]


class FailingProducer:
    """Takes a message a batch, and does with each what comes next: takes it, or refuses it."""

    def __init__(self, *outcomes: BaseException | None, batch: int = 1) -> None:
        self.outcomes: Iterator[BaseException | None] = iter(outcomes)
        self.batch = batch
        self.sent: list[Sent] = []
        self.tried: list[bytes | None] = []

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> tuple[int, Awaitable[Any]]:
        assert partition == (len(messages[0][0] or b"") % 2 if topic in SPREAD else 0)
        taken = messages[: self.batch]
        self.tried += [value for _, value, _ in taken]
        error = next(self.outcomes, None)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if error is None:
            self.sent += [(topic, *message) for message in taken]
            ended.set_result(None)
        else:
            ended.set_exception(error)
        return len(taken), ended

    @property
    def values(self) -> list[bytes | None]:
        return [value for _, _, value, _ in self.sent]


@pytest.fixture(autouse=True, scope="module")
def pauses() -> Iterator[list[float]]:
    """How long the publisher paused; none of it really passes."""
    slept: list[float] = []

    async def pass_at_once(seconds: float) -> None:
        slept.append(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream.publisher.asyncio.sleep", pass_at_once)
        yield slept


def publisher(producer: Producer) -> Publisher:
    return Publisher(producer, TOPICS, lambda keys: [len(key) % 2 for key in keys])


def changes(n: int) -> list[tuple[CustomerId, bytes]]:
    return [(CustomerId(f"c{i}"), b"change %d" % i) for i in range(n)]


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_changes_go_out_in_order_under_their_customers_key() -> None:
    producer = FailingProducer()
    await publisher(producer).changes([(CustomerId("böb"), b"1"), (CustomerId("ann"), b"2")])
    assert producer.sent == [
        ("shop.segment-changes", "böb".encode(), b"1", None),
        ("shop.segment-changes", b"ann", b"2", None),
    ]


async def test_who_is_gone_leaves_the_sample_with_a_tombstone() -> None:
    producer = FailingProducer()
    await publisher(producer).profiles({CustomerId("ann"): b"profile", CustomerId("bob"): None})
    assert producer.sent == [
        ("shop.population", b"ann", b"profile", None),
        ("shop.population", b"bob", None, None),
    ]


async def test_models_go_out_under_their_segmentation() -> None:
    producer = FailingProducer()
    await publisher(producer).models([("value", b"1"), ("default", b"2")])
    assert producer.sent == [
        ("shop.models", b"value", b"1", None),
        ("shop.models", b"default", b"2", None),
    ]


async def test_a_record_set_aside_keeps_its_bytes_and_says_why() -> None:
    producer = FailingProducer()
    before = metric("shoal_events_rejected_total", reason="invalid_json")
    aside = Rejection(record(17, b"\xff{", b"key"), Reason.INVALID_JSON, "not JSON: ö")
    await publisher(producer).rejections([aside])
    ((topic, key, value, headers),) = producer.sent
    assert (topic, key, value) == ("shop.events.rejected", b"key", b"\xff{")
    assert headers == {
        "reason": b"invalid_json",
        "detail": "not JSON: ö".encode(),
        "topic": b"shoal.events",
        "partition": b"0",
        "offset": b"17",
        "timestamp": b"1500000000000",
        "bytes": b"2",
    }
    assert metric("shoal_events_rejected_total", reason="invalid_json") == before + 1


async def test_a_record_too_large_to_send_again_is_cut_and_says_how_large_it_was() -> None:
    producer = FailingProducer()
    large = Rejection(record(0, b"x" * 950_000), Reason.TOO_LARGE, "")
    none = Rejection(record(1, None), Reason.INVALID_JSON, "")
    await publisher(producer).rejections([large, none])
    (_, _, cut, headers), (_, _, empty, empty_headers) = producer.sent
    assert cut == b"x" * MAX_REJECTED_BYTES
    assert headers is not None
    assert headers["bytes"] == b"950000"
    assert empty == b""
    assert empty_headers is not None
    assert empty_headers["bytes"] == b"0"


async def test_a_lone_surrogate_in_a_detail_does_not_stop_a_rejection() -> None:
    producer = FailingProducer()
    odd = Rejection(record(0, b"x"), Reason.INVALID, "field \ud800")
    await publisher(producer).rejections([odd])
    assert len(producer.sent) == 1


async def test_what_kafka_refused_is_sent_again_and_nothing_else() -> None:
    refused = RequestTimedOutError()
    producer = FailingProducer(None, refused, None, refused, refused, None)
    before = metric("shoal_kafka_errors_total")
    await publisher(producer).changes(changes(4))
    assert producer.tried == [b"change %d" % i for i in (0, 1, 2, 3, 1, 3, 1)]
    assert producer.values == [b"change %d" % i for i in (0, 2, 3, 1)]
    assert metric("shoal_kafka_errors_total") == before + 2


async def test_a_batch_that_kafka_refused_is_sent_again_as_a_whole() -> None:
    producer = FailingProducer(None, RequestTimedOutError(), batch=3)
    await publisher(producer).changes(changes(5))
    assert producer.values == [b"change %d" % i for i in range(5)]
    assert producer.tried == [b"change %d" % i for i in (0, 1, 2, 3, 4, 3, 4)]


async def test_messages_go_to_the_partition_of_their_key() -> None:
    producer = FailingProducer(batch=9)
    names = ("a", "bb", "c", "dd", "e")
    await publisher(producer).changes([(CustomerId(name), name.encode()) for name in names])
    assert producer.values == [b"a", b"c", b"e", b"bb", b"dd"]


class DeafProducer(FailingProducer):
    """Refuses to queue anything, once."""

    is_deaf = True

    async def send_batch(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> tuple[int, Awaitable[Any]]:
        if self.sent and self.is_deaf:
            self.is_deaf = False
            raise KafkaTimeoutError
        return await super().send_batch(topic, partition, messages)


async def test_what_could_not_be_queued_is_queued_again() -> None:
    producer = DeafProducer()
    await publisher(producer).changes(changes(3))
    assert producer.values == [b"change %d" % i for i in range(3)]


@given(
    outcomes=st.lists(
        st.sampled_from([None, RequestTimedOutError, ProducerSendError]), max_size=30
    ),
    n=st.integers(0, 8),
)
@settings(deadline=None)
def test_only_what_was_refused_goes_again_and_always_in_order(
    outcomes: list[type[Exception] | None], n: int
) -> None:
    producer = FailingProducer(*(error() if error else None for error in outcomes))
    asyncio.run(publisher(producer).changes(changes(n)))
    to_come, pending = iter(outcomes), [value for _, value in changes(n)]
    tried, taken = list[bytes](), list[bytes]()
    while pending:
        tried += pending
        refused = [value for value in pending if next(to_come, None)]
        taken += [value for value in pending if value not in refused]
        pending = refused
    assert producer.tried == tried
    assert producer.values == taken


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("gone"), ProducerSendError("gone"), KafkaError()]
)
async def test_a_kafka_that_is_away_is_waited_for(error: Exception) -> None:
    producer = FailingProducer(*[error] * 20)
    await publisher(producer).changes(changes(1))
    assert len(producer.tried) == 21
    assert producer.values == [b"change 0"]


async def test_pauses_grow_up_to_a_limit(pauses: list[float]) -> None:
    pauses.clear()
    await publisher(FailingProducer(*[RequestTimedOutError()] * 9)).changes(changes(1))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[LONGEST_PAUSE_SECONDS] * 3]


async def test_what_is_not_kafkas_fault_is_raised() -> None:
    producer = FailingProducer(None, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await publisher(producer).changes(changes(2))


async def test_a_bug_is_raised_even_while_kafka_is_away() -> None:
    refused, bug = RequestTimedOutError(), ValueError("a bug")
    producer = FailingProducer(refused, bug, None, bug)
    with pytest.raises(ValueError, match="a bug"):
        await publisher(producer).changes(changes(2))


async def test_a_publisher_that_is_stopped_while_kafka_is_away_stops() -> None:
    with pytest.raises(asyncio.CancelledError):
        await publisher(FailingProducer(asyncio.CancelledError())).changes(changes(1))


async def test_rejections_count_once_kafka_has_them() -> None:
    name, labels = "shoal_events_rejected_total", {"reason": "invalid"}
    before = metric(name, **labels)
    aside = Rejection(record(0, b"x"), Reason.INVALID, "why")
    with pytest.raises(ValueError, match="a bug"):
        await publisher(FailingProducer(ValueError("a bug"))).rejections([aside])
    assert metric(name, **labels) == before
    await publisher(FailingProducer(RequestTimedOutError())).rejections([aside])
    assert metric(name, **labels) == before + 1


async def test_nothing_to_tell_is_no_call() -> None:
    producer = FailingProducer()
    await publisher(producer).changes([])
    await publisher(producer).profiles({})
    await publisher(producer).rejections([])
    assert producer.tried == []


def test_changes_are_counted_by_their_reason() -> None:
    labels = {"segmentation": "default", "reason": "event"}
    before = metric("shoal_segment_changes_total", **labels)
    told([change(target(1, "One")), change(None, ref(1, "One"))])
    assert metric("shoal_segment_changes_total", **labels) == before + 2


@pytest.mark.parametrize(
    "error", [OutOfOrderSequenceNumber(), MessageSizeTooLargeError(), ProducerFenced()]
)
async def test_what_no_second_try_can_send_ends_the_process(error: KafkaError) -> None:
    with pytest.raises(ProducerBrokenError, match="restart"):
        await publisher(FailingProducer(error)).changes(changes(1))
