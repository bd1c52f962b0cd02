"""Shells on a terminal, with our completion loaded: what stands on the line after Tab."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schwabstream.cli.shells import SCRIPTS
from tests.support.terminal import Terminal

SHELLS = tuple(SCRIPTS)
_START = {
    "bash": ("bash --noprofile --norc -i", "PS1='$ '; bind 'set bell-style none'; source {script}"),
    "zsh": ("zsh -f -i", "PS1='$ '; unsetopt beep; autoload -Uz compinit; compinit -u -D; source {script}"),
    "fish": ("fish --no-config -i", "function fish_prompt; echo '$ '; end; source {script}"),
}
_CLEAR_LINE = b"\x15"


class Shell:
    """An interactive shell that waits at its prompt."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def after_tab(self, typed: str) -> str:
        """The command line after Tab has been pressed behind this text, without what the shell adds below it."""
        # The mark is typed behind the Tab: when it appears, the shell has finished with it.
        self.terminal.type(f"{typed}\t#".encode())
        text = self.terminal.block_until(lambda text: "#" in text.rpartition("$ ")[2])
        line = text.rpartition("$ ")[2].splitlines()[0]
        self._clear()
        return line.partition("#")[0]

    def shown(self, typed: str, text: str) -> str:
        """The screen once Tab, pressed twice, has listed the values, one of which has this text."""
        self.terminal.type(f"{typed}\t\t".encode())
        screen = self.terminal.block_until(lambda screen: text in screen)
        self._clear()
        return screen

    def _clear(self) -> None:
        self.terminal.type(b"#" + _CLEAR_LINE + b"clear\n")
        self.terminal.block_until(lambda text: text.strip() == "$")


@contextmanager
def shell(name: str, path: Path, folder: Path) -> Iterator[Shell]:
    """The shell in ``folder``, with the programs of ``path`` before the others; skips the test without that shell."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    script = folder / f"completion.{name}"
    script.write_text(SCRIPTS[name])
    command, setup = _START[name]
    environment = os.environ | {
        "PATH": f"{path}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "xterm-256color",
        "HISTFILE": "",
    }
    terminal = Terminal(command.split(), environment, cwd=folder)
    try:
        terminal.type(f"{setup.format(script=script)}; clear\n".encode())
        terminal.block_until(lambda text: text.strip() == "$")
        yield Shell(terminal)
    finally:
        terminal.close()
