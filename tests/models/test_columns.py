"""Records moved as bytes are the records that NumPy would move field by field."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.columns import Rows, pick, put

RECORD = np.dtype([("kind", "u1"), ("times", "<i8", (2,)), ("sums", "<f8", (3,))])


def records(n: int, seed: int) -> Rows:
    drawn = np.random.default_rng(seed).bytes(n * RECORD.itemsize)
    return np.frombuffer(drawn, RECORD).copy()


@given(st.integers(1, 20), st.data())
def test_records_are_put_where_they_belong_and_picked_from_there(
    n: int, data: st.DataObject
) -> None:
    rows = records(n, seed=1)
    at = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    news, expected = records(len(at), seed=2), rows.copy()
    expected[at] = news
    put(rows, at, news)
    assert rows.tobytes() == expected.tobytes()
    assert pick(rows, at).tobytes() == news.tobytes()
    mask = np.isin(np.arange(n), at)
    assert pick(rows, mask).tobytes() == expected[mask].tobytes()


def test_a_part_of_the_records_is_put_in_place() -> None:
    rows, news = records(6, seed=1), records(2, seed=2)
    put(rows[2:5], [0, 2], news)
    assert rows[2:5:2].tobytes() == news.tobytes()
