"""The ``SCHWAB_REFRESH_TOKEN=`` line in ``.env.back``, for users who want one; every other line is kept.

Never writes ``.env``, whatever name leads to it, and never a file that git tracks: a token must not end up in a commit.
"""

import re
import subprocess
from pathlib import Path

import structlog

from schwabstream.auth.files import read_private, replace_file
from schwabstream.settings import foreign_environment

log = structlog.get_logger(__name__)

VARIABLE = "SCHWAB_REFRESH_TOKEN"
_LINE = re.compile(rf"^[ \t]*(?:export[ \t]+)?{VARIABLE}[ \t]*=")
_GIT_TIMEOUT_S = 10


def keep_refresh_token(path: Path, refresh_token: str) -> bool:
    """Set the line; return whether the file now holds the token. A refusal is logged with the next step."""
    return _rewrite(path, f"{VARIABLE}={_quoted(refresh_token)}")


def drop_refresh_token(path: Path) -> bool:
    """Remove the line; return whether the file is now without it."""
    return _rewrite(path, None)


def refusal(path: Path) -> str | None:
    """Return why this file must not hold a token, or None when it may."""
    elsewhere = "point SCHWAB_ENV_BACK_PATH to another file, for example .tokens/env.back"
    target = path.expanduser().resolve()
    if target.name == ".env" or (target.exists() and _is_the_env_file(target)):
        return f"{path} is .env, which is never written; {elsewhere}"
    if target.exists() and not target.is_file():
        return f"{path} is not a file; {elsewhere}"
    if _git_tracks(target):
        return f"git tracks {path}, and a token must not be committed; {elsewhere}"
    return None


def _rewrite(path: Path, line: str | None) -> bool:
    if reason := refusal(path):
        log.warning("the refresh token is not kept in the environment file", reason=reason)
        return False
    target = path.expanduser().resolve()
    try:
        read = read_private(target) if line is not None or target.exists() else None
        before = read[0] if read else b""
        after = _with_line(before.decode("utf-8", "surrogateescape"), line).encode("utf-8", "surrogateescape")
        if after != before:
            replace_file(target, after)
    except OSError as error:
        log.warning("the refresh token cannot be kept in the environment file", path=str(path), reason=error.strerror)
        return False
    return True


def _with_line(text: str, line: str | None) -> str:
    """Return the text with the variable's first line replaced, its further lines gone, and every other line as is."""
    kept: list[str] = []
    pending = line
    for old in text.splitlines(keepends=True):
        if not _LINE.match(old):
            kept.append(old)
        elif pending is not None:
            kept.append(pending + old[len(old.rstrip("\r\n")) :])
            pending = None
    if pending is not None:
        if kept and not kept[-1].endswith(("\n", "\r")):
            kept[-1] += "\n"
        kept.append(f"{pending}\n")
    return "".join(kept)


def _quoted(value: str) -> str:
    """Quote a value that a reader of such files could misread."""
    if re.fullmatch(r"[A-Za-z0-9._@+/=:-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _is_the_env_file(target: Path) -> bool:
    here = Path(".env")
    return here.exists() and target.samefile(here)


def _git_tracks(target: Path) -> bool:
    directory = target.parent
    if not directory.is_dir():
        return False
    command = ["git", "-C", str(directory), "ls-files", "--error-unmatch", "--", target.name]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, the name after "--"
            command, capture_output=True, env=foreign_environment(), timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
