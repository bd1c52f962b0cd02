"""The exchanges' holidays as the calendar gets them."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from schwabstream.commands.run.holidays import compute_holidays, load_holidays


def test_the_days_that_matter_are_there() -> None:
    """Closed and half days of both exchanges, from the year before to the year after."""
    new_york, chicago = compute_holidays(2026)
    assert {date(2025, 12, 25), date(2026, 11, 26), date(2027, 1, 1)} <= new_york.closed
    assert {date(2026, 11, 27), date(2026, 12, 24)} <= new_york.half
    assert {date(2026, 4, 3), date(2026, 12, 25), date(2027, 1, 1)} <= chicago.closed
    # Globex trades until noon on days on which New York stays closed.
    assert date(2026, 9, 7) in new_york.closed
    assert date(2026, 9, 7) in chicago.half


def test_ordinary_days_are_not_holidays() -> None:
    """A week without a holiday has none, and no day is closed and half at once."""
    for holidays in compute_holidays(2026):
        week = {date(2026, 11, day) for day in range(16, 21)}
        assert not week & (holidays.closed | holidays.half)
        assert not holidays.closed & holidays.half


async def test_a_child_process_gives_the_same() -> None:
    """What the child process computed arrives unchanged."""
    assert await load_holidays(2026) == compute_holidays(2026)


async def test_the_child_gets_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child process, which needs no setting, inherits no variable of ours."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nopen({str(tmp_path / 'seen')!r}, 'w').write(' '.join(name for name in os.environ))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("SCHWAB_CLIENT_SECRET", "OTHERS"):
        monkeypatch.setenv(name, "PLANTED")
    assert await load_holidays(2026) is not None
    seen = (tmp_path / "seen").read_text().split()
    assert ("OTHERS" in seen, "SCHWAB_CLIENT_SECRET" in seen) == (True, False)


def test_the_process_that_asks_does_not_import_the_package() -> None:
    """Loading the holidays leaves the importing to the child."""
    script = (
        "import asyncio, sys; from schwabstream.commands.run.holidays import load_holidays; "
        "print(asyncio.run(load_holidays(2026)) is not None, 'holidays' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]
