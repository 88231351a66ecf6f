"""A process's metrics, read back."""

from collections.abc import AsyncIterator
from itertools import accumulate

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import metrics
from stream.health import HealthServer
from stream.scrape import Buckets, Scrape, scrape

INF = float("inf")


def buckets(*each: int) -> Buckets:
    """Observations of up to 1 s, up to 2 s, … and of whatever lies beyond."""
    bounds = (*(float(i) for i in range(1, len(each))), INF)
    return Buckets(bounds, tuple(float(count) for count in accumulate(each)))


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    assert buckets(0, 10, 10, 0).quantile(0.25) == 1.5
    assert buckets(0, 10, 10, 0).quantile(0.5) == 2.0
    assert buckets(4, 0, 4, 0).quantile(0.75) == 2.5


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert buckets(1, 0, 9).quantile(0.99) == 2.0


def test_of_nothing_a_quantile_is_nought() -> None:
    assert Buckets((), ()).quantile(0.5) == 0.0
    assert buckets(0, 0, 0).quantile(0.5) == 0.0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0.01, 1), st.floats(0.01, 1))
def test_quantiles_grow_with_the_share_and_stay_within_the_bounds(
    each: list[int], one: float, other: float
) -> None:
    histogram = buckets(*each)
    low, high = (histogram.quantile(share) for share in sorted((one, other)))
    assert 0 <= low <= high <= len(each) - 1


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_that_holds_that_share(each: list[int], share: float) -> None:
    found = buckets(*each).quantile(share)
    below = sum(count for bound, count in enumerate(each, start=1) if bound < found)
    within = sum(count for bound, count in enumerate(each) if bound < found)
    assert below <= share * sum(each) + 1e-6
    if each[-1] == 0:
        assert within >= share * sum(each) - 1e-6


def test_what_was_observed_since_is_the_difference() -> None:
    assert buckets(5, 7, 2) - buckets(5, 3, 1) == buckets(0, 4, 1)
    assert buckets(5, 7, 2) - Buckets((), ()) == buckets(5, 7, 2)


def test_rates_are_by_second_and_totals_over_all_labels() -> None:
    def at(seconds: float, *values: float) -> Scrape:
        names = (("events", frozenset({("kind", str(i))})) for i in range(len(values)))
        return Scrape(dict(zip(names, values, strict=True)), seconds)

    before, after = at(10.0, 1.0, 2.0), at(12.0, 5.0, 8.0)
    assert after.total("events") == 13
    assert after.rate(before, "events") == 5
    assert after.total("others") == after.rate(before, "others") == 0


def test_the_buckets_of_a_page_may_come_in_any_order() -> None:
    page = {"+Inf": 9.0, "10.0": 7.0, "2.0": 1.0}
    samples = {("wait_bucket", frozenset({("le", le)})): count for le, count in page.items()}
    assert Scrape(samples, 0.0).histogram("wait") == Buckets((2.0, 10.0, INF), (1.0, 7.0, 9.0))


def test_two_readings_at_the_same_moment_have_a_rate() -> None:
    reading = Scrape({("events", frozenset()): 1.0}, 10.0)
    assert reading.rate(reading, "events") == 0


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = HealthServer("127.0.0.1", 0, setting="SHOAL_METRICS_PORT", is_ready=lambda: True)
    port = server.bind()
    await server.start()
    yield f"http://127.0.0.1:{port}/metrics"
    await server.stop()


async def test_what_a_process_counts_is_read_back(url: str) -> None:
    before = await scrape(url)
    metrics.EVENTS_RECEIVED.inc(7)
    metrics.STEPS_REFUSED.labels(cause="seq").inc(2)
    metrics.STEPS_REFUSED.labels(cause="epoch").inc(3)
    metrics.MODEL_VERSION.labels(segmentation="default").set(41)
    metrics.EVENT_TO_REDIS_SECONDS.observe(np.array([0.002, 0.002, 0.5]))
    after = await scrape(url)
    assert after.at > before.at
    assert after.total("shoal_events_received_total") == (
        before.total("shoal_events_received_total") + 7
    )
    refused = "shoal_steps_refused_total"
    assert after.total(refused) == before.total(refused) + 5
    assert after.samples["shoal_model_version", frozenset({("segmentation", "default")})] == 41
    assert after.rate(before, "shoal_events_received_total") > 0

    latency = "shoal_event_to_redis_seconds"
    seen = after.histogram(latency) - before.histogram(latency)
    assert seen.counts[-1] == 3
    assert seen.bounds[-1] == INF
    assert list(seen.bounds) == sorted(seen.bounds)
    assert 0.001 < seen.quantile(0.5) < 0.003
    assert 0.3 < seen.quantile(0.99) < 0.7


async def test_a_process_that_is_gone_is_an_error(url: str) -> None:
    nowhere = url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(aiohttp.ClientError):
        await scrape(nowhere)


async def test_a_histogram_that_does_not_exist_is_empty(url: str) -> None:
    assert (await scrape(url)).histogram("shoal_nothing") == Buckets((), ())
