"""`shoal` processes on this machine: started, watched, and ended with the one that started them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp

from config.settings import Settings
from models.errors import ShoalError
from stream.scrape import Scrape, scrape
from stream.server_process import die_with_parent

START_SECONDS = 60.0
STOP_SECONDS = 15.0
# A process listens before it answers.
PATIENCE = aiohttp.ClientTimeout(total=2)
SHOAL = (sys.executable, "-m", "stream.cli")


class ProcessError(ShoalError):
    """A process ended, or did not become ready; its last words are in the message."""

    def __init__(self, name: str, fault: str, last_words: str) -> None:
        super().__init__(f"{name} {fault}: {last_words or 'it printed nothing'}")
        self.name = name


@dataclass(frozen=True, slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    port: int
    log: Path


class Processes:
    """Processes that share settings; each has a name, a port for its metrics, and a log.

    Parameters
    ----------
    directory
        Where logs go, one file per start.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._started: dict[str, _Started] = {}

    def start(self, name: str, command: Sequence[str], *, port: int, member: str | None) -> None:
        """Start a command with the settings in its environment.

        `port` is where it answers, `member` its static membership, None a dynamic one: noida-db
        never forgets a dynamic member that died.
        """
        environment = {key: v for key, v in os.environ.items() if not key.startswith("SHOAL_")}
        own = self._settings.model_copy(
            update={"metrics_port": port, "trainer_metrics_port": port, "member": member}
        )
        environment |= own.environment()
        log = self._directory / f"{name}-{len(list(self._directory.glob(f'{name}-*.log')))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - loads and changes nothing
            )
        self._started[name] = _Started(process, port, log)

    def start_worker(self, name: str, port: int, *, static: bool = True) -> None:
        """Start `shoal worker`, as a static member of its group or a dynamic one."""
        self.start(name, (*SHOAL, "worker"), port=port, member=name if static else None)

    def start_trainer(self, name: str, port: int, *, static: bool = True) -> None:
        """Start `shoal trainer`, as a static member of its group or a dynamic one."""
        self.start(name, (*SHOAL, "trainer"), port=port, member=name if static else None)

    async def until_ready(self) -> None:
        """Wait until every process that was started is.

        A sole worker serves all partitions by then; of several, some may stand by.

        Raises
        ------
        ProcessError
            One of them ended, or it takes too long.
        """
        deadline = monotonic() + START_SECONDS
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            for name, started in self._started.items():
                while not await _answers(session, f"http://127.0.0.1:{started.port}/readyz"):
                    self.check()
                    if monotonic() > deadline:
                        raise ProcessError(name, "is not ready yet", self.last_words(name))
                    await asyncio.sleep(0.1)

    def check(self) -> None:
        """Return if every process that was started runs.

        Raises
        ------
        ProcessError
            One has ended.
        """
        for name, started in self._started.items():
            code = started.process.poll()
            if code is not None:
                raise ProcessError(name, f"ended with {code}", self.last_words(name))

    def ended(self) -> dict[str, int]:
        """Exit codes of the processes that have ended by themselves."""
        codes = {name: started.process.poll() for name, started in self._started.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def pid(self, name: str) -> int:
        """Process id."""
        return self._started[name].process.pid

    def last_words(self, name: str) -> str:
        """The end of what a process printed, in one line."""
        text = self._started[name].log.read_text(encoding="utf-8", errors="replace")
        return " | ".join(text.splitlines()[-5:])

    async def scrape(self, name: str) -> Scrape:
        """A process's metrics."""
        return await scrape(f"http://127.0.0.1:{self._started[name].port}/metrics")

    def kill(self, name: str) -> None:
        """SIGKILL, and forget the process."""
        started = self._started.pop(name)
        started.process.kill()
        started.process.wait()

    async def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM these, or all; SIGKILL those that take too long; the exit codes."""
        ended = {name: self._started.pop(name).process for name in names or tuple(self._started)}
        for process in ended.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in ended.items():
            try:
                codes[name] = await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = await asyncio.to_thread(process.wait)
        return codes


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
