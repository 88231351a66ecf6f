"""Events from a file: CSV, JSON Lines or Parquet, read a piece at a time.

A file's own order is kept: sorting would need all of it in memory. What the event contract would
refuse passes through, so that it shows up among the rejected events with its reason.

Empty cells of CSV and Parquet are absent. A file of these without a column for the event id gets
ids made of its name and the row's number (from 1): feeding it twice gives the same ids.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.events import LAST_MS
from stream.rows import Table, read_header, read_object
from stream.sources import SourceError, SourceEvent, rfc3339

# What Kafka and aiokafka take by default, less room for key and headers.
MAX_LINE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class CsvFile:
    """Events of a CSV file: UTF-8, commas, names in the first line."""

    path: Path
    table: Table
    total: None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def __iter__(self) -> Iterator[SourceEvent]:
        width = len(self.table.columns)
        for row, cells in enumerate(_records(self.path)):
            if row == 0 or not cells:
                continue
            if len(cells) > width:
                # Nobody can say which cell is which: the row goes as it is, to be rejected.
                yield SourceEvent("", 0, ",".join(cells).encode())
            else:
                yield self.table.event(row, cells)


@dataclass(frozen=True, slots=True)
class JsonLinesFile:
    """Events of a file with one JSON object a line, byte for byte; blank lines are left out."""

    path: Path
    total: None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def __iter__(self) -> Iterator[SourceEvent]:
        return map(read_object, _lines(self.path))


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """Events of a Parquet file; times without zone are UTC."""

    path: Path
    table: Table
    total: int

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def __iter__(self) -> Iterator[SourceEvent]:
        pa = _pyarrow(self.name)
        row = 0
        try:
            with pa.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=8192):
                    for cells in zip(*(_values(pa, c) for c in batch.columns), strict=True):
                        row += 1
                        yield self.table.event(row, cells)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                self.name, f"cannot be read after row {row}: write the file again ({error})"
            ) from error


def open_csv(path: Path) -> CsvFile:
    """Events of a CSV file.

    Raises
    ------
    SourceError
        No header, or one with unknown, missing or repeated columns.
    """
    header = next(_records(path), None)
    if not header:
        raise SourceError(
            path.name, "has no header: put the names of the columns in its first line"
        )
    return CsvFile(path, read_header(path.name, header))


def open_jsonl(path: Path) -> JsonLinesFile:
    """Events of a JSON Lines file.

    Raises
    ------
    SourceError
        It is one JSON array.
    """
    first = next(_lines(path), b"")
    if first.lstrip().startswith(b"["):
        raise SourceError(path.name, "is a JSON array: write one event a line, without the array")
    return JsonLinesFile(path)


def open_parquet(path: Path) -> ParquetFile:
    """Events of a Parquet file.

    Raises
    ------
    SourceError
        pyarrow is missing, it is not a Parquet file, or its columns are not an event's.
    """
    pa = _pyarrow(path.name)
    try:
        with pa.parquet.ParquetFile(path) as file:
            names, total = file.schema_arrow.names, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SourceError(path.name, f"is not a Parquet file: check the path ({error})") from error
    return ParquetFile(path, read_header(path.name, names), total)


def _records(path: Path) -> Iterator[list[str]]:
    row = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row, cells in enumerate(csv.reader(file)):  # noqa: B007  (told by the errors)
                yield cells
    except UnicodeDecodeError as error:
        raise SourceError(path.name, f"is not UTF-8 after row {row}: save it as UTF-8") from error
    except csv.Error as error:
        raise SourceError(path.name, f"is not CSV after row {row}: mend it ({error})") from error


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 2):
            number += 1
            text = line.rstrip(b"\r\n")
            if len(text) > MAX_LINE_BYTES:
                raise SourceError(
                    path.name,
                    f"has more than {MAX_LINE_BYTES} bytes in line {number}, which Kafka does not "
                    "take: split the line or take it out",
                )
            if number == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            if text.strip():
                yield text


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as missing:
        raise SourceError(
            name, f"needs the package {missing.name}: pip install 'shoal[parquet]'"
        ) from missing
    return pyarrow


def _values(pa: Any, column: Any) -> list[object]:
    """Cells of a column as Python values, times as RFC 3339."""
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return list(column.to_pylist())
    moments = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_pylist()
    return [
        rfc3339(moment) if moment is not None and 0 < moment <= LAST_MS else moment
        for moment in moments
    ]
