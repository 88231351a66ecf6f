"""Speed and cost of a Shoal on this machine: every figure beside its target, and what to see.

Runs the benches one after the other, about an hour in all, and keeps the JSON of each as soon as
it is there. Parts that are not asked for are shown as they were measured last. A missed
target is a figure like any other: the exit code only tells whether everything could be measured.

    python -m bench [--only PART]... [--folder FOLDER]
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.plots import (
    BUILD,
    Result,
    draw_backlog,
    draw_batch_size,
    draw_latency,
    draw_scale,
)
from bench.targets import Part, table_of

DRAW: Mapping[Part, Callable[[Result, Path], Path]] = {
    Part.SCALE: draw_scale,
    Part.BACKLOG: draw_backlog,
    Part.BATCH_SIZE: draw_batch_size,
    Part.LATENCY: draw_latency,
}

err = Console(stderr=True, highlight=False)


def run(part: Part, folder: Path) -> bool:
    """Measure a part in a process of its own, and keep its JSON; whether it could be measured."""
    err.rule(part)
    command = [sys.executable, "-m", f"bench.{part}", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 - made of the names of our own modules
    if done.returncode:
        err.print(f"error: no figures of {part}: see above", style="red")
        return False
    folder.mkdir(parents=True, exist_ok=True)
    _file(part, folder).write_bytes(done.stdout)
    return True


def kept(folder: Path) -> dict[Part, Result]:
    """The figures of each part as they were measured last."""
    return {
        part: json.loads(_file(part, folder).read_bytes())
        for part in Part
        if _file(part, folder).exists()
    }


def _file(part: Part, folder: Path) -> Path:
    return folder / f"{part}.json"


def main(
    *,
    only: Annotated[list[Part] | None, typer.Option(help="Measure this and no other")] = None,
    folder: Annotated[Path, typer.Option(help="Where JSON and plots go")] = BUILD,
) -> None:
    """Measure everything on this machine."""
    measured = [run(part, folder) for part in only or Part]
    results = kept(folder)
    for part, draw in DRAW.items():
        if part in results:
            err.print(f"drawn: {draw(results[part], folder)}")
    Console(highlight=False).print(table_of(results))
    if not all(measured):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
