"""The token file: read, written whole or not at all, locked across processes, repaired from snapshots.

Nothing is ever deleted: a corrupt file is moved aside, an older format is renamed ``*.legacy-<time>``, a forgotten
login stays as a snapshot. Does not use the network, and does not judge the tokens it keeps.
"""

import asyncio
import contextlib
import errno
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from schwabstream.auth import files
from schwabstream.auth.encoding import TokenCipher, decode, encode, is_encrypted
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import TokenFileError
from schwabstream.settings import Settings

log = structlog.get_logger(__name__)

SNAPSHOTS_KEPT = 10
LOCK_TIMEOUT_S = 30.0
_LOCK_POLL_S = 0.05
_LARGER_AT_MOST = 4096  # bytes by which one refresh makes the file grow
_ELSEWHERE = "point SCHWAB_TOKEN_PATH to a place that can be written"
_NOT_A_FILE = "SCHWAB_TOKEN_PATH must name a file, and its parents must be directories"
_NEXT_STEPS = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your disk quota",
    errno.EACCES: f"give yourself access to it, or {_ELSEWHERE}",
    errno.EPERM: f"give yourself access to it, or {_ELSEWHERE}",
    errno.EROFS: _ELSEWHERE,
    errno.EISDIR: _NOT_A_FILE,
    errno.ENOTDIR: _NOT_A_FILE,
    errno.EEXIST: _NOT_A_FILE,
    errno.ELOOP: "its symbolic links form a loop",
}


