"""Every metric that Shoal exposes, by Prometheus' naming conventions. No customer ids in labels.

Where the values of a label are known, all of them are shown from the start: the first count of a
series that was not there before is no increase to Prometheus.
"""

from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from stream.histogram import BatchHistogram

_LATENCY = tuple(round(0.001 * 1.35**step, 6) for step in range(37))
_STAGE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

EVENTS_RECEIVED = Counter("shoal_events_received", "Records read from the event topic")
EVENTS_PROCESSED = Counter("shoal_events_processed", "Events that are durable, duplicates included")
EVENTS_REJECTED = Counter("shoal_events_rejected", "Records set aside, by reason", ["reason"])
EVENTS_DUPLICATE = Counter("shoal_events_duplicate", "Events left out, their id was known")
EVENTS_SKIPPED = Counter("shoal_events_skipped", "Records read again that were already counted")
VALUES_WITHOUT_RATE = Counter(
    "shoal_values_without_rate", "Values left out for want of an exchange rate", ["currency"]
)
PARTITION_LAG = Gauge("shoal_partition_lag", "Records not yet processed", ["partition"])
PARTITIONS_ASSIGNED = Gauge("shoal_partitions_assigned", "Partitions this worker owns")
PROFILES_CACHED = Gauge("shoal_profiles_cached", "Profiles in this worker's memory")
PROFILES_LOADED = Counter(
    "shoal_profiles_loaded", "Profiles asked of Redis, since this worker did not have them"
)
BATCH_SIZE = Histogram(
    "shoal_batch_size",
    "Records in one step",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
)
STAGE_SECONDS = Histogram(
    "shoal_stage_seconds", "Time of one step, by stage", ["stage"], buckets=_STAGE
)
Stage = Literal["decode", "load", "score", "step", "publish"]
for _stage in get_args(Stage):
    STAGE_SECONDS.labels(stage=_stage)
EVENT_TO_REDIS_SECONDS = BatchHistogram(
    "shoal_event_to_redis_seconds", "From an event's arrival in Kafka to Redis", buckets=_LATENCY
)
SEGMENT_CHANGES = Counter(
    "shoal_segment_changes", "Changes of segment, by reason", ["segmentation", "reason"]
)
CHANGES_REPUBLISHED = Counter("shoal_changes_republished", "Changes published again after a claim")
CUSTOMERS = Gauge(
    "shoal_customers", "Customers in this worker's partitions", ["segmentation", "segment"]
)
MODEL_VERSION = Gauge("shoal_model_version", "Version of the model in force", ["segmentation"])
MODEL_AGE_SECONDS = Gauge("shoal_model_age_seconds", "Age of the model in force", ["segmentation"])
REDIS_ERRORS = Counter("shoal_redis_errors", "Calls to Redis that failed")
KAFKA_ERRORS = Counter("shoal_kafka_errors", "Calls to Kafka that failed")
WAITING_SECONDS = Counter("shoal_waiting_seconds", "Time spent waiting for a server", ["server"])
STEPS_REFUSED = Counter("shoal_steps_refused", "Steps that Redis refused", ["cause"])
OFFSET_GAPS = Counter("shoal_offset_gaps", "Times that a lane sought back to what nobody had")
OFFSETS_MISSING = Counter("shoal_offsets_missing", "Offsets that the log no longer holds")

TRAINER_CUSTOMERS = Gauge(
    "shoal_trainer_customers", "Customers in the trainer's sample", ["segmentation"]
)
TRAINER_DISTANCE = Gauge(
    "shoal_trainer_distance", "How far customers are from their centroids, 0-1", ["segmentation"]
)
TRAINER_UPDATES = Counter("shoal_trainer_updates", "Profiles learned from")
MODELS_PUBLISHED = Counter(
    "shoal_models_published", "Models published, by reason", ["segmentation", "reason"]
)
MODELS_HELD = Gauge(
    "shoal_models_held", "1 while an operator's rollback holds the models", ["segmentation"]
)
TRAINING_SECONDS = Histogram("shoal_training_seconds", "Time to train one model")
