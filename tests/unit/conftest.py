"""What the tests of screens share: drawing at the widths that count, and the pictures they must equal."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

SCREENS = Path(__file__).parents[1] / "fixtures" / "screens"
WIDTHS = (60, 80, 120, 200)

Snapshot = Callable[[str, Callable[[], RenderableType]], None]


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
