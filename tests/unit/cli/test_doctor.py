"""The findings of ``doctor`` on a terminal and in a pipe."""

import pytest

from schwabstream.cli.doctor import print_diagnosis
from schwabstream.commands.doctor.findings import Diagnosis, failed, ok

FINDINGS = (ok("settings", "all have their defaults"), failed("login", "no login", "run schwabstream auth login", 3))


def test_quiet_shows_only_what_needs_a_fix(capsys: pytest.CaptureFixture[str]) -> None:
    """With --quiet a finding without a fix and the version are left out; without findings nothing is printed."""
    print_diagnosis(Diagnosis(FINDINGS, {}), fixes_only=True)
    assert capsys.readouterr().out == "failed    login  no login\n                 -> run schwabstream auth login\n"
    print_diagnosis(Diagnosis(FINDINGS[:1], {}), fixes_only=True)
    assert capsys.readouterr().out == ""


def test_a_pipe_gets_a_finding_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a long finding stays on its line, for grep."""
    print_diagnosis(Diagnosis((ok("settings", "word " * 200),), {}), fixes_only=False)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_terminal_gets_lines_broken_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a finding is wrapped at its width, between words, below its own column."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_diagnosis(Diagnosis((ok("settings", "schwabstream-with-hyphens " * 6),), {}), fixes_only=False)
    _, first, *rest = capsys.readouterr().out.splitlines()
    pair = "schwabstream-with-hyphens schwabstream-with-hyphens"  # three do not fit into 80 columns
    assert first.endswith(f"settings  {pair}")
    assert rest == [" " * 20 + pair] * 2
