"""The one line in ``.env.back``; ``.env`` never."""

import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schwabstream.auth.env_back import VARIABLE, _quoted, _with_line, drop_refresh_token, keep_refresh_token, refusal

TEMPLATE = "# comment\r\nSCHWAB_CLIENT_ID=abc\n#SCHWAB_REFRESH_TOKEN=\n\nREDIS_URL=redis://127.0.0.1:6379/0"


def test_the_line_is_set_once_and_every_other_line_is_kept(tmp_path: Path) -> None:
    """The variable gets one line, replaced in place later; comments and line ends stay as they were."""
    path = tmp_path / ".env.back"
    path.write_bytes(TEMPLATE.encode())
    assert keep_refresh_token(path, "R0.first@")
    assert path.read_bytes().decode() == f"{TEMPLATE}\n{VARIABLE}=R0.first@\n"
    assert keep_refresh_token(path, "R0.second@")
    assert path.read_bytes().decode() == f"{TEMPLATE}\n{VARIABLE}=R0.second@\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert drop_refresh_token(path)
    assert path.read_bytes().decode() == f"{TEMPLATE}\n"


def test_a_missing_file_is_made_for_the_line_alone(tmp_path: Path) -> None:
    """Without a file, keeping makes one and dropping makes none."""
    path = tmp_path / "env.back"
    assert drop_refresh_token(path)
    assert not path.exists()
    assert keep_refresh_token(path, "R0.first@")
    assert path.read_text() == f"{VARIABLE}=R0.first@\n"


def test_several_lines_become_one() -> None:
    """Doubled lines, exported ones included, end as one."""
    text = f"export {VARIABLE}='a'\nX=1\n {VARIABLE} = b\r\n"
    assert _with_line(text, f"{VARIABLE}=c") == f"{VARIABLE}=c\nX=1\n"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_any_token_reads_back_as_it_was(token: str) -> None:
    """Whatever characters a token has, the settings read the very same value."""
    from io import StringIO

    assert dotenv_values(stream=StringIO(f"{VARIABLE}={_quoted(token)}\n"), interpolate=False)[VARIABLE] == token


def test_the_env_file_is_never_written(tmp_path: Path) -> None:
    """.env is refused under its own name, through a symbolic link and through a hard link."""
    env = tmp_path / ".env"
    (tmp_path / "soft").symlink_to(env)
    (tmp_path / "hard").hardlink_to(env)
    for path in (Path(".env"), env, tmp_path / "soft", tmp_path / "hard", tmp_path / "sub" / ".env"):
        with capture_logs() as logs:
            assert not keep_refresh_token(path, "R0.first@")
        assert "never written" in logs[0]["reason"]
        assert "SCHWAB_ENV_BACK_PATH" in logs[0]["reason"]
    (tmp_path / "hard").unlink()


def test_a_file_that_git_tracks_is_refused(tmp_path: Path) -> None:
    """A token is never written to a file that the next commit would include."""
    path = tmp_path / "repo" / ".env.back"
    path.parent.mkdir()
    path.write_text(TEMPLATE)
    subprocess.run(["git", "init", "-q", str(path.parent)], check=True)
    assert refusal(path) is None
    subprocess.run(["git", "-C", str(path.parent), "add", "-f", ".env.back"], check=True)
    with capture_logs() as logs:
        assert not keep_refresh_token(path, "R0.first@")
    assert "git tracks" in logs[0]["reason"]
    assert "SCHWAB_ENV_BACK_PATH" in logs[0]["reason"]
    assert "R0.first@" not in str(logs)
    assert path.read_bytes() == TEMPLATE.encode()


def test_git_gets_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The git that is asked inherits no variable of ours."""
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\nexit 1\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("SCHWAB_CLIENT_SECRET", "OTHERS"):
        monkeypatch.setenv(name, "PLANTED")
    assert refusal(tmp_path / "env.back") is None
    assert [line for line in (tmp_path / "seen").read_text().splitlines() if "PLANTED" in line] == ["OTHERS=PLANTED"]


def test_without_git_nothing_is_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git can keep the line."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert keep_refresh_token(tmp_path / "env.back", "R0.first@")


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A missing directory or a directory in its place is a warning, never a failed login."""
    for path in (tmp_path / "none" / "env.back", tmp_path):
        with capture_logs() as logs:
            assert not keep_refresh_token(path, "R0.first@")
        assert logs[0]["log_level"] == "warning"
