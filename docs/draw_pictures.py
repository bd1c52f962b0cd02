"""Draws the pictures of the documentation from the program itself: it runs on a pseudo-terminal, against the simulator.

``python docs/draw_pictures.py`` writes the stills and the moving picture, ``demo.svg``, into docs/pictures.
"""  # noqa: INP001 - a script, not part of the package

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import pyte
from pyte.screens import Char

PICTURES = Path(__file__).parent / "pictures"
SYMBOLS = ["/NQ:XCME", "/MES:XCME", "AAPL", "NVDA", "AMD"]
STREAM = "schwabstream stream run --simulate"
QUOTE = f"schwabstream quote {' '.join(SYMBOLS)}"
BOOK = "schwabstream book NVDA"
DOWN = "\x1b[B"
COLUMNS, ROWS = 54, 15  # what a phone can show: 360 pixels wide, letters of 10 pixels
LIMIT_S, TYPED_PER_S = 30.0, 14
CELL, LINE, FONT_SIZE, MARGIN, BAR = 9.6, 20.0, 16, 14.0, 30.0
BACKGROUND, FOREGROUND = "#14181f", "#d5dae2"
COLOURS = {
    "black": "#5b6472", "red": "#ff6b6b", "green": "#4fd08a", "brown": "#e6b450", "yellow": "#e6b450",
    "blue": "#6ba6ff", "magenta": "#c792ea", "cyan": "#59c2cf", "white": "#d5dae2", "brightblack": "#7d8796",
    "brightred": "#ff8b8b", "brightgreen": "#7be0a6", "brightbrown": "#f2cd7c", "brightyellow": "#f2cd7c",
    "brightwhite": "#ffffff",
}  # fmt: skip
DIM = 0.62  # still readable where the picture is small
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

Line = tuple[Char, ...]


class Frame(NamedTuple):
    """What the screen shows, and for how long."""

    lines: tuple[Line, ...]
    seconds: float


