import logging

import pytest

from stream.quiet_logs import Calm, calm


def say(log: logging.Logger, times: int) -> None:
    for number in range(times):
        log.warning("Unable to connect to %s", number)


def test_what_is_repeated_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("calmtest.conn")
    calm("calmtest")
    say(log, 50)
    log.warning("something else")
    assert caplog.messages == ["Unable to connect to 0", "something else"]


def test_how_much_was_kept_back_is_said_the_next_time() -> None:
    now = logging.makeLogRecord(
        {"msg": "away since %d", "args": (3,), "pathname": "a", "lineno": 1}
    )
    calming = Calm(every_seconds=3600)
    assert calming.filter(now)
    assert not calming.filter(now)
    assert not calming.filter(now)
    calming._every_seconds = 0
    assert calming.filter(now)
    assert now.getMessage() == "away since 3 (2 more like it)"


def test_other_loggers_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("calmtesting")
    calm("calmtest")
    say(log, 3)
    assert len(caplog.messages) == 3
