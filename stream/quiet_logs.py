"""Logs that stay readable while a server is away."""

import logging
from time import monotonic

REPEAT_SECONDS = 10.0


class Calm(logging.Filter):
    """Lets each kind of message through once in a while, and says how many it kept back.

    aiokafka complains of a broker that is away a dozen times a second, for as long as it is.
    """

    def __init__(self, every_seconds: float = REPEAT_SECONDS) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._said: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; a kind is all that one call of the logger says."""
        now = monotonic()
        kind = f"{record.pathname}:{record.lineno}"
        said_at, kept_back = self._said.get(kind, (now - self._every_seconds, 0))
        if now - said_at < self._every_seconds:
            self._said[kind] = (said_at, kept_back + 1)
            return False
        self._said[kind] = (now, 0)
        if kept_back:
            record.msg = f"{record.getMessage()} ({kept_back} more like it)"
            record.args = ()
        return True


def calm(library: str) -> None:
    """Keep back what the loggers of an imported library repeat."""
    calming = Calm()
    for name in logging.root.manager.loggerDict:
        if name == library or name.startswith(f"{library}."):
            logging.getLogger(name).addFilter(calming)