class TokenStore:
    """The only place where a login is on disk.

    Use one store per token file in a process. Every failure is a ``TokenFileError`` with the next step in its message,
    and leaves what was stored before intact.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: str | None = None,
        clock: Callable[[], float] = time.time,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        """Set the path, without touching the file. With a ``key`` the file is written encrypted."""
        with _explained("use", path):
            self.path = _resolved(path)
        self.snapshots_directory = self.path.parent / "snapshots"
        self._cipher = TokenCipher(key, self.path) if key else None
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        # Not bound to a thread: the event loop may be left and entered while the lock is held.
        lock_path = self.path.with_name(f"{self.path.name}.lock")
        self._lock = FileLock(lock_path, mode=files.PRIVATE_FILE, thread_local=False)

    @property
    def encrypted(self) -> bool:
        """Whether the file is written encrypted."""
        return self._cipher is not None

    def load(self) -> TokenSet | None:
        """Return the stored login, or None when nobody is logged in.

        Older formats are upgraded, and a corrupt file is replaced by the newest good snapshot, each with a warning in
        the log. Under :meth:`lock` a file that an interrupted process had finished writing is put in place.
        """
        if self._lock.is_locked:
            self._settle_temporaries(self._peek(self.path))
        with _explained("read", self.path):
            content = self._read(self.path)
            if content is None:
                return None
            try:
                found = decode(content, self.path, self._cipher)
            except ValueError as error:
                return self._recover(str(error))
            if found.is_legacy:
                return self._upgrade()
            if self._cipher and not is_encrypted(content):
                self._encrypt_all()
            return found.tokens

    def save(self, tokens: TokenSet) -> None:
        """Store the login durably and leave a snapshot of it; the newest ten snapshots are kept."""
        with self.lock(), _explained("write", self.path):
            self._settle_temporaries(tokens)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            content = encode(tokens, self._cipher)
            files.replace_file(self.path, content)
            try:
                self._keep_snapshot(content)
            except OSError as error:  # the login itself is safe by now
                log.warning("no snapshot of the token file could be kept", reason=error.strerror)

    def prove_writable(self) -> None:
        """Raise ``TokenFileError`` when the stored login could not be replaced now; without one do nothing.

        Does not lock: only the space on the disk is tested.
        """
        with _explained("write", self.path):
            if self.path.is_file():
                files.prove_replaceable(self.path, self.path.stat().st_size + _LARGER_AT_MOST)

    def forget(self) -> Path | None:
        """Remove the login and return its snapshot; None when nobody was logged in."""
        if not self.path.exists():
            return None
        with self.lock(), _explained("forget", self.path):
            content = self._read(self.path)
            if content is None:
                return None
            kept = self._keep_snapshot(content)
            self.path.unlink()
            files.sync_directory(self.path.parent)
            return kept

    def snapshots(self) -> list[Path]:
        """Return the snapshots of this file, newest first."""
        with _explained("list the snapshots of", self.path):
            if not self.snapshots_directory.is_dir():
                return []
            entries = self.snapshots_directory.glob("*.json")
            return sorted((entry for entry in entries if entry.name.startswith(f"{self.path.stem}-")), reverse=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this file's lock across processes; the error after too long a wait names the process that holds it."""
        self._prepare_directory()
        with _explained("lock", self.path):
            try:
                self._lock.acquire(timeout=self._lock_timeout_s, poll_interval=_LOCK_POLL_S)
            except Timeout:
                raise self._held_by_another() from None
        with self._held():
            yield

    @contextlib.asynccontextmanager
    async def lock_async(self) -> AsyncIterator[None]:
        """Do the same without blocking the event loop; does not exclude other tasks of this process."""
        self._prepare_directory()
        deadline = time.monotonic() + self._lock_timeout_s
        while not self._try_lock():
            if time.monotonic() >= deadline:
                raise self._held_by_another()
            await asyncio.sleep(_LOCK_POLL_S)
        with self._held():
            yield

    def _try_lock(self) -> bool:
        with _explained("lock", self.path):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
        return True

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        try:
            # Only a note for the error message: the lock is the kernel's and ends with the process.
            with contextlib.suppress(OSError), Path(self._lock.lock_file).open("r+", encoding="utf-8") as note:
                note.truncate(note.write(f"process {os.getpid()} ({Path(sys.argv[0]).name})\n"))
            yield
        finally:
            self._lock.release()

    def _held_by_another(self) -> TokenFileError:
        holder = ""
        with contextlib.suppress(OSError):
            holder = Path(self._lock.lock_file).read_text(encoding="utf-8", errors="replace").strip()[:80]
        return TokenFileError(
            f"the token file {self.path} has been locked by {holder or 'another process'} for more than "
            f"{self._lock_timeout_s:g} s; let it finish or stop it, then try again"
        )

    def _prepare_directory(self) -> None:
        with _explained("use the directory of", self.path):
            files.make_private_directory(self.path.parent)
            if files.close_directory(self.path.parent):
                log.warning(
                    "the token directory was open to other users and is now private", path=str(self.path.parent)
                )

    def _read(self, path: Path) -> bytes | None:
        read = files.read_private(path)
        if read and read[1]:
            log.warning("the token file was open to others and is now private", path=str(path))
        return read and read[0]

    def _peek(self, path: Path) -> TokenSet | None:
        """Return the login that a file holds, None when it cannot be read."""
        try:
            content = self._read(path)
            return None if content is None else decode(content, path, self._cipher).tokens
        except (OSError, ValueError, TokenFileError):
            return None

    def _settle_temporaries(self, current: TokenSet | None) -> None:
        """Use or delete the temporary files of interrupted processes; under the lock nobody else can be writing."""
        with _explained("clean up next to", self.path):
            for temporary in files.temporaries_in(self.path.parent, f"{self.path.name}."):
                left = self._peek(temporary)
                # A complete temporary file can hold the only copy of a token that Schwab has just issued.
                if left and (current is None or _age_order(left) > _age_order(current)):
                    temporary.replace(self.path)
                    current = left
                else:
                    temporary.unlink()
            if self.snapshots_directory.is_dir():
                for temporary in files.temporaries_in(self.snapshots_directory, f"{self.path.stem}-"):
                    temporary.unlink()

    def _recover(self, reason: str) -> TokenSet | None:
        """Move the corrupt file aside and put the newest good snapshot in its place."""
        with self.lock(), _explained("repair", self.path):
            if repaired := self._peek(self.path):
                return repaired
            aside = files.keep_aside(self.path, f"corrupt-{self._stamp()}")
            for snapshot in self.snapshots():
                if tokens := self._peek(snapshot):
                    files.replace_file(self.path, snapshot.read_bytes())
                    log.warning(
                        "the token file was damaged; its newest good snapshot is restored",
                        reason=reason,
                        damaged=str(aside),
                        snapshot=snapshot.name,
                    )
                    return tokens
            self.path.unlink(missing_ok=True)
            log.warning("the token file was damaged and has no good snapshot", reason=reason, damaged=str(aside))
            return None

    def _upgrade(self) -> TokenSet | None:
        """Rewrite an older format; the original stays as ``*.legacy-<time>``."""
        with self.lock():
            content = self._read(self.path)
            if content is None:
                return None
            found = decode(content, self.path, self._cipher)
            if found.is_legacy:
                original = files.keep_aside(self.path, f"legacy-{self._stamp()}")
                self.save(found.tokens)
                age = "in the file" if found.tokens.login_at else "unknown: its 7 days may end at any time"
                what = {"format": found.format, "original": str(original), "login_age": age}
                log.warning("an older token file was upgraded", **what)
            return found.tokens

    def _encrypt_all(self) -> None:
        """Encrypt the file and its snapshots, which were written before a key was set."""
        with self.lock():
            for path in (self.path, *self.snapshots()):
                content = self._read(path)
                if content and not is_encrypted(content) and (tokens := self._peek(path)):
                    files.replace_file(path, encode(tokens, self._cipher))
            log.info("the token file and its snapshots are encrypted from now on", path=str(self.path))

    def _keep_snapshot(self, content: bytes) -> Path:
        files.make_private_directory(self.snapshots_directory)
        earlier = self.snapshots()
        if earlier and earlier[0].read_bytes() == content:
            return earlier[0]
        snapshot = self.snapshots_directory / f"{self.path.stem}-{self._stamp()}.json"
        files.replace_file(snapshot, content)
        for old in self.snapshots()[SNAPSHOTS_KEPT:]:
            old.unlink(missing_ok=True)
        return snapshot

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def open_store(settings: Settings, *, clock: Callable[[], float] = time.time) -> TokenStore:
    """Return the token store that the settings name, encrypted when they hold a key."""
    key = settings.schwab_token_key
    return TokenStore(settings.schwab_token_path, key=key.get_secret_value() if key else None, clock=clock)


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except RuntimeError:  # a circle of links, or an unknown home directory
        raise OSError(errno.ELOOP, "cannot be resolved") from None


def _age_order(tokens: TokenSet) -> tuple[float, float]:
    """Later logins after earlier ones, then later refreshes after earlier ones."""
    return (tokens.login_at or 0, tokens.expires_at)


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn an error of the system into one sentence with the next step."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        step = _NEXT_STEPS.get(error.errno or 0, "check that disk and SCHWAB_TOKEN_PATH")
        raise TokenFileError(f"cannot {action} the token file {path}: {reason}; {step}") from error
