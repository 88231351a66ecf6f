"""What the parts of the bench found, as one JSON object and as a table with targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from rich.table import Table

from bench.quality.change import SEEN, Following
from bench.quality.flapping import Flapping
from bench.quality.granularity import Count
from bench.quality.journey import Journey
from bench.quality.stationary import Stillness


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured; None for a part that was not asked for."""

    journey: Journey | None = None
    change: Following | None = None
    stationary: Stillness | None = None
    flapping: Flapping | None = None
    granularity: Sequence[Count] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures, as they go into JSON."""
        figures: dict[str, Any] = {}
        if self.journey:
            figures["inertia_ratio"] = _spread(self.journey.inertia)
            figures["silhouette_ratio"] = round(fmean(self.journey.silhouette), 4)
        if self.change:
            figures["ari_ratio"] = round(self.change.ari_ratio, 4)
            figures["detect_updates"] = self.change.detect_updates
            figures["untouched_ids_changed"] = self.change.untouched_ids_changed
        if self.stationary:
            figures["stationary"] = {
                "ids_changed": self.stationary.ids_changed,
                "churn_ratio": round(self.stationary.churn_ratio, 5),
            }
        if self.flapping:
            figures["flap_reduction"] = round(self.flapping.reduction, 1)
            figures["follow_events"] = self.flapping.follow_events
        if self.granularity:
            figures["k_error_worst"] = max(abs(c.found - c.truth) for c in self.granularity)
        if self.journey:
            ratios = self.journey.river.items()
            figures["river"] = {name: {"inertia_ratio": _spread(of)} for name, of in ratios}
        return figures

    def to_table(self) -> Table:
        """The same for people, beside what is aimed at."""
        table = Table("what", "figure", "target", "how", title="Quality of the segments")
        if self.journey:
            _tell_journey(table, self.journey)
        if self.change:
            _tell_change(table, self.change)
        if still := self.stationary:
            how = f"{still.publications} publications, {still.customers} customers at rest"
            table.add_row("ids that came or went", str(still.ids_changed), "0", how)
            share = f"{still.churn_ratio:.3%}"
            table.add_row("customers who changed segment", share, "at most 0.5 %", "all together")
        if self.flapping:
            _tell_flapping(table, self.flapping)
        if counts := self.granularity:
            worst = max(abs(count.found - count.truth) for count in counts)
            low = min(count.reference for count in counts)
            how = f"{len(counts)} populations of 3 to 8 personas; true means reach {low:.2f} to 1"
            table.add_row("segments too many or too few", str(worst), "at most 1", how)
            for truth in sorted({count.truth for count in counts}):
                found = ", ".join(str(c.found) for c in counts if c.truth == truth)
                table.add_row(f"  {truth} personas", found, "", "segments found")
        return table


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(ratios), 4), "worst": round(max(ratios), 4)}


def _tell_journey(table: Table, journey: Journey) -> None:
    ours = _spread(journey.inertia)
    how = f"{len(journey.inertia)} checkpoints of Complete Journey, over scikit-learn's"
    table.add_row("inertia, median", f"{ours['median']:.3f}", "at most 1.01", how)
    table.add_row("inertia, worst", f"{ours['worst']:.3f}", "at most 1.05", "")
    # Optima of one inertia differ by 8 % in silhouette, KMeans' own with two seeds among them.
    how = f"mean; {min(journey.silhouette):.3f} at the worst checkpoint"
    table.add_row("silhouette", f"{fmean(journey.silhouette):.3f}", "at least 0.95", how)
    for name, ratios in journey.river.items():
        spread = _spread(ratios)
        figure = f"{spread['median']:.3f} ({spread['worst']:.3f})"
        table.add_row(f"  {name}", figure, "", "inertia, median (worst)")


def _tell_change(table: Table, change: Following) -> None:
    reference = [check.reference for check in change.checks if check.counts]
    how = f"over that of the true means, {min(reference):.2f} to {max(reference):.2f}"
    table.add_row("adjusted Rand index, worst", f"{change.ari_ratio:.3f}", "at least 0.95", how)
    for outcome in change.outcomes:
        checks = [check for check in change.checks if check.change == outcome.change]
        worst = min((c.ours / c.reference for c in checks if c.counts), default=1.0)
        last = checks[-1]
        offline = "" if last.offline is None else f", KMeans {last.offline / last.reference:.3f}"
        how = f"in the end {last.ours / last.reference:.3f}{offline}, {last.segments} segments"
        table.add_row(f"  {outcome.change}", f"{worst:.3f}", "", how)
        if outcome.change in SEEN:
            seen = "never" if outcome.updates is None else str(outcome.updates)
            target = f"at most {outcome.allowed}"
            table.add_row(f"  {outcome.change} seen after", seen, target, "sampled updates")
    strayed = [
        f"{outcome.change}: {', '.join(outcome.strayed)}"
        for outcome in change.outcomes
        if outcome.strayed
    ]
    changed = str(change.untouched_ids_changed)
    table.add_row("untouched personas with another id", changed, "0", "; ".join(strayed))


def _tell_flapping(table: Table, flapping: Flapping) -> None:
    how = f"{flapping.border_nearest} changes by nearest centroid, {flapping.border_ours} by ours"
    table.add_row("fewer changes on a border", f"{flapping.reduction:.0f}", "at least 10", how)
    natural = flapping.shop_nearest / max(flapping.shop_ours, 1)
    how = f"{flapping.shop_nearest} and {flapping.shop_ours} changes"
    table.add_row("  in the whole shop", f"{natural:.1f}", "", how)
    events = str(flapping.follow_events)
    table.add_row("a real move is followed within", events, "at most 5", "of the customer's events")
