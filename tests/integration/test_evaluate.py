"""`shoal evaluate --from-kafka` reads the event log and leaves everything as it is."""

import pytest
from redis.asyncio import Redis
from rich.console import Console

from config.settings import Settings
from stream.evaluate import EvaluationError, evaluate
from stream.evaluation import Evaluation
from stream.feeding import feed_source
from stream.groups import members
from stream.log import log_ends, read_in_order
from stream.names import Topics
from stream.reach import reach_kafka
from stream.sources import open_source
from stream.topics import create_topics

QUIET = Console(quiet=True)


async def compared(settings: Settings, source: str | None, limit: int | None) -> Evaluation:
    return await evaluate(
        settings,
        settings.segmentation,
        source=source,
        from_kafka=source is None,
        limit=limit,
        console=QUIET,
    )


async def test_the_log_gives_what_the_source_gave(settings: Settings, redis: Redis) -> None:
    await create_topics(settings)
    await feed_source(open_source("simulator"), settings, limit=6_000)
    logged = await compared(settings, None, None)
    direct = await compared(settings, "simulator", 6_000)
    topics = Topics(settings.namespace)
    assert logged.source == f"topic {topics.events}"
    assert (logged.events, logged.rejected) == (6_000, 0)
    assert (logged.customers, logged.until) == (direct.customers, direct.until)
    (ours,), (theirs,) = logged.segmentations, direct.segmentations
    assert ours.running
    assert theirs.running
    assert len(ours.running.segments) == len(theirs.running.segments)
    assert ours.running.inertia == pytest.approx(theirs.running.inertia, rel=0.1)
    assert [key async for key in redis.scan_iter(f"{settings.namespace}:*")] == []
    async with reach_kafka(settings) as admin:
        for group in (topics.worker_group, topics.trainer_group):
            assert await members(admin, group, settings) == 0


async def test_partitions_are_read_as_their_records_arrived(settings: Settings) -> None:
    await create_topics(settings)
    await feed_source(open_source("simulator"), settings, limit=3_000)
    topic = Topics(settings.namespace).events
    ends = await log_ends(settings, topic, range(settings.partitions))
    records = [record async for record in read_in_order(settings, topic, ends)]
    assert len(records) == 3_000
    times = [record.timestamp for record in records]
    assert times == sorted(times)
    for partition, end in ends.items():
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(end))


async def test_no_more_is_taken_than_was_asked_for(settings: Settings) -> None:
    await create_topics(settings)
    await feed_source(open_source("simulator"), settings, limit=6_000)
    found = await compared(settings, None, 5_000)
    assert found.events == 5_000


async def test_an_empty_log_is_refused(settings: Settings) -> None:
    await create_topics(settings)
    with pytest.raises(EvaluationError, match="no event"):
        await compared(settings, None, None)
