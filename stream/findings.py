"""What was looked at before a start, and what came of it."""

from dataclasses import dataclass

from models.errors import ShoalError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok` with an `action` is a warning."""

    name: str
    ok: bool
    detail: str
    action: str = ""


class PreflightError(ShoalError):
    """Something that must hold before a process starts does not."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.detail}: {finding.action}")
        self.finding = finding
