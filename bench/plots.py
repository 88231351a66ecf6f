"""The figures of load that say more as a picture, in PNG; each from the JSON of its bench."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogFormatter

BUILD = Path("build/bench")
Result = dict[str, Any]


def draw_backlog(result: Result, folder: Path) -> Path:
    """Lag after an outage; where the picture is."""
    return _picture(folder / "backlog.png", partial(_backlog, result=result))


def draw_batch_size(result: Result, folder: Path) -> Path:
    """Throughput by the most events in a step."""
    return _picture(folder / "batch_size.png", partial(_batch_size, result=result))


def draw_latency(result: Result, folder: Path) -> Path:
    """Latency by load."""
    return _picture(folder / "latency.png", partial(_latency, result=result))


def draw_scale(result: Result, folder: Path) -> Path:
    """Cost of an event by the number of customers."""
    return _picture(folder / "scale.png", partial(_scale, result=result))


def _picture(path: Path, plot: Callable[[Axes], None]) -> Path:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    plot(figure.add_subplot())
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _backlog(axes: Axes, result: Result) -> None:
    seconds = [row[0] for row in result["lag"]]
    for partition, lags in enumerate(zip(*(row[1:] for row in result["lag"]), strict=True)):
        label = "one partition" if partition == 0 else None
        axes.plot(seconds, lags, color="tab:blue", linewidth=0.7, alpha=0.6, label=label)
    axes.plot(
        seconds, [sum(row[1:]) for row in result["lag"]], color="black", linewidth=2, label="all"
    )
    rates = result["events_per_second"]
    axes.set(xlabel="seconds since the first step", ylabel="events that wait", ylim=(0, None))
    axes.set_title(
        f"{result['events']:,} events, {rates['catching_up']:,} a second; "
        f"{result['live_events_per_second']:,.0f} a second go on coming"
    )
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.legend()


def _batch_size(axes: Axes, result: Result) -> None:
    found = result["events_per_second"]
    sizes = [int(size) for size in found]
    axes.fill_between(
        sizes,
        [one["lowest"] for one in found.values()],
        [one["highest"] for one in found.values()],
        color="tab:blue",
        alpha=0.2,
        label=f"range of {result['runs']} runs",
    )
    axes.plot(sizes, [one["median"] for one in found.values()], "o-", color="black", label="median")
    axes.set(xlabel="most events in a step (SHOAL_BATCH_EVENTS)", ylabel="events a second")
    axes.set(xscale="log", ylim=(0, None))
    axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
    axes.legend()


def _latency(axes: Axes, result: Result) -> None:
    shares = [100 * load["share"] for load in result["loads"]]
    for name, color in (("p50", "tab:blue"), ("p99", "black")):
        axes.plot(shares, [load[name] for load in result["loads"]], "o-", color=color, label=name)
    xlabel = f"load, % of all that the worker can: {result['highest']} events a second"
    axes.set(xlabel=xlabel, ylabel="from Kafka to Redis, ms", xlim=(0, 100), yscale="log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(LogFormatter(minor_thresholds=(2, 0.5)))
    axes.grid(visible=True, axis="y", which="both", alpha=0.2)
    axes.legend()


def _scale(axes: Axes, result: Result) -> None:
    cost = {int(customers): micros for customers, micros in result["cpu_us_per_event"].items()}
    axes.plot(list(cost), list(cost.values()), "o-", color="black")
    axes.axhline(
        1.25 * cost[min(cost)], color="tab:red", linestyle=":", label="1.25 times the least"
    )
    axes.set(xlabel="customers", ylabel="CPU of the worker, µs an event")
    axes.set(xscale="log", ylim=(0, None))
    axes.legend()
