"""The Markdown pages, and what tests read in them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
ARCHITECTURE, EVENTS, OPERATIONS = (
    TEXT[DOCS / name] for name in ("architecture.md", "events.md", "operations.md")
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return [body for name, body in _FENCE.findall(text) if name == language]


def examples(text: str) -> list[dict[str, Any]]:
    """JSON examples of a page."""
    return [json.loads(body) for body in blocks(text, "json")]


def quoted(text: str) -> list[str]:
    """What stands in backquotes, in order."""
    return _CODE.findall(prose(text))


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of the same level."""
    _, found, after = text.partition(f"\n## {heading}\n")
    assert found, heading
    return after.partition("\n## ")[0]


def between(text: str, start: str, end: str) -> str:
    """Text from the first `start` to the `end` that follows."""
    begin = text.index(start)
    return text[begin : text.index(end, begin)]


def cells_of(text: str) -> Iterator[list[str]]:
    """Cells of each table row, without headers."""
    header = True
    for line in text.splitlines():
        is_row = line.startswith("|")
        if is_row and not header and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split("|")]
        header = not is_row


def rows_of(text: str) -> dict[str, list[str]]:
    """The other cells of table rows, by everything in backquotes in the first."""
    return {name: cells[1:] for cells in cells_of(text) for name in quoted(cells[0])}
