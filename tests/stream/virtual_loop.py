"""An event loop in virtual time: it runs whatever can run, and never waits."""

import asyncio
from dataclasses import dataclass
from typing import NoReturn


@dataclass(slots=True)
class VirtualTime:
    """What several loops take for the monotonic clock; whoever drives them moves it on."""

    seconds: float = 0.0


class VirtualLoop(asyncio.BaseEventLoop):
    """One process's event loop: it stands still unless `run_ready` is called."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self._selector = self  # asyncio waits for sockets and timers in `select`

    def time(self) -> float:
        """Virtual seconds."""
        return self._time.seconds

    def run_ready(self) -> None:
        """Run until everything waits, for a reply or for a time that has not come."""
        self.run_forever()

    @property
    def next_timer(self) -> float | None:
        """When something will be ready by itself, None when that is never."""
        times = [timer.when() for timer in self._scheduled if not timer.cancelled()]
        return min(times, default=None)

    def select(self, timeout: float | None) -> list[NoReturn]:
        """Instead of waiting, end `run_ready`."""
        if timeout is None or timeout > 0:
            self.stop()
        return []

    def _process_events(self, event_list: list[NoReturn]) -> None:
        """There are no sockets."""
