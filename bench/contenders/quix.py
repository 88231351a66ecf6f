"""The job in Quix Streams: a stateful StreamingDataFrame, a batching sink, a topic of changes.

State is in its RocksDB with a changelog, as by default; Redis gets what a page reads, the last of
each customer in a checkpoint, in one pipeline. Runs in an environment of its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from quixstreams import Application, State
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.contenders.job import PREFIX, Job, Meter
from bench.contenders.profile import Model, take

COMMIT_SECONDS = 1.0


class SegmentSink(BatchingSink):  # type: ignore[misc]  # it is installed in an environment of its own
    """Writes each customer's segment to Redis at a checkpoint."""

    def __init__(self, job: Job, meter: Meter, stop: Callable[[], None]) -> None:
        super().__init__()
        self._redis = redis.Redis.from_url(job.redis)
        self._meter = meter
        self._stop = stop

    def write(self, batch: SinkBatch) -> None:
        """One pipeline for a partition's part of the checkpoint."""
        latest = {item.key: item.value for item in batch}
        with self._redis.pipeline(transaction=False) as pipe:
            for key, value in latest.items():
                page: dict[Any, Any] = {"events": value["events"], "segment": value["segment"]}
                pipe.hset(f"{PREFIX}{key}", mapping=page)
            pipe.execute()
        if self._meter.count(batch.size):
            self._stop()


def main() -> None:
    job = Job.told()
    meter, model = Meter(job), Model.from_dict(job.model)

    def assign(event: dict[str, Any], state: State) -> dict[str, Any]:
        meter.begin()
        profile = state.get("profile", {})
        take(profile, event)
        segment, before = model.segment_of(profile), profile.get("segment")
        profile["segment"] = segment
        state.set("profile", profile)
        return {
            "customer_id": event["customer_id"],
            "from": before,
            "segment": segment,
            "events": profile["events"],
        }

    app = Application(
        broker_address=job.kafka,
        consumer_group="quix",
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=Path(job.directory, "state"),
        loglevel="WARNING",
        # noida-db 0.2.3 answers empty fetches at once: who reads far ahead does nothing else.
        consumer_extra_config={"queued.min.messages": 1_000},
    )
    events = app.topic(job.events_topic, key_deserializer="str", value_deserializer="json")
    changes = app.topic(job.changes_topic, key_serializer="str", value_serializer="json")
    assigned = app.dataframe(events).apply(assign, stateful=True)
    assigned.filter(lambda found: found["from"] != found["segment"]).to_topic(changes)
    assigned.sink(SegmentSink(job, meter, app.stop))
    app.run()


if __name__ == "__main__":
    main()
