"""What unit tests may not do, and what the tests of screens share: drawing at several widths, and the kept pictures."""

import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console, RenderableType

SCREENS = Path(__file__).parents[1] / "fixtures" / "screens"
WIDTHS = (60, 80, 120, 200)

FORBIDDEN = {
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"),
    *("socket.bind", "socket.connect"),
}
"""Python's audit events of a process or a connection."""

Snapshot = Callable[[str, Callable[[], RenderableType]], None]


class _Unit:
    """What was refused to the running unit test; None while no unit test runs."""

    refused: ClassVar[list[str] | None] = None

    @classmethod
    def hear(cls, event: str, arguments: tuple[object, ...]) -> None:
        """Refuse a process or a connection."""
        if event in FORBIDDEN and cls.refused is not None:
            cls.refused.append(f"{event}{arguments}")
            raise AssertionError(f"{RULE}: {event}{arguments}")


RULE = "a test in tests/unit starts no process and uses no socket; move it to tests/integration"
sys.addaudithook(_Unit.hear)


@pytest.fixture(autouse=True)
def refused() -> Iterator[list[str]]:
    """Fail a unit test that starts a process or uses a socket, also when it survives the refusal."""
    refused: list[str] = []
    _Unit.refused = refused
    yield refused
    _Unit.refused = None
    assert refused == [], RULE


def draw(renderable: RenderableType, width: int, *, colour: bool) -> str:
    """The renderable on a screen of that width."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local zone is UTC, so that times of day are the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def snapshot(utc: None) -> Snapshot:
    """Hold what is drawn, at every width, plain and in colour, to the picture kept; to renew one, delete it and run."""

    def check(name: str, build: Callable[[], RenderableType]) -> None:
        for colour, suffix in ((False, "txt"), (True, "ansi")):
            drawn = "".join(f"--- {width} columns\n{draw(build(), width, colour=colour)}" for width in WIDTHS)
            path = SCREENS / f"{name}.{suffix}"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_text(drawn, encoding="utf-8")
                pytest.fail(f"{path.name} was not there and is written now: look at it, then keep it")
            assert drawn == path.read_text(encoding="utf-8")

    return check
