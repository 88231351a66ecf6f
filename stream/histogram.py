"""A histogram that takes the values of a whole batch at once."""

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from models.columns import Floats


class BatchHistogram(Collector):
    """Looks like prometheus_client's own, which takes 1.3 µs a value.

    Parameters
    ----------
    buckets
        Upper bounds, rising; one without a bound follows them.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = np.array(buckets)
        self._counts = np.zeros(len(buckets) + 1, dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: Floats) -> None:
        """Count these values."""
        places = np.searchsorted(self._bounds, values)
        self._counts += np.bincount(places, minlength=self._counts.size)
        self._sum += float(values.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See `Collector.collect`."""
        bounds = [*map(floatToGoString, self._bounds.tolist()), "+Inf"]
        counted = zip(bounds, self._counts.cumsum().astype(float).tolist(), strict=True)
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], list(counted), sum_value=self._sum)
        yield family

    def describe(self) -> list[HistogramMetricFamily]:
        """What is collected, without its values."""
        return [HistogramMetricFamily(self._name, self._documentation)]
