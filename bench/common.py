"""What benches share: figures of a process, of the machine, and how a bench fails."""

import asyncio
import json
import os
import platform
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from models.errors import ShoalError


class BenchError(ShoalError):
    """What was measured does not count, since the work was not done; the message says which."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, figures: list[float]) -> "Spread":
        """Of at least one run.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, lowest=1.0, highest=3.0)
        """
        return cls(median(figures), min(figures), max(figures))


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds now and held at most, in MB of 10**6 bytes."""

    rss_mb: float
    peak_mb: float


def parse_cpu_seconds(stat: str, ticks_per_second: int) -> float:
    """User and system time in a /proc/PID/stat, of all threads.

    >>> parse_cpu_seconds("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0", 100)
    3.0
    """
    # The name stands in parentheses and may hold any character; fields 14 and 15 count from it.
    after_name = stat.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / ticks_per_second


def parse_memory(status: str) -> Memory:
    r"""VmRSS and VmHWM of a /proc/PID/status.

    >>> parse_memory("VmHWM:    2000 kB\nVmRSS:\t1000 kB\n")
    Memory(rss_mb=1.024, peak_mb=2.048)
    """
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    now, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return Memory(now, peak)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    return parse_cpu_seconds(Path(f"/proc/{pid}/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def memory(pid: int) -> Memory:
    """Memory of a process."""
    return parse_memory(Path(f"/proc/{pid}/status").read_text())


def machine() -> dict[str, str | int]:
    """What figures depend on and cannot be read off them."""
    return {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}


def tell(
    measuring: Coroutine[Any, Any, dict[str, Any]],
    *,
    as_json: bool,
    table_of: Callable[[dict[str, Any]], Table],
    draw: Callable[[dict[str, Any]], Path] | None = None,
) -> None:
    """Measure, and print one line of JSON, or a table and, if one is drawn, where the plot is.

    Raises
    ------
    typer.Exit
        What was measured does not count.
    """
    err = Console(stderr=True, highlight=False)
    try:
        result = asyncio.run(measuring)
    except ShoalError as error:
        err.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(result))
        return
    Console(highlight=False).print(table_of(result))
    if draw:
        err.print(f"drawn: {draw(result)}")
