"""A server that lives and dies with this process, has a port to itself and finds its data again."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from models.errors import ShoalError

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
PORT_SECONDS = 5.0
PORT_ATTEMPTS = 5
POLL_SECONDS = 0.01
LAST_LINES = 5

PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec there must be no import and no change of threads.
_LIBC = ctypes.PyDLL(None) if sys.platform == "linux" else None


class EmbeddedError(ShoalError):
    """An embedded server cannot be started, or ended; `log` is the file that says more."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class PortTakenError(EmbeddedError):
    """Another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken: stop what listens there, or choose another port")
        self.port = port


def free_port() -> int:
    """A TCP port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """For `preexec_fn`: the child gets this signal when its parent ends, however that happens.

    On Linux; nothing elsewhere. The parent is the *thread* that starts the child, so start it
    from one that lives as long as the child should.
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


class EmbeddedServer(ABC):
    """A server process that has its data, its log and its port to itself.

    Parameters
    ----------
    directory
        Where data and log are kept; made when missing. A later start finds its data again.
    port
        None takes a free one at the first start and keeps it.
    """

    name: ClassVar[str]

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def log(self) -> Path:
        """What the server prints, over all its starts."""
        return self.directory / f"{self.name.lower()}.log"

    @property
    def port(self) -> int:
        """The port, the same after a restart."""
        if self._port is None:
            raise EmbeddedError(f"{self.name} has no port yet: call start() first")
        return self._port

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id, None while the server is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Start the server, on the data and the port it had before; return once it answers.

        Raises
        ------
        PortTakenError
            Somebody else listens on its port.
        EmbeddedError
            Its package is not installed, it ended, or it does not answer in time.
        """
        if self.pid is not None:
            return self
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._port is not None:
            self._await_port(self._port)
            self._launch(self._port)
            return self
        for attempt in range(PORT_ATTEMPTS):
            port = free_port()
            try:
                self._launch(port)
            except PortTakenError:
                if attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                self._port = port
                break
        return self

    def freeze(self) -> None:
        """Hold the server still (SIGSTOP): connections stay open and nobody answers any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            if (pid := self.pid) is not None:
                # The signal is sent, not obeyed: a thread may answer until the last of them stops.
                os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let a frozen server go on where it was."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask the server to save and end; if it does not within a minute, end it."""
        if self._process is None:
            return
        self._process.terminate()
        self.thaw()  # a frozen one would not hear it
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def _command(self, port: int) -> list[str]:
        """Program and arguments; raises EmbeddedError where the program is not installed."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Whether this very server serves its clients."""

    def _await_port(self, port: int) -> None:
        # A client that keeps dialling a dead port of the ephemeral range can hold it for a moment.
        deadline = time.monotonic() + PORT_SECONDS
        while not _is_free(port):
            if time.monotonic() > deadline:
                raise PortTakenError(port)
            time.sleep(POLL_SECONDS)

    def _launch(self, port: int) -> None:
        command = self._command(port)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - a program of an installed package
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal must not reach it before those who still need it are done.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call
            )
        try:
            self._await_answer(self._process, port)
        except BaseException:
            self.kill()
            raise

    def _await_answer(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(port):
            if process.poll() is not None:
                if not _is_free(port):
                    raise PortTakenError(port)
                raise EmbeddedError(
                    f"{self.name} ended with {process.returncode} while starting: "
                    f"{self._last_words()} (all of it: {self.log})",
                    log=self.log,
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} does not answer after {START_SECONDS:.0f} s: see {self.log}",
                    log=self.log,
                )
            time.sleep(POLL_SECONDS)

    def _output(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _last_words(self) -> str:
        return " | ".join(self._output().strip().splitlines()[-LAST_LINES:])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a closed connection that still lingers does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
