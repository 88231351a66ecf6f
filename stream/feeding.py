"""A source sent into the user's Kafka, with progress on the terminal."""

from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from stream.changes import rfc3339
from stream.connections import kafka_options
from stream.names import Topics
from stream.partitions import partitioner
from stream.preflight import require_topics
from stream.replay import CHECK_EVERY, FeedResult, feed
from stream.sources import Source, open_source


async def replay_into(
    settings: Settings, spec: str, *, limit: int | None, speed: float | None, console: Console
) -> FeedResult:
    """Send a source's events to the event topic.

    Raises
    ------
    ShoalError
        The source cannot be read, or Kafka or its topics are not there.
    """
    source = open_source(spec)
    await require_topics(settings)
    return await feed_source(source, settings, limit=limit, speed=speed, console=console)


async def feed_source(
    source: Source,
    settings: Settings,
    *,
    limit: int | None = None,
    speed: float | None = None,
    console: Console | None = None,
    wait: Callable[[int], Awaitable[None]] | None = None,
    every: int = CHECK_EVERY,
) -> FeedResult:
    """Feed an open source; `console` shows progress, `wait` holds the feed back."""
    producer = AIOKafkaProducer(
        **kafka_options(settings), acks="all", enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[at]}"),
        console=console,
        disable=console is None,
    )
    totals = [total for total in (source.total, limit) if total is not None]
    try:
        with progress:
            task = progress.add_task(source.name, total=min(totals, default=None), at="")

            def show(sent: int, time_ms: int) -> None:
                at = rfc3339(time_ms)[:10] if time_ms else ""
                progress.update(task, completed=sent, at=at)

            return await feed(
                source,
                producer,
                Topics(settings.namespace).events,
                partitioner(settings.partitioner, settings.partitions),
                limit=limit,
                speed=speed,
                on_progress=show,
                wait=wait,
                every=every,
            )
    finally:
        await producer.stop()
