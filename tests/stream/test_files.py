import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from stream.files import MAX_LINE_BYTES, open_csv, open_jsonl, open_parquet
from stream.sources import SourceError, SourceEvent

HEADER = "event_id,customer_id,type,timestamp"
NOON_MS = 1_483_272_000_000
NOON = "2017-01-01T12:00:00.000Z"

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "events.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(event: SourceEvent) -> Any:
    return json.loads(event.value)


def test_a_csv_row_becomes_an_event(write: Write) -> None:
    path = write(
        "event_id,customer_id,type,timestamp,properties.value,coupon,traits.age,properties.shop\n"
        f"e1,007,order_completed,{NOON},12.50,SAVE,41,Nørrebro\n"
    )
    [event] = open_csv(path)
    assert (event.customer_id, event.time_ms) == ("007", NOON_MS)
    assert read(event) == {
        "event_id": "e1",
        "customer_id": "007",
        "type": "order_completed",
        "timestamp": NOON,
        "properties": {"value": 12.5, "coupon": "SAVE", "shop": "Nørrebro"},
        "traits": {"age": "41"},
    }


def test_segments_names_are_columns_too(write: Write) -> None:
    path = write(f"messageId,userId,event,timestamp,sentAt\ne1,u1,Order Completed,{NOON},{NOON}\n")
    [event] = open_csv(path)
    assert event.customer_id == "u1"
    assert read(event) == {
        "messageId": "e1",
        "userId": "u1",
        "event": "Order Completed",
        "timestamp": NOON,
        "sentAt": NOON,
    }


def test_empty_cells_are_absent(write: Write) -> None:
    [event] = open_csv(write(f"{HEADER},value,category\ne1,a,page_viewed,{NOON},,\n"))
    assert "properties" not in read(event)


def test_a_row_without_ids_passes_through_for_the_worker_to_reject(write: Write) -> None:
    [event] = open_csv(write(f"{HEADER}\n,,page_viewed,{NOON}\n"))
    assert event.customer_id == ""
    assert read(event) == {"type": "page_viewed", "timestamp": NOON}


def test_rows_without_a_column_of_ids_are_numbered(write: Write) -> None:
    path = write(f"customer_id,type,timestamp\na,page_viewed,{NOON}\na,page_viewed,{NOON}\n")
    ids = [read(event)["event_id"] for event in open_csv(path)]
    assert ids == ["events.csv:1", "events.csv:2"]
    assert ids == [read(event)["event_id"] for event in open_csv(path)]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("3", 3), ("-2.5", -2.5), ("1e3", 1000), ("free", "free"), ("nan", "nan"), ("1_0", "1_0")],
)
def test_numbers_are_read_where_numbers_belong(write: Write, cell: str, value: float | str) -> None:
    [event] = open_csv(write(f"{HEADER},value\ne1,a,page_viewed,{NOON},{cell}\n"))
    found = read(event)["properties"]["value"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("cell", "time_ms"),
    [
        ("1483272000", NOON_MS),
        ("1483272000000", NOON_MS),
        ("2017-01-01T14:00:00+02:00", NOON_MS),
        ("2017-01-01T12:00:00", NOON_MS),
        ("yesterday", 0),
        ("-5", 0),
        ("1e300", 0),
        ("9" * 400, 0),
        ("2017-13-01T12:00:00Z", 0),
        ("", 0),
    ],
)
def test_times_are_read_in_every_form_of_the_contract(
    write: Write, cell: str, time_ms: int
) -> None:
    [event] = open_csv(write(f"{HEADER}\ne1,a,page_viewed,{cell}\n"))
    assert event.time_ms == time_ms


def test_a_csv_keeps_its_order(write: Write) -> None:
    path = write(f"{HEADER}\ne1,a,page_viewed,2000000000\ne2,a,page_viewed,1000000000\n")
    assert [event.time_ms for event in open_csv(path)] == [2_000_000_000_000, 1_000_000_000_000]


def test_quotes_line_ends_and_a_byte_order_mark_are_understood(write: Write) -> None:
    path = write(f'\ufeff{HEADER},category\r\n"e,1",a,page_viewed,{NOON},"two\r\nlines"\r\n\r\n')
    [event] = open_csv(path)
    assert read(event)["event_id"] == "e,1"
    assert read(event)["properties"] == {"category": "two\r\nlines"}


def test_a_row_with_too_many_cells_goes_as_it_is(write: Write) -> None:
    [event] = open_csv(write(f"{HEADER}\ne1,a,page_viewed,{NOON},9,9\n"))
    assert event == SourceEvent("", 0, f"e1,a,page_viewed,{NOON},9,9".encode())


def test_a_row_with_too_few_cells_lacks_the_last_ones(write: Write) -> None:
    [event] = open_csv(write(f"{HEADER}\ne1,a\n"))
    assert read(event) == {"event_id": "e1", "customer_id": "a"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no header: put the names"),
        (f"{HEADER},foo,bar\n", "has unknown columns 'foo', 'bar': known columns are event_id,"),
        (f"{HEADER},foo\n", r"has .* put them under properties, as properties\.foo"),
        (f"{HEADER},properties.\n", r"has unknown columns 'properties\.'"),
        (f"{HEADER},value,properties.value\n", "has two columns for value: drop one"),
        (f"{HEADER},type\n", "has two columns for type: drop one"),
        ("event_id,type,timestamp\n", "has no column customer_id or userId: add it"),
        ("event_id,customer_id,timestamp\n", "has no column type or event: add it"),
        ("event_id,customer_id,type\n", "has no column timestamp: add it"),
        (b"event_id,caf\xe9\n", "is not UTF-8 after row 0: save it as UTF-8"),
    ],
)
def test_a_header_that_cannot_work_is_refused_in_one_line(
    write: Write, content: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=f"^events.csv {message}") as caught:
        open_csv(write(content))
    assert "\n" not in str(caught.value)


