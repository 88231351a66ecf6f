"""A process's metrics, read back: totals, rates and quantiles."""

from dataclasses import dataclass
from time import monotonic

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram: upper bounds in seconds, and how many observations are at most each."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __sub__(self, before: "Buckets") -> "Buckets":
        """What was observed since."""
        if not before.counts:
            return self
        pairs = zip(self.counts, before.counts, strict=True)
        return Buckets(self.bounds, tuple(now - then for now, then in pairs))

    def quantile(self, share: float) -> float:
        """Estimated quantile, interpolated within its bucket as Prometheus does; 0 when empty.

        >>> Buckets((0.1, 0.2, float("inf")), (10, 20, 20)).quantile(0.75)
        0.15
        """
        if not self.counts or self.counts[-1] <= 0:
            return 0.0
        wanted = share * self.counts[-1]
        lower = below = 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= wanted:
                if bound == float("inf"):
                    return lower
                inside = (wanted - below) / (count - below) if count > below else 1.0
                return round(lower + (bound - lower) * inside, 9)
            lower, below = bound, count
        return lower


@dataclass(frozen=True, slots=True)
class Scrape:
    """Samples by name and labels, and when they were read (monotonic clock, seconds)."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    at: float

    def total(self, name: str) -> float:
        """Sum over all labels."""
        return sum(value for (found, _), value in self.samples.items() if found == name)

    def rate(self, before: "Scrape", name: str) -> float:
        """Increase per second since `before`."""
        return (self.total(name) - before.total(name)) / max(self.at - before.at, 1e-9)

    def histogram(self, name: str) -> Buckets:
        """A histogram without labels."""
        found = sorted(
            (float(dict(labels)["le"]), value)
            for (sample, labels), value in self.samples.items()
            if sample == f"{name}_bucket"
        )
        return Buckets(tuple(bound for bound, _ in found), tuple(count for _, count in found))


async def scrape(url: str) -> Scrape:
    """Read a /metrics page.

    Raises
    ------
    aiohttp.ClientError
        Nobody answers.
    """
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(samples, monotonic())
