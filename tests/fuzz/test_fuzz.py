"""Twenty thousand payloads of the fuzzer, every time; `python -m tests.fuzz` has a million."""

import pytest

from stream.events import Reason
from tests.fuzz.campaign import CHUNK, Findings, run
from tests.fuzz.corpus import NORMAL, order, seeds
from tests.fuzz.examiner import Examiner, read_one, sent
from tests.stream.wire import NOW_MS


def test_of_all_payloads_each_is_an_event_or_is_rejected() -> None:
    found = Findings()
    for chunk in run(20_000, seed=7):
        found.add(chunk)
    assert found.faults == []
    assert found.payloads == 20_000
    assert found.accepted + found.rejected.total() == found.payloads
    assert found.accepted > found.payloads / 10
    assert found.rejected.keys() == set(Reason)


def test_the_same_seed_finds_the_same() -> None:
    one, other = (next(iter(run(CHUNK, seed=3))) for _ in range(2))
    assert (one.accepted, one.rejected) == (other.accepted, other.rejected)


def test_the_corpus_has_an_event_of_every_size_up_to_the_limit_of_kafka() -> None:
    sizes = sorted(len(value or b"") for value in seeds())
    assert sizes[0] == 0
    assert all(any(low < size <= 2 * low for size in sizes) for low in (100, 1_000, 10_000))
    assert sum(300_000 < size < 1_048_576 for size in sizes) > 1


@pytest.mark.parametrize("value", [NORMAL, order(1), order(460)])
def test_what_costs_are_compared_with_is_accepted(value: bytes) -> None:
    examiner = Examiner()
    examiner.take([sent(0, value, None, NOW_MS)])
    assert examiner.accepted == 1
    assert not isinstance(read_one(sent(0, value, None, NOW_MS)), Reason)
