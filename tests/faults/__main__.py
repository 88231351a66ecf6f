"""`python -m tests.faults`: every fault, under load, on Apache Kafka and Valkey."""

import asyncio
import json
import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.errors import ShoalError
from tests.apache_kafka import ApacheKafka
from tests.faults.rows import FAULTS, Row, damage_row, deployments, failed, fault_rows
from tests.faults.states import DAMAGES

err = Console(stderr=True, highlight=False)


async def run(chosen: list[str], *, is_short: bool, runs: int | None, seed: int) -> list[Row]:
    """The rows of the faults whose names begin with one of `chosen`, of all when it is empty."""
    rows: list[Row] = []
    directory = Path(tempfile.mkdtemp(prefix="shoal-faults-"))
    err.print(f"logs: {directory}", style="dim")
    with ApacheKafka(directory / "kafka") as kafka:
        faults = [fault for fault in FAULTS if _is_chosen(fault.name, chosen)]
        # A row has a deployment to itself, unless time is short.
        for group in deployments(faults) if is_short else [[fault] for fault in faults]:
            rows += await fault_rows(
                group,
                kafka,
                directory,
                runs=lambda fault: runs or (1 if is_short else fault.runs),
                seed=seed,
                say=_say,
            )
        for damage in DAMAGES:
            if _is_chosen(damage.name, chosen):
                rows.append(await damage_row(damage, kafka, directory, seed=seed))
                said = [*rows[-1].complaints, *(e for v in rows[-1].verdicts for e in v.examples)]
                _say(f"{damage.name}: {'; '.join(said) or 'refused and rebuilt'}")
    return rows


def _is_chosen(name: str, chosen: list[str]) -> bool:
    return not chosen or name.startswith(tuple(chosen))


def _say(text: str) -> None:
    err.print(text, markup=False)


def table_of(rows: list[Row]) -> Table:
    """The rows for people."""
    table = Table("fault", "runs", "events", "lost", "double", "missing", "conflicting", "recovery")
    for row in rows:
        found = row.as_dict()
        seconds = found["recovery_seconds"]
        table.add_row(
            row.name + (" (relaxed)" if row.is_relaxed else ""),
            *(
                str(found[name])
                for name in (
                    *("runs", "events", "lost", "double_counted"),
                    *("changes_missing", "changes_conflicting"),
                )
            ),
            f"{seconds['p50']} s, at most {seconds['max']} s",
            style=None if row.is_kept else "red",
        )
    return table


def main(
    *,
    only: Annotated[list[str] | None, typer.Option(help="Faults whose name begins so")] = None,
    short: Annotated[bool, typer.Option(help="Every fault once or twice")] = False,
    runs: Annotated[int | None, typer.Option(min=1, help="So many runs of each fault")] = None,
    seed: Annotated[int, typer.Option(help="When and to whom things happen")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Let processes and servers die under load, and compare everything with the truth."""
    # It complains ten times a second of the broker that is meant to be away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        rows = asyncio.run(run(only or [], is_short=short, runs=runs, seed=seed))
    except ShoalError as error:
        err.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps({"rows": [row.as_dict() for row in rows]}))
    else:
        Console(highlight=False).print(table_of(rows))
    for row in rows:
        for complaint in row.complaints:
            err.print(f"{row.name}: {complaint}", markup=False, style="red")
    if names := failed(rows):
        err.print(f"the promise was not kept: {', '.join(names)}", markup=False, style="red")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
