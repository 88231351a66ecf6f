"""`python -m tests.fuzz`: a million damaged payloads; each is an event or is rejected, cheaply."""

import gc
import json
import os
import sys
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.fuzz.campaign import CHUNK, Findings, run
from tests.fuzz.cost import Cost, in_a_batch, yardstick

MOST_TIMES_NORMAL = 5.0
SHOWN_BYTES = 120

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Report:
    """What a campaign found."""

    findings: Findings
    costs: list[Cost]
    normal_microseconds: float
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a payload raised, was lost, or costs too much."""
        return bool(self.findings.faults) or self.worst_ratio > MOST_TIMES_NORMAL

    @property
    def worst_ratio(self) -> float:
        """How many times a normal event of its size the costliest payload costs."""
        return self.costs[0].ratio if self.costs else 1.0

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        worst = self.costs[0] if self.costs else None
        return {
            "payloads": self.findings.payloads,
            "accepted": self.findings.accepted,
            "rejected": dict(self.findings.rejected.most_common()),
            "raised_or_lost": len(self.findings.faults),
            "normal_microseconds": round(self.normal_microseconds, 1),
            "worst_times_normal_of_its_size": round(self.worst_ratio, 2),
            "worst_microseconds": round(worst.microseconds, 1) if worst else None,
            "worst_bytes": worst.size if worst else None,
            "seconds": round(self.seconds, 1),
        }


def fuzz(
    payloads: Annotated[int, typer.Option(min=1)] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same payloads")] = 1,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Damage events, and see that each is read or rejected, and costs little for its size."""
    started = monotonic()
    findings = Findings()
    found = run(payloads, seed=seed, processes=processes)
    for chunk in track(found, "examining", total=-(-payloads // CHUNK), console=err):
        findings.add(chunk)
    gc.collect()
    gc.freeze()
    normal = yardstick(in_a_batch).costs[0] / 1000
    report = Report(findings, findings.costs(), normal, monotonic() - started)
    for fault in findings.faults[:10]:
        err.print(f"{fault.what} (chunk {fault.chunk}): {shown(fault.record.value)}", markup=False)
    for cost in report.costs[:3]:
        err.print(
            f"{cost.ratio:.2f} times a normal event of its size, {cost.microseconds:.1f} µs, "
            f"{cost.size} bytes: {shown(cost.value)}",
            markup=False,
        )
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    else:
        Console().print(table_of(report))
    if report.failed:
        raise typer.Exit(1)


def table_of(report: Report) -> Table:
    """The report for people."""
    table = Table(show_header=False)
    for name, value in report.as_dict().items():
        told = "\n".join(f"{n} {k}" for k, n in value.items()) if name == "rejected" else value
        table.add_row(name.replace("_", " "), str(told))
    return table


def shown(value: bytes | None) -> str:
    """The beginning of a payload, in one line."""
    return repr(value if value is None else value[:SHOWN_BYTES])


if __name__ == "__main__":
    typer.run(fuzz)
