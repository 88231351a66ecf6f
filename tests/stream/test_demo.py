"""The demo that runs until somebody stops it."""

import asyncio
import contextlib
import io
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stream import demo, together
from stream.inspection import SegmentReport
from stream.scrape import Scrape


class Shoal:
    """One that nobody has bought from yet; whoever looks at its segments presses Ctrl-C."""

    settings = None
    processes = SimpleNamespace(check=lambda: None)

    @property
    def observer(self) -> "Shoal":
        return self

    async def scrape(self) -> Scrape:
        return Scrape({}, at=0.0)

    async def segments(self) -> SegmentReport:
        signal.raise_signal(signal.SIGINT)
        return SegmentReport(0, 0, 0, 0, 0, [])


async def test_ctrl_c_ends_the_demo_though_its_feed_misses_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missed = asyncio.Event()

    async def feed(*_: Any, **__: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        missed.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(demo, "feed_source", feed)
    monkeypatch.setattr(together, "CANCEL_SECONDS", 0.01)
    said = io.StringIO()
    local: Any = Shoal()
    nothing: Any = []
    async with asyncio.timeout(30):
        await demo._until_interrupted(local, nothing, 1000, Console(file=said))
    assert missed.is_set()
    assert said.getvalue().endswith("stopping\n")
