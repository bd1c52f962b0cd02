"""A small private file, replaced whole or not at all.

The new content is written next to the target under a temporary name, synced and renamed, and the directory is synced.
A reader sees the old content or the new, never a mixture, even after a crash. Modes are 0600 and 0700 from the moment
of creation. Raises plain ``OSError``: the callers can name the file's purpose.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
OTHERS_MAY_READ = 0o077
_LARGEST = 4 << 20
_MOST_NAMES = 1000


def make_private_directory(directory: Path) -> None:
    """Create the directory and its missing parents, all of them 0700; an existing one keeps its mode."""
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(directory))
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=PRIVATE_DIRECTORY)


def close_directory(directory: Path) -> bool:
    """Remove other users' access to a directory of ours; return whether they had any.

    Directories that other users or programs may need are left alone: the home and working directories, their
    parents, and shared ones such as ``/tmp``.
    """
    status = directory.stat()
    own = status.st_uid == os.getuid() and not status.st_mode & stat.S_ISVTX
    places = (Path.cwd(), Path.home())
    if not own or not status.st_mode & OTHERS_MAY_READ or any(place.is_relative_to(directory) for place in places):
        return False
    directory.chmod(PRIVATE_DIRECTORY)
    return True


def read_private(path: Path) -> tuple[bytes, bool] | None:
    """Return the file's bytes and whether other users could read it until now; None when it does not exist.

    Its mode is set to 0600. Anything but a regular file is an ``IsADirectoryError``.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file", str(path))
        # O_NONBLOCK: should it become a named pipe meanwhile, opening it must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        was_open = bool(status.st_mode & OTHERS_MAY_READ) and status.st_uid == os.getuid()
        if was_open:
            os.fchmod(descriptor, PRIVATE_FILE)
        return file.read(_LARGEST), was_open


def temporaries_in(directory: Path, prefix: str) -> list[Path]:
    """Return what interrupted :func:`replace_file` calls left for targets whose name begins with ``prefix``.

    In a directory that others can write to, such as ``/tmp``, a file of that name can be theirs: it is not returned.
    """
    entries = [entry for entry in directory.iterdir() if entry.suffix == ".tmp"]
    return [entry for entry in entries if entry.name.startswith(f".{prefix}") and _is_private(entry)]


def _is_private(path: Path) -> bool:
    """Whether this is a regular file of our user with the mode that :func:`replace_file` sets, and not a link."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.getuid() and status.st_mode == stat.S_IFREG | PRIVATE_FILE


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, durably, mode 0600; the old content stays until the new one is on the disk.

    ``path`` must be resolved already: a rename replaces a symbolic link, not what it points to.
    """
    with _written_beside(path, content) as temporary:
        temporary.replace(path)
    sync_directory(path.parent)


def prove_replaceable(path: Path, size: int) -> None:
    """Raise the error that :func:`replace_file` would raise for ``size`` bytes; change nothing."""
    with _written_beside(path, bytes(size)):
        pass


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """A private temporary file with this content; deleted after the block, unless the block renames it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def keep_aside(path: Path, suffix: str, *, most_names: int = _MOST_NAMES) -> Path:
    """Give the file a second name, its own plus ``.suffix``; the caller then replaces or removes the first.

    The caller holds the lock that keeps others from setting the same file aside.
    """
    for attempt in range(most_names):
        aside = path.with_name(f"{path.name}.{suffix}{f'-{attempt}' if attempt else ''}")
        if aside.exists():
            continue
        try:
            os.link(path, aside)
        except OSError:
            shutil.copy2(path, aside)  # a file system without hard links
        return aside
    raise FileExistsError(errno.EEXIST, "too many files set aside", str(path))


def sync_directory(directory: Path) -> None:
    """Make renames in the directory survive a power cut, where the file system supports that."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Some network file systems cannot sync a directory; the rename itself has happened.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
