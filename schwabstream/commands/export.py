"""``stream export``: writes recordings as tables for pandas, polars and similar tools."""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from schwabstream.errors import ConfigurationError
from schwabstream.events import Channel
from schwabstream.logs import configure_logging
from schwabstream.recording.columns import TABLES, rows
from schwabstream.recording.playback import Playback
from schwabstream.recording.reader import Recording
from schwabstream.recording.tables import FORMATS, TableFile, table_file
from schwabstream.terminal.progress import progress

log = structlog.get_logger(__name__)

_RECORDS_PER_LOOK = 500


@dataclass(slots=True)
class Exported:
    """The number of rows written to each file, and the damage found in the recordings."""

    rows: dict[Path, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def export(files: list[Path], form: str, out: Path, *, replace: bool = False, verbosity: int = 0) -> Exported:
    """Write ticks, books and bars of the recordings, in the order they were made, into the directory ``out``.

    ``form`` is one of ``FORMATS``. Raises ``ConfigurationError`` for a file that is not a recording, for a table
    that exists without ``replace``, and when pyarrow is missing.
    """
    configure_logging(verbosity=verbosity)
    if form not in FORMATS:
        raise ConfigurationError(f"cannot export to {form!r}: choose {' or '.join(FORMATS)}")
    exported = Exported()
    ordered = _ordered(files)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write into {out}: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        tables = {
            channel: stack.enter_context(table_file(out, table, form, replace=replace))
            for channel, table in TABLES.items()
        }
        _fill(tables, ordered, exported)
    exported.rows = {table.path: table.rows for table in tables.values()}
    return exported


def _ordered(files: list[Path]) -> list[Path]:
    """The files by start time; raises ``ConfigurationError`` for one that is not a recording."""
    began: dict[Path, int] = {}
    for path in files:
        with Recording(path) as recording:
            began[path] = recording.header.part_us
    return sorted(began, key=lambda path: began[path])


def _fill(tables: dict[Channel, TableFile], files: list[Path], exported: Exported) -> None:
    counts: Counter[Channel] = Counter()

    def deliver(channel: Channel, event: dict[str, Any]) -> None:
        counts[channel] += 1
        for row in rows(channel, event, counts[channel]):
            tables[channel].add(row)

    playback = Playback(deliver)
    before = 0
    with progress("exporting", sum(path.stat().st_size for path in files)) as show:
        for path in files:
            with Recording(path) as recording:
                for number, item in enumerate(recording.items()):
                    playback.take(item)
                    if number % _RECORDS_PER_LOOK == 0:
                        show(before + recording.position)
                before += recording.size
                exported.problems += (f"{path}: {problem}" for problem in recording.problems)
        show(before)
    for problem in exported.problems:
        log.warning("the recording is damaged; the rest of it was exported", problem=problem)
