"""The figures that say more as a picture, in PNG."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.quality.change import WATCHED_DAYS, Following
from bench.quality.granularity import Count
from bench.quality.journey import Journey
from bench.quality.results import Results
from bench.quality.stationary import Stillness


def draw(results: Results, folder: Path) -> list[Path]:
    """Write a picture of each part that was measured and has one; where they are."""
    drawn = []
    if results.journey:
        drawn.append(_picture(folder / "journey.png", partial(_journey, journey=results.journey)))
    if results.change:
        drawn.append(_picture(folder / "change.png", partial(_change, following=results.change)))
    if results.stationary:
        drawn.append(
            _picture(folder / "stationary.png", partial(_stationary, still=results.stationary))
        )
    if results.granularity:
        drawn.append(
            _picture(
                folder / "granularity.png", partial(_granularity, counts=list(results.granularity))
            )
        )
    return drawn


def _picture(path: Path, plot: Callable[[Axes], None]) -> Path:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    plot(figure.add_subplot())
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _journey(axes: Axes, journey: Journey) -> None:
    for name, ratios in journey.river.items():
        axes.plot(range(1, len(ratios) + 1), ratios, linewidth=1, alpha=0.7, label=name)
    checkpoints = range(1, len(journey.inertia) + 1)
    axes.plot(checkpoints, journey.inertia, color="black", linewidth=2.5, label="Shoal")
    axes.axhline(1.0, color="grey", linestyle=":")
    axes.set(xlabel="checkpoint", ylabel="inertia / scikit-learn's", yscale="log")
    axes.set_title("Complete Journey")
    axes.legend(fontsize="small", ncols=2)


def _change(axes: Axes, following: Following) -> None:
    checks = following.checks
    days = range(1, len(checks) + 1)
    axes.plot(days, [c.reference for c in checks], color="grey", label="nearest true mean")
    axes.plot(days, [c.ours for c in checks], color="black", linewidth=2, label="Shoal")
    axes.plot(
        [day for day, check in zip(days, checks, strict=True) if check.offline is not None],
        [check.offline for check in checks if check.offline is not None],
        *("^",),
        color="tab:blue",
        label="KMeans with the true number",
    )
    for at, outcome in enumerate(following.outcomes):
        axes.axvline(at * WATCHED_DAYS, color="tab:red", linewidth=0.8)
        axes.text(
            at * WATCHED_DAYS + 0.3, 0.02, outcome.change, transform=axes.get_xaxis_transform()
        )
    axes.set(xlabel="day", ylabel="adjusted Rand index", ylim=(0.0, 1.0))
    axes.legend(fontsize="small", loc="lower right")


def _stationary(axes: Axes, still: Stillness) -> None:
    axes.bar(range(1, len(still.moves) + 1), still.moves, color="black")
    axes.axhline(
        0.005 * still.customers, color="tab:red", linestyle=":", label="allowed, all together"
    )
    axes.set(xlabel="forced publication", ylabel="customers who changed segment")
    axes.legend(fontsize="small")


def _granularity(axes: Axes, counts: list[Count]) -> None:
    for step in (-1, 0, 1):
        axes.axline((3, 3 + step), slope=1, color="grey", linestyle="-" if step == 0 else ":")
    # Populations of the same numbers beside each other, not on top of each other.
    spread = [count.truth + 0.08 * (at % 4 - 1.5) for at, count in enumerate(counts)]
    axes.plot(spread, [count.found for count in counts], "o", color="black")
    axes.set(xlabel="personas", ylabel="segments found", xlim=(2.5, 8.5), ylim=(2, 13))