class Screen(pyte.Screen):
    """Keeps dim text, which pyte drops, as blinking text, which the program never writes."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        """Set the style of what is written next."""
        is_named = 38 not in attrs and 48 not in attrs  # else a number may be a part of a colour
        kept = {2: (5,), 22: (22, 25)} if is_named else {}
        super().select_graphic_rendition(*(each for attr in attrs for each in kept.get(attr, (attr,))))


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, command: str, environment: dict[str, str], columns: int, rows: int) -> None:
        self._screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, "-m", *command.split()],
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read(self, seconds: float) -> None:
        """Take in what is drawn during this time."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and select.select([self._master], [], [], left)[0]:
            try:
                self._stream.feed(os.read(self._master, 65_536))
            except OSError:  # it has ended
                return

    def lines(self) -> tuple[Line, ...]:
        """The screen, cell by cell."""
        screen = self._screen
        return tuple(tuple(screen.buffer[y][x] for x in range(screen.columns)) for y in range(screen.lines))

    def until(self, *patterns: str) -> str:
        """Read until the screen shows all of these; returns what matched the last."""
        ends = time.monotonic() + LIMIT_S
        while True:
            text = "\n".join(self._screen.display)
            found = [re.search(pattern, text, re.DOTALL) for pattern in patterns]
            if found[-1] and all(found):
                return found[-1][0]
            if time.monotonic() > ends:
                raise TimeoutError(f"{patterns} not shown:\n{text}")
            self.read(0.1)

    def watch(self, seconds: float, per_second: int = 4) -> Iterator[Frame]:
        """What the screen shows from now on, at an even pace."""
        for _ in range(int(seconds * per_second)):
            self.read(1 / per_second)
            yield Frame(self.lines(), 1 / per_second)

    def press(self, keys: Sequence[str]) -> None:
        """Press keys, one after the other, as a person would."""
        for key in keys:
            os.write(self._master, key.encode())
            self.read(0.5)

    def stop(self) -> None:
        """Press Ctrl-C, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        ends = time.monotonic() + LIMIT_S
        while self._process.poll() is None and time.monotonic() < ends:
            self.read(0.1)
        os.close(self._master)


@contextlib.contextmanager
def running(command: str, environment: dict[str, str], columns: int = COLUMNS, rows: int = ROWS) -> Iterator[Terminal]:
    """The command for the length of a block."""
    terminal = Terminal(command, environment, columns, rows)
    try:
        yield terminal
    finally:
        terminal.stop()


def typed(command: str) -> Iterator[Frame]:
    """A prompt at which somebody types the command."""
    for end in range(0, len(command) + 1, 2):
        text = f"$ {command[:end]}█".ljust(COLUMNS)[:COLUMNS]
        line = tuple(Char(letter, fg="green" if x == 0 else "default") for x, letter in enumerate(text))
        yield Frame((line, *[tuple(Char(" ") for _ in range(COLUMNS))] * (ROWS - 1)), 2 / TYPED_PER_S)
    yield Frame((line, *[tuple(Char(" ") for _ in range(COLUMNS))] * (ROWS - 1)), 0.6)


def text_of(line: Line) -> str:
    """One line as SVG; runs of one style keep to their cells whatever the font."""
    parts, x = [], 0
    while x < len(line):
        end = x + 1
        while end < len(line) and line[end][1:] == line[x][1:]:
            end += 1
        text, first = "".join(cell.data for cell in line[x:end]), line[x]
        if first.reverse or first.bg != "default":
            fill = colour(first.fg if first.reverse else first.bg, FOREGROUND)
            parts.append(
                f'<rect x="{x * CELL:.1f}" y="2" width="{(end - x) * CELL:.1f}" height="{LINE:.0f}" fill="{fill}"/>'
            )
        if stripped := text.strip():
            at = x + len(text) - len(text.lstrip())
            fill = colour(first.bg if first.reverse else first.fg, BACKGROUND if first.reverse else FOREGROUND)
            style = (' font-weight="700"' if first.bold else "") + (' font-style="italic"' if first.italics else "")
            style += f' fill="{fill}"' if fill != FOREGROUND else ""
            style += f' fill-opacity="{DIM}"' if first.blink else ""
            place = f'x="{at * CELL:.1f}" y="17" textLength="{len(stripped) * CELL:.1f}"'
            parts.append(f"<text {place}{style}>{escape(stripped)}</text>")
        x = end
    return "".join(parts)


def colour(name: str, default: str) -> str:
    """A colour of the terminal as SVG writes it."""
    if name == "default":
        return default
    return COLOURS.get(name) or f"#{name}"


def svg(frames: list[Frame], title: str) -> str:
    """A picture of these frames; more than one move, without a script, and stand still for readers who prefer that."""
    columns, rows = len(frames[0].lines[0]), len(frames[0].lines)
    width, height = columns * CELL + 2 * MARGIN, rows * LINE + BAR + MARGIN
    numbers: dict[str, int] = {}
    drawn, stops, at = [], [], 0.0
    whole = sum(frame.seconds for frame in frames)
    for number, frame in enumerate(frames):
        uses = []
        for y, line in enumerate(frame.lines):
            if text := text_of(line):
                name = numbers.setdefault(text, len(numbers))
                uses.append(f'<use href="#l{name}" y="{y * LINE:.0f}"/>')
        drawn.append(f'<g transform="translate(0 {number * rows * LINE:.0f})">{"".join(uses)}</g>')
        stops.append(f"{at / whole:.3%}{{transform:translateY({-number * rows * LINE:.0f}px)}}")
        at += frame.seconds
    fullest = max(range(len(frames)), key=lambda number: written(frames[number]))
    style = f"text{{font-size:{FONT_SIZE}px;font-family:{FONT};white-space:pre}}"
    if len(frames) > 1:
        style += f"@keyframes film{{{''.join(stops)}}}"
        still = f"transform:translateY({-fullest * rows * LINE:.0f}px)"
        style += f"#film{{{still};animation:film {whole:.1f}s step-end infinite}}"
        style += "@media (prefers-reduced-motion:reduce){#film{animation:none}}"
    lines = "".join(f'<g id="l{name}">{text}</g>' for text, name in numbers.items())
    dots = "".join(
        f'<circle cx="{20 + 18 * n}" cy="17" r="5.5" fill="{fill}"/>'
        for n, fill in enumerate(["#ff6b6b", "#e6b450", "#4fd08a"])
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        f"<title>{escape(title)}</title><style>{style}</style><defs>{lines}</defs>"
        f'<rect width="100%" height="100%" rx="9" fill="{BACKGROUND}"/>{dots}'
        f'<svg x="{MARGIN}" y="{BAR}" width="{columns * CELL:.0f}" height="{rows * LINE:.0f}">'
        f'<g id="film" fill="{FOREGROUND}">{"".join(drawn)}</g></svg></svg>\n'
    )


def written(frame: Frame) -> int:
    """The number of cells that are not empty."""
    return sum(cell.data != " " for line in frame.lines for cell in line)


def save(name: str, frames: list[Frame], title: str) -> None:
    """Write one picture; frames that show the same are one."""
    merged: list[Frame] = []
    for frame in frames:
        if merged and merged[-1].lines == frame.lines:
            merged[-1] = Frame(frame.lines, merged[-1].seconds + frame.seconds)
        else:
            merged.append(frame)
    (PICTURES / f"{name}.svg").write_text(svg(merged, title), encoding="utf-8")


def still(
    command: str, environment: dict[str, str], name: str, shows: str, columns: int, rows: int, keys: Sequence[str] = ()
) -> None:
    """A picture of one screen, some seconds after it first showed this and got these keys."""
    with running(command, environment, columns, rows) as terminal:
        terminal.until(shows)
        terminal.press(keys)
        terminal.read(6)
        lines = list(terminal.lines())
    while lines and not "".join(cell.data for cell in lines[-1]).strip():
        lines.pop()
    save(name, [Frame(tuple(lines), 1)], f"{command} in a terminal")


def main() -> None:
    """Draw them all: one streamer on a terminal, the other screens beside it, as a user would open them."""
    unset = ("NO_COLOR", "COLUMNS", "LINES", "REDIS_URL")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**inherited, "TERM": "xterm-256color", "SCHWAB_SYMBOLS": ",".join(SYMBOLS)}
    os.chdir(tempfile.mkdtemp())  # where no .env is
    with running(STREAM, environment) as stream:
        redis = stream.until("AMD.*updates/s", r"127\.0\.0\.1:\d+")
        environment["REDIS_URL"] = f"redis://{redis}/0"
        frames = [*typed(STREAM), *stream.watch(6)]
        with running(QUOTE, environment) as terminal:
            terminal.until("AMD")
            terminal.read(1.5)
            frames += [*typed(QUOTE), *terminal.watch(4)]
            terminal.press([*[DOWN] * 4, "b"])
            frames += terminal.watch(6)
        save("demo", frames, "schwabstream in a terminal: a stream, a quote board and an order book")
        still(QUOTE, environment, "quote", "AMD", 62, 12)
        still(BOOK, environment, "book", "spread", 58, 26)
        still("schwabstream quote", environment, "market", "AMD", 110, 22, [*[DOWN] * 4, "b"])
        still("schwabstream status", environment, "status", "AMD", 76, 24)


if __name__ == "__main__":
    main()
