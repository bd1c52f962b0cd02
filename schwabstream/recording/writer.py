"""Writes recordings beside a running stream, without ever delaying it.

Frames and commands are handed over in memory. A thread scrubs, compresses and writes them at least once a second, and
each write ends a zstandard frame: a crash loses only what arrived since. While the disk is full or slow, frames wait
in memory, up to a bound; beyond it they are counted as lost, here, in the log and in the file. Only the user can read
the file (0600). An older recording of the same name is renamed after its date, never overwritten.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from schwabstream import __version__
from schwabstream.errors import ConfigurationError
from schwabstream.protocol.subscriptions import wanted
from schwabstream.protocol.symbols import Symbol
from schwabstream.recording.carry_over import CarryOver
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.recording.rotation import RecordingFile, Rotation, prune, set_aside
from schwabstream.recording.scrub import Scrubber

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

log = structlog.get_logger(__name__)

FLUSH_INTERVAL_S = 1.0
EARLY_FLUSH_BYTES = 2 * 2**20
MAX_WAITING_BYTES = 64 * 2**20
_RECORD_OVERHEAD_BYTES = 100
_ROTATION_RETRY_S = 60.0
_CHUNK = 256
_OPTIONS: dict[int, int] = {zstd.CompressionParameter.compression_level: 3, zstd.CompressionParameter.checksum_flag: 1}


class FileRecorder:
    """Records into ``path`` from its construction until :meth:`close`; a ``connection.Recorder``.

    Raises ``ConfigurationError`` when nothing can be written there. ``frames``, ``commands`` and
    ``written_bytes`` are in the file, ``frames_lost`` are not; ``header`` is written at the start of each file.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        rotation: Rotation | None = None,
        *,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.frames = self.commands = self.written_bytes = 0
        self.frames_lost = self.outages = self.rotations = 0
        self._rotation = rotation or Rotation()
        self._flush_interval_s, self._max_waiting_bytes = flush_interval_s, max_waiting_bytes
        self._monotonic, self._wall = monotonic, wall
        self._header = replace(header, part=1, part_us=header.started_us)
        self._scrubber = Scrubber()
        self._carry_over = CarryOver() if self._rotation.splits else None
        self._records: list[Record] = []
        self._waiting_bytes = 0
        self._lost = 0
        self._unwritten: bytes | None = None
        self._stuck = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._file = self._begin()
        self._rotate_at, self._no_sooner = monotonic() + self._rotation.every_s, 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def take_frame(self, frame: bytes, received_us: int) -> None:
        """Record one frame of the streamer; returns at once."""
        self._take(Record(received_us, "in", frame), len(frame))

    def take_command(self, text: str, sent_us: int) -> None:
        """Record one frame that we sent; returns at once."""
        self._take(Record(sent_us, "out", text), len(text))

    def take_symbols(self, aliases: Iterable[str], at_us: int) -> None:
        """Record that these symbols are streamed from now on; returns at once."""
        text = ",".join(aliases)
        self._take(Record(at_us, "symbols", text), len(text))

    def close(self, timeout_s: float = 2.0) -> None:
        """Write the rest, for at most ``timeout_s``."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive() or self._unwritten is not None or self._records:
            log.error("the end of the recording could not be written", file=str(self.path))

    def _take(self, record: Record, size: int) -> None:
        # Called for each frame: entering the plain lock takes half the time of entering the condition.
        with self._lock:
            before = self._waiting_bytes
            if before <= self._max_waiting_bytes:
                self._records.append(record)
                self._waiting_bytes = after = before + size + _RECORD_OVERHEAD_BYTES
                if before < EARLY_FLUSH_BYTES <= after:
                    self._changed.notify()
                return
            self._lost += 1
            self.frames_lost += 1
            if self._lost > 1:
                return
        log.warning("the recording cannot keep up; frames are missing from it", file=str(self.path))

    # -- the writing thread

    def _run(self) -> None:
        due = self._monotonic() + self._flush_interval_s
        while not self._closing:
            with self._changed:
                self._changed.wait_for(self._pressed, max(0.0, due - self._monotonic()))
            if (now := self._monotonic()) >= due:
                # Counted from when it was due: being late once must not make every later flush late.
                due = max(due + self._flush_interval_s, now)
            self._flush()
            if now >= self._no_sooner and self._rotation.is_due(self._file.size, now - self._rotate_at):
                self._rotate(now)
        self._flush()
        self._flush()  # the first may only have written what failed before
        self._file.close()

    def _pressed(self) -> bool:
        # While the disk cannot be written, only the interval wakes the thread.
        return self._closing or (not self._stuck and self._waiting_bytes >= EARLY_FLUSH_BYTES)

    def _flush(self) -> None:
        if self._unwritten is None:
            with self._changed:
                records, self._records = self._records, []
                self._waiting_bytes = 0
                lost, self._lost = self._lost, 0
            if lost:
                at_us = records[-1].at_us if records else int(self._wall() * 1e6)
                records.append(Record(at_us, "lost", str(lost)))
            if not records:
                return
            self._unwritten = self._compress(records)
        try:
            self._file.append(self._unwritten)
        except OSError as error:
            if not self._stuck:
                log.warning("cannot write the recording; frames wait", file=str(self.path), reason=error.strerror)
                self.outages += 1
            self._stuck = True
            return
        self.written_bytes += len(self._unwritten)
        self._unwritten = None
        if self._stuck:
            self._stuck = False
            log.info("the recording continues", file=str(self.path), lost=self.frames_lost)

    def _compress(self, records: list[Record]) -> bytes:
        """The records as one zstandard frame; compressing lets other threads run, so it is done in small pieces."""
        compressor = zstd.ZstdCompressor(options=_OPTIONS)
        parts = []
        for start in range(0, len(records), _CHUNK):
            clean = [self._clean(record) for record in records[start : start + _CHUNK]]
            parts.append(compressor.compress(b"".join(map(encode_record, clean))))
        parts.append(compressor.flush())
        return b"".join(parts)

    def _clean(self, record: Record) -> Record:
        payload: str | bytes = record.payload
        if record.kind == "in" and isinstance(payload, bytes):
            self.frames += 1
            payload = self._scrubber.frame(payload)
        elif record.kind == "out":
            self.commands += 1
            payload = self._scrubber.command(str(payload))
        elif record.kind == "symbols":
            self._header = replace(self._header, symbols=tuple(str(payload).split(",")))  # for the next file
        clean = record if payload is record.payload else record._replace(payload=payload)
        if self._carry_over is not None:
            self._carry_over.follow(clean)
        return clean

    # -- files

    def _begin(self) -> RecordingFile:
        """The first file; an older recording there is renamed."""
        try:
            if (aside := set_aside(self.path)) is not None:
                log.info("an older recording was renamed", file=str(aside))
            file = self._open()
        except OSError as error:
            raise ConfigurationError(f"cannot record to {self.path}: {error.strerror}") from error
        prune(self.path, self._rotation.keep)
        return file

    def _open(self) -> RecordingFile:
        """A new file with its header and the state that earlier parts left."""
        file = RecordingFile(self.path, self._header.part_us)
        repeated = self._carry_over.records(self._header.part_us) if self._carry_over is not None else []
        lines = b"".join(map(encode_record, repeated))
        try:
            file.append(zstd.compress(encode_header(self._header), options=_OPTIONS))
            if lines:
                file.append(zstd.compress(lines, options=_OPTIONS))
        except OSError:
            file.discard()
            raise
        return file

    def _rotate(self, now: float) -> None:
        """Rename the file and begin the next; when that fails, continue with the current one for a while."""
        before, self._rotate_at = self._header, now + self._rotation.every_s
        self._header = replace(before, part=before.part + 1, part_us=int(self._wall() * 1e6))
        try:
            self._file.move_aside()
            self._file, old = self._open(), self._file
        except OSError as error:
            log.warning("cannot begin another recording file", file=str(self.path), reason=error.strerror)
            self._header, self._no_sooner = before, now + _ROTATION_RETRY_S
            with contextlib.suppress(OSError):
                self._file.move_back()
            return
        old.close()
        self.rotations += 1
        prune(self.path, self._rotation.keep)


@contextlib.contextmanager
def recording_to(
    file: Path | None, rotation: Rotation | None, symbols: Sequence[Symbol], *, simulated: bool
) -> Iterator[FileRecorder | None]:
    """A recorder into ``file`` for the duration of the block; None without a file.

    Raises ``ConfigurationError`` when nothing can be written there.
    """
    if file is None:
        yield None
        return
    now_s = time.time()
    header = Header(
        version=__version__,
        symbols=tuple(symbol.alias for symbol in symbols),
        services=tuple(map(str, wanted(symbols))),
        time_zone=local_zone(now_s),
        started_us=int(now_s * 1e6),
        simulated=simulated,
    )
    recorder = FileRecorder(file, header, rotation)
    log.info("recording", file=str(file))
    try:
        yield recorder
    finally:
        recorder.close()
        log.info(
            "recorded",
            file=str(file),
            frames=recorder.frames,
            bytes=recorder.written_bytes,
            lost=recorder.frames_lost,
        )


def local_zone(at_s: float) -> str:
    """The name of this machine's time zone, or its offset at that moment when it has no name."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone()
    parts = Path("/etc/localtime").resolve().parts
    if "zoneinfo" in parts:
        name = "/".join(parts[parts.index("zoneinfo") + 1 :])
        # TZ in the environment can differ from the system's setting.
        with contextlib.suppress(ValueError, OSError, KeyError):
            if local.astimezone(ZoneInfo(name)).utcoffset() == local.utcoffset():
                return name
    return local.strftime("%z") if local.utcoffset() else "UTC"