def test_a_broken_csv_tells_how_far_it_got(write: Write) -> None:
    wide = "x" * 200_000
    source = open_csv(write(f"{HEADER}\ne1,a,page_viewed,{NOON}\ne2,{wide},page_viewed,{NOON}\n"))
    with pytest.raises(SourceError, match="is not CSV after row 1: mend it"):
        list(source)


def test_a_csv_is_read_a_piece_at_a_time(write: Write) -> None:
    row = f"e1,a,page_viewed,{NOON}\n".encode()
    source = open_csv(write(f"{HEADER}\n".encode() + row * 100_000 + b"\xff"))
    assert len(list(islice(source, 10))) == 10  # the broken end is not looked at yet


def test_json_lines_go_through_byte_for_byte(write: Write) -> None:
    lines = [
        b'{ "customer_id":"a",  "timestamp":"2017-01-01T12:00:00Z"}',
        b'{"userId": 12, "timestamp": 1483272000}',
        b"not json",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        b'{"customer_id":"\\ud800","timestamp":true}',
        b'{"customer_id":["a"],"timestamp":NaN}',
        b'{"customer_id":"a","timestamp":1' + b"0" * 400 + b"}",
    ]
    events = list(open_jsonl(write(b"\r\n".join(lines) + b"\n\n")))
    assert [event.value for event in events] == lines
    assert [event.customer_id for event in events] == ["a", "12", "", "", "", "", "", "", "a"]
    assert [event.time_ms for event in events] == [NOON_MS, NOON_MS, 0, 0, 0, 0, 0, 0, 0]


def test_the_contracts_name_of_the_customer_wins_over_segments(write: Write) -> None:
    [event] = open_jsonl(write('{"userId":"segment","customer_id":"contract"}'))
    assert event.customer_id == "contract"


def test_a_byte_order_mark_is_no_part_of_the_first_line(write: Write) -> None:
    [event] = open_jsonl(write('\ufeff{"customer_id":"a"}\n'))
    assert event.value == b'{"customer_id":"a"}'


def test_a_json_array_is_refused(write: Write) -> None:
    with pytest.raises(SourceError, match="is a JSON array: write one event a line"):
        open_jsonl(write('\n [{"customer_id":"a"}]'))


def test_a_line_that_kafka_does_not_take_is_named(write: Write) -> None:
    source = open_jsonl(
        write(b"{}\n" + b"x" * MAX_LINE_BYTES + b"\n" + b"x" * (MAX_LINE_BYTES + 1))
    )
    events = iter(source)
    assert [len(next(events).value), len(next(events).value)] == [2, MAX_LINE_BYTES]
    with pytest.raises(SourceError, match="more than 1000000 bytes in line 3"):
        next(events)


def parquet(tmp_path: Path, **columns: Any) -> Path:
    pa = pytest.importorskip("pyarrow", reason="reading Parquet needs shoal[parquet]")
    module = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    cells = {name.replace("__", "."): pa.array(column) for name, column in columns.items()}
    module.write_table(pa.table(cells), path)
    return path


def test_a_parquet_row_becomes_the_event_that_csv_would_give(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        customer_id=[12.0, 13.0],
        type=["order_completed", "page_viewed"],
        timestamp=[datetime(2017, 1, 1, 12, tzinfo=UTC), None],
        value=[12.5, float("nan")],
        discount=[Decimal("1.50"), None],
        category=[b"tea", b""],
        traits__birthday=[date(1990, 5, 1), None],
    )
    source = open_parquet(path)
    first, second = source
    assert source.total == 2
    assert (first.customer_id, first.time_ms) == ("12", NOON_MS)
    assert read(first) == {
        "event_id": "events.parquet:1",
        "customer_id": "12",
        "type": "order_completed",
        "timestamp": NOON,
        "properties": {"value": 12.5, "discount": "1.50", "category": "tea"},
        "traits": {"birthday": "1990-05-01T00:00:00.000Z"},
    }
    assert second.time_ms == 0
    assert read(second) == {
        "event_id": "events.parquet:2",
        "customer_id": "13",
        "type": "page_viewed",
    }


def test_parquet_times_of_any_resolution_and_range_are_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="reading Parquet needs shoal[parquet]")
    seconds = pa.array([1_483_272_000, -5, 10**12], pa.timestamp("s"))
    path = parquet(tmp_path, customer_id=["a", "b", "c"], type=["x", "x", "x"], timestamp=seconds)
    assert [event.time_ms for event in open_parquet(path)] == [NOON_MS, 0, 0]
    nanos = pa.array([NOON_MS * 1_000_000 + 1_234_567], pa.timestamp("ns"))
    path = parquet(tmp_path, customer_id=["a"], type=["x"], timestamp=nanos)
    assert [event.time_ms for event in open_parquet(path)] == [NOON_MS + 1]


def test_unknown_parquet_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has unknown columns 'foo'"):
        open_parquet(parquet(tmp_path, customer_id=["a"], type=["x"], timestamp=[1], foo=[1]))


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="reading Parquet needs shoal[parquet]")
    path = tmp_path / "events.parquet"
    path.write_text("customer_id,type\n")
    with pytest.raises(SourceError, match="is not a Parquet file: check the path"):
        open_parquet(path)
