"""A histogram of batches says what prometheus_client's own would say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.histogram import BatchHistogram

BUCKETS = (0.001, 0.01, 0.5, 2)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sample.labels.items())): round(sample.value, 6)
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(st.floats(0, 5) | st.sampled_from(BUCKETS)), max_size=4))
def test_batches_are_counted_like_one_value_after_the_other(batches: list[list[float]]) -> None:
    together, alone = CollectorRegistry(), CollectorRegistry()
    ours = BatchHistogram("took_seconds", "Time", buckets=BUCKETS, registry=together)
    theirs = Histogram("took_seconds", "Time", buckets=BUCKETS, registry=alone)
    for batch in batches:
        ours.observe(np.array(batch, dtype=float))
        for value in batch:
            theirs.observe(value)
    assert samples(together) == samples(alone)
