"""How good the segments are: as good as offline, following, at rest, calm, of the right number.

Prints a table and draws plots; `--json` prints one line instead. A missed target is a figure like
any other: the exit code does not tell.

    python -m bench.quality [--json] [--only PART] [--seed N] [--customers N]
        [--plots FOLDER]
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.quality import change, flapping, granularity, journey, stationary
from bench.quality.plots import draw
from bench.quality.results import Results
from models.errors import ShoalError

err = Console(stderr=True, highlight=False)


class Part(StrEnum):
    """What can be measured on its own."""

    JOURNEY = "journey"
    CHANGE = "change"
    STATIONARY = "stationary"
    FLAPPING = "flapping"
    GRANULARITY = "granularity"


def main(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, no plots")] = False,
    only: Annotated[Part | None, typer.Option(help="Measure nothing else")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same figures")] = 7,
    customers: Annotated[int, typer.Option(min=500, help="Customers of the made-up shop")] = 20_000,
    plots: Annotated[Path, typer.Option(help="Folder for the plots")] = Path("build/quality"),
) -> None:
    """Measure the quality of the segments."""
    parts = {only} if only else set(Part)
    try:
        with err.status("measuring"):
            results = Results(
                journey=journey.measure(seed) if Part.JOURNEY in parts else None,
                change=change.follow(seed, customers) if Part.CHANGE in parts else None,
                stationary=stationary.stand_still(seed, customers)
                if Part.STATIONARY in parts
                else None,
                flapping=flapping.flap(seed, customers) if Part.FLAPPING in parts else None,
                granularity=granularity.count(seed) if Part.GRANULARITY in parts else None,
            )
    except ShoalError as error:
        err.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(results.to_dict()))
        return
    Console(highlight=False).print(results.to_table())
    for path in draw(results, plots):
        err.print(f"drawn: {path}")


if __name__ == "__main__":
    typer.run(main)
