"""Options that name what the bounded demo printed."""

import json
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--demo-json", required=True, help="what `shoal demo --json` printed")
    parser.addoption("--demo-events", required=True, type=int, help="how many it was asked for")


@pytest.fixture(scope="session")
def lines(request: pytest.FixtureRequest) -> list[str]:
    return Path(request.config.getoption("--demo-json")).read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def summary(lines: list[str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lines[-1])
    return content


@pytest.fixture(scope="session")
def asked(request: pytest.FixtureRequest) -> int:
    events: int = request.config.getoption("--demo-events")
    return events
