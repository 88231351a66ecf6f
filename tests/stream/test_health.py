"""Health checks, over a real socket."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from stream.health import HealthServer, PortUnusableError

SETTING = "SHOAL_METRICS_PORT"


class Process:
    """A process that answers health checks."""

    def __init__(self) -> None:
        self.is_ready = False
        self.server = HealthServer("127.0.0.1", 0, setting=SETTING, is_ready=lambda: self.is_ready)
        self.port = 0

    async def get(self, path: str) -> tuple[int, str, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, response.headers["Content-Type"], await response.text()


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    made = Process()
    made.port = made.server.bind()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_a_process_is_alive_before_it_is_ready(process: Process) -> None:
    assert (await process.get("/healthz"))[0] == 200
    assert (await process.get("/readyz"))[0] == 503


async def test_readiness_follows_the_process(process: Process) -> None:
    answers = []
    for process.is_ready in (False, True, False):
        status, _, text = await process.get("/readyz")
        answers.append((status, text))
    assert answers == [(503, "not ready\n"), (200, "ready\n"), (503, "not ready\n")]


async def test_metrics_are_as_prometheus_reads_them(process: Process) -> None:
    status, content_type, text = await process.get("/metrics")
    assert (status, content_type) == (200, CONTENT_TYPE_LATEST)
    assert "# TYPE shoal_events_received_total counter" in text


async def test_other_pages_are_not_there(process: Process) -> None:
    assert (await process.get("/"))[0] == 404


async def test_the_port_is_taken_before_anything_answers_and_stays_the_same() -> None:
    server = HealthServer("127.0.0.1", 0, setting=SETTING, is_ready=lambda: True)
    port = server.bind()
    try:
        assert port == server.bind() > 0
        with pytest.raises(PortUnusableError):
            HealthServer("127.0.0.1", port, setting=SETTING, is_ready=lambda: True).bind()
    finally:
        await server.start()
        await server.stop()


def test_a_port_in_use_is_named_with_the_setting_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HealthServer("127.0.0.1", port, setting=SETTING, is_ready=lambda: True)
        with pytest.raises(PortUnusableError) as caught:
            server.bind()
    message = str(caught.value)
    assert caught.value.port == port
    assert f"127.0.0.1:{port} (Address already in use)" in message
    assert f"set {SETTING} to a free port" in message


def test_an_address_that_is_not_this_machines_is_named() -> None:
    server = HealthServer("192.0.2.1", 0, setting=SETTING, is_ready=lambda: True)
    with pytest.raises(PortUnusableError, match=r"192\.0\.2\.1:0"):
        server.bind()


async def test_a_stopped_server_answers_nobody_and_frees_its_port(process: Process) -> None:
    await process.server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await process.get("/healthz")
    server = HealthServer("127.0.0.1", process.port, setting=SETTING, is_ready=lambda: True)
    assert server.bind() == process.port
    await server.start()
    await server.stop()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    await HealthServer("127.0.0.1", 0, setting=SETTING, is_ready=lambda: True).stop()
