"""For which servers this process waits, whoever in it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal, get_args

from stream import metrics

Server = Literal["kafka", "redis"]
SERVERS: tuple[Server, ...] = get_args(Server)
# A server that is silent for so long is away.
AWAY_SECONDS = 1.25

_due: dict[Server, list[float]] = {server: [] for server in SERVERS}
for _server in SERVERS:
    metrics.WAITING_SECONDS.labels(server=_server)


@contextmanager
def waiting(server: Server, *, after_seconds: float = 0.0) -> Iterator[None]:
    """Say that this process waits for the server, if it stays inside longer than `after_seconds`.

    However many do so at once, the process waits once.
    """
    due = monotonic() + after_seconds
    _due[server].append(due)
    try:
        yield
    finally:
        _due[server].remove(due)


def is_waited_for(server: Server) -> bool:
    """Whether anybody in this process waits for the server now."""
    now = monotonic()
    return any(due <= now for due in _due[server])
