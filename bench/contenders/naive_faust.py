"""The obvious application: a Faust agent that takes events one by one, River, and Redis.

Profiles stay in a dictionary and are written to Redis with the segment, one HSET an event.
"""

import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import faust
from redis.asyncio import Redis
from river.cluster import KMeans
from river.preprocessing import StandardScaler

from bench.contenders.job import PREFIX, Job, Meter
from bench.contenders.pacing import PacedTransport
from bench.contenders.profile import Model, Profile, take, vector


class Clusterer:
    """A published model in River's own scaler and KMeans."""

    def __init__(self, model: Model) -> None:
        self._columns, self._segments = model.columns, model.segments
        # River has no types.
        self._scaler: Any = StandardScaler()
        for column in model.columns:
            self._scaler.means[column.name] = column.centre
            self._scaler.vars[column.name] = column.divisor**2
        self._kmeans: Any = KMeans(n_clusters=len(model.centroids), seed=7)
        names = [column.name for column in model.columns]
        for number, centroid in enumerate(model.centroids):
            self._kmeans.centers[number] = defaultdict(float, zip(names, centroid, strict=True))

    def segment_of(self, profile: Profile) -> str:
        """The segment that River predicts."""
        features = vector(profile)
        curved = {column.name: column.curve(features[column.name]) for column in self._columns}
        nearest: int = self._kmeans.predict_one(self._scaler.transform_one(curved))
        return self._segments[nearest]


def create_app(job: Job) -> faust.App:
    """The application, and its one agent."""
    app = faust.App(
        "naive",
        broker=f"kafka://{job.kafka}",
        store="memory://",
        datadir=str(Path(job.directory, "faust")),
        topic_partitions=job.partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        value_serializer="json",
        key_serializer="raw",
    )
    app.transport = PacedTransport(app.conf.broker_consumer, app)
    events = app.topic(job.events_topic, partitions=job.partitions)
    changes = app.topic(job.changes_topic, partitions=job.partitions)
    redis: Any = Redis.from_url(job.redis)
    clusterer, meter = Clusterer(Model.from_dict(job.model)), Meter(job)
    profiles: dict[str, Profile] = {}

    @app.agent(events)
    async def assign(stream: faust.StreamT[Any]) -> None:
        async for event in stream:
            meter.begin()
            customer = event["customer_id"]
            profile = profiles.setdefault(customer, {})
            take(profile, event)
            segment, before = clusterer.segment_of(profile), profile.get("segment")
            profile["segment"] = segment
            await redis.hset(f"{PREFIX}{customer}", mapping=profile)
            if segment != before:
                change = {"customer_id": customer, "from": before, "segment": segment}
                await changes.send(key=customer.encode(), value=change)
            if meter.count(1):
                signal.raise_signal(signal.SIGTERM)

    return app


def main() -> None:
    # With a higher level Faust's spinner makes every library log all that it can.
    faust.Worker(create_app(Job.told()), loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main()
