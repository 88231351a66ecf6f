"""/metrics, /healthz and /readyz on a process's own port."""

import socket
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.errors import ShoalError


class PortUnusableError(ShoalError):
    """The port for metrics cannot be listened on."""

    def __init__(self, host: str, port: int, setting: str, error: OSError) -> None:
        super().__init__(
            f"cannot listen on {host}:{port} ({error.strerror or error}): stop what listens "
            f"there, or set {setting} to a free port (0 takes any)"
        )
        self.port = port


class HealthServer:
    """Answers Prometheus and whoever restarts or routes to this process.

    Parameters
    ----------
    is_ready
        /readyz answers 200 while this is true, else 503. /healthz answers 200 while the event
        loop turns.
    setting
        Name of the setting that gives the port, for the error message.
    """

    def __init__(self, host: str, port: int, *, setting: str, is_ready: Callable[[], bool]) -> None:
        self._address = (host, port)
        self._setting = setting
        self._is_ready = is_ready
        self._socket: socket.socket | None = None
        self._runner: web.AppRunner | None = None

    def bind(self) -> int:
        """Take the port, before anything else is started; the port that it is.

        Raises
        ------
        PortUnusableError
            Somebody else listens there.
        """
        if self._socket is None:
            host, port = self._address
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(self._address)
                listener.listen()
            except OSError as error:
                listener.close()
                raise PortUnusableError(host, port, self._setting, error) from None
            self._socket = listener
        bound: int = self._socket.getsockname()[1]
        return bound

    async def start(self) -> None:
        """Answer."""
        self.bind()
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        assert self._socket is not None  # noqa: S101 - bound above
        await web.SockSite(self._runner, self._socket).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._is_ready()
        return web.Response(
            text="ready\n" if ready else "not ready\n", status=200 if ready else 503
        )
