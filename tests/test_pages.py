"""What a reader follows, types or copies from the pages works: links, commands, examples."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from msgspec.structs import fields

from config.settings import Settings
from stream.changes import Change, ChangeData, change_bytes, read_change
from stream.cli import app
from stream.events import ParsedEvent, parse
from stream.model_events import ModelPublished
from stream.money import Money
from tests.pages import (
    ARCHITECTURE,
    EVENTS,
    OPERATIONS,
    PAGES,
    ROOT,
    TEXT,
    between,
    blocks,
    cells_of,
    examples,
    prose,
    quoted,
)

FOLDERS = ("config", "models", "stream", "tests", "bench", "docs")
NOON_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z, the time of every example
COMMANDS: Any = typer.main.get_command(app)

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def read(event: dict[str, Any]) -> ParsedEvent:
    return parse(
        json.dumps(event).encode(),
        b"ann",
        received_ms=NOON_MS,
        now_ms=NOON_MS,
        money=Money("EUR", {"USD": 0.92}),
        correct_skew=False,
    )


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(TEXT[page]), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def follow(command: Any, words: list[str]) -> None:
    """Fail unless the words are the subcommands, options and arguments that a command takes."""
    options = {name: option for option in command.params for name in option.opts}
    free = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith("--"):
            assert word in options, words
            if not options[word].is_flag and at < len(words):
                at += 1
        elif commands := getattr(command, "commands", None):
            assert word in commands, words
            follow(commands[word], words[at:])
            return
        else:
            free.append(word)
    takes = [param for param in command.params if param.param_type_name == "argument"]
    assert len(free) <= len(takes), words


@page_by_page
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    known = {f"SHOAL_{name.upper()}" for name in Settings.model_fields} | {
        "SHOAL_CONFIG",
        "SHOAL_SECRETS_DIR",
    }
    assert set(re.findall(r"SHOAL_[A-Z_]*[A-Z]", TEXT[page])) <= known


@page_by_page
def test_links_lead_somewhere(page: Path) -> None:
    text = prose(TEXT[page])
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    links += re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    for link in links:
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@page_by_page
def test_named_references_are_defined_and_used(page: Path) -> None:
    text = prose(TEXT[page])
    used = set(re.findall(r"\[([^\]]+)\]\[\]", text))
    assert used == set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))


@page_by_page
def test_files_and_modules_that_a_page_names_exist(page: Path) -> None:
    for name in quoted(TEXT[page]):
        if name.partition("/")[0] in FOLDERS and "/" in name:
            assert (ROOT / name).exists(), name
    for module in re.findall(r"python -m ([\w.]+)", TEXT[page]):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@page_by_page
def test_commands_that_a_page_shows_exist_with_their_options(page: Path) -> None:
    lines = [line for block in blocks(TEXT[page], "sh") for line in block.splitlines()]
    for shown in [*lines, *quoted(TEXT[page])]:
        program, *words = re.sub(r"\s#.*", "", shown).split() or [""]
        if program.rpartition("/")[2] == "shoal" and words:
            follow(COMMANDS, words)


@pytest.mark.parametrize(
    "words", ["rewind", "tail --loud", "segments s1", "--quiet worker", "topics drop"]
)
def test_a_command_that_does_not_exist_would_be_noticed(words: str) -> None:
    with pytest.raises(AssertionError):
        follow(COMMANDS, words.split())


def test_every_command_is_in_operations() -> None:
    shown = {
        words[1]
        for name in quoted(OPERATIONS)
        if (words := name.split())[0] == "shoal" and words[1:]
    }
    assert shown >= COMMANDS.commands.keys()


@page_by_page
def test_examples_of_events_and_changes_are_valid(page: Path) -> None:
    for example in examples(TEXT[page]):
        if example.get("type") == "shoal.model.published.v1":
            published = ModelPublished.model_validate(example)
            assert json.loads(published.model_dump_json()) == example
        elif "specversion" in example:
            assert json.loads(change_bytes(read_change(json.dumps(example).encode()))) == example
        else:
            event = read(example)
            if event.type == "identify":
                assert event.traits
                continue
            assert event.type == "order_completed"
            assert event.time_ms == NOON_MS
            assert event.value > 0
            assert event.discounted


def test_the_example_of_a_change_shows_every_field() -> None:
    example = next(shown for shown in examples(ARCHITECTURE) if "segment.changed" in shown["type"])
    assert example.keys() == {field.encode_name for field in fields(Change)}
    assert example["data"].keys() == {field.encode_name for field in fields(ChangeData)}


def test_every_form_of_time_that_is_shown_is_read() -> None:
    rows = cells_of(between(EVENTS, "| form | example |", "Years 1970"))
    forms = [form for _, shown in rows for form in quoted(shown)]
    assert len(forms) == 6
    for form in forms:
        event = {"event_id": "e", "customer_id": "ann", "type": "page"}
        assert abs(read(event | {"timestamp": json.loads(form)}).time_ms - NOON_MS) < 1_000


@page_by_page
def test_lines_are_at_most_110_characters_long(page: Path) -> None:
    longest = max(TEXT[page].splitlines(), key=len)
    assert len(longest) <= 110, longest
