"""``stream export``: writes recordings as tables for pandas, polars and similar tools."""

import contextlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schwabstream.errors import ConfigurationError
from schwabstream.events import Channel
from schwabstream.logs import configure_logging
from schwabstream.recording.columns import TABLES, rows
from schwabstream.recording.playback import Playback
from schwabstream.recording.reader import Recordings
from schwabstream.recording.tables import FORMATS, TableFile, table_file
from schwabstream.terminal.progress import progress


@dataclass(frozen=True, slots=True)
class Exported:
    """The number of rows written to each file, and the damage found in the recordings."""

    rows: dict[Path, int]
    problems: list[str]


def export(files: list[Path], form: str, out: Path, *, replace: bool = False, verbosity: int = 0) -> Exported:
    """Write ticks, books and bars of the recordings, in the order they were made, into the directory ``out``.

    ``form`` is one of ``FORMATS``. Raises ``ConfigurationError`` for a file that is not a recording, for an
    existing table unless ``replace``, and when pyarrow is missing.
    """
    configure_logging(verbosity=verbosity)
    if form not in FORMATS:
        raise ConfigurationError(f"cannot export to {form!r}: choose {' or '.join(FORMATS)}")
    recordings = Recordings(files)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write into {out}: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        tables = {
            channel: stack.enter_context(table_file(out, table, form, replace=replace))
            for channel, table in TABLES.items()
        }
        _fill(tables, recordings)
    return Exported({table.path: table.rows for table in tables.values()}, recordings.problems)


def _fill(tables: dict[Channel, TableFile], recordings: Recordings) -> None:
    counts: Counter[Channel] = Counter()

    def deliver(channel: Channel, event: dict[str, Any]) -> None:
        if channel not in tables:
            return
        counts[channel] += 1
        for row in rows(channel, event, counts[channel]):
            tables[channel].add(row)

    playback = Playback(deliver)
    with progress("exporting", recordings.size) as show:
        for item in recordings.items(show):
            playback.take(item)
