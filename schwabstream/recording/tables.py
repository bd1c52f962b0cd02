"""Rows of typed columns → files: parquet (needs the extra ``export``) and CSV.

A file gets its name when it is complete; until then it ends in ``.part``. In CSV moments are ISO 8601 in UTC, venues
are JSON, and unknown values are empty. Raises ``ConfigurationError`` when a file cannot be written.
"""

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson

from schwabstream.errors import ConfigurationError
from schwabstream.recording.columns import Kind, Table

FORMATS = ("parquet", "csv")
_ROWS_AT_ONCE = 20_000

Row = tuple[Any, ...]
Write = Callable[[Sequence[Row]], None]


class TableFile:
    """One table's file; rows are collected and written in groups."""

    def __init__(self, path: Path, write: Write) -> None:
        self.path = path
        self.rows = 0
        self._write = write
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        """Add one row."""
        self._waiting.append(row)
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows."""
        self._write(self._waiting)
        self.rows += len(self._waiting)
        self._waiting.clear()


@contextlib.contextmanager
def table_file(directory: Path, table: Table, form: str, *, replace: bool) -> Iterator[TableFile]:
    """The file of one table in ``directory``; kept when the block succeeds. Replaces a file only with ``replace``."""
    path = directory / f"{table.name}.{form}"
    part = path.with_name(f"{path.name}.part")
    if path.exists() and not replace:
        raise ConfigurationError(f"{path} exists: choose another --out, or use --force to replace it")
    opener = _parquet if form == "parquet" else _csv
    try:
        with opener(part, table) as write:
            file = TableFile(path, write)
            yield file
            file.flush()
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


# -- CSV


@contextlib.contextmanager
def _csv(path: Path, table: Table) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        yield _csv_rows(file, table)


def _csv_rows(file: TextIO, table: Table) -> Write:
    writer = csv.writer(file)
    writer.writerow(table.columns)
    forms = [(place, _FORMS[kind]) for place, kind in enumerate(table.columns.values()) if kind in _FORMS]

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            cells = list(row)
            for place, form in forms:
                if cells[place] is not None:
                    cells[place] = form(cells[place])
            writer.writerow(cells)

    return write


def _iso(seconds: float, unit: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=unit).replace("+00:00", "Z")


_FORMS: dict[Kind, Callable[[Any], str]] = {
    "ms": lambda value: _iso(value / 1e3, "milliseconds"),
    "us": lambda value: _iso(value / 1e6, "microseconds"),
    "bool": lambda value: "true" if value else "false",
    "venues": lambda value: orjson.dumps(value).decode(),
}


# -- parquet


@contextlib.contextmanager
def _parquet(path: Path, table: Table) -> Iterator[Write]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError("parquet needs pyarrow: pip install pyarrow, or export with --to csv") from None
    venue = pa.struct([("id", pa.string()), ("size", pa.int64()), ("time_ms", pa.int64())])
    kinds: dict[Kind, Any] = {
        "text": pa.dictionary(pa.int32(), pa.string()),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ms": pa.timestamp("ms", tz="UTC"),
        "us": pa.timestamp("us", tz="UTC"),
        "venues": pa.list_(venue),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in table.columns.items()])

    def write(rows: Sequence[Row]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write
