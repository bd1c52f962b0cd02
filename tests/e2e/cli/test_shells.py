"""Tab in real shells: what ends up on the command line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schwabstream.cli.shells import SCRIPTS, install
from tests.conftest import RedisServer
from tests.support.shells import SHELLS, Shell, shell
from tests.support.waiting import block_until

PROGRAM = """#!/bin/sh
printf '%s' "$_TYPER_COMPLETE_ARGS" > asked
echo 'redis://:hush-hush@somewhere does not answer' >&2
cat answer
"""


@pytest.fixture(params=SHELLS)
def typing(request: pytest.FixtureRequest, clean: Path) -> Iterator[tuple[Shell, str]]:
    """Each shell, in a folder with a file, and with a program that answers what the file ``answer`` contains."""
    (clean / "zebra.zst").touch()
    program = clean / "bin" / "schwabstream"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    with shell(request.param, program.parent, clean) as started:
        yield started, request.param


def test_tab_completes_symbols_as_the_shell_reads_them(typing: tuple[Shell, str], clean: Path) -> None:
    """A value is put on the line so that the shell passes it on unchanged; without one, no file name appears."""
    line, name = typing

    def after_tab(typed: str, *answers: str) -> str:
        (clean / "answer").write_text("".join(f"{each}\n" for each in answers))
        return line.after_tab(f"schwabstream {typed}").removeprefix("schwabstream ")

    assert after_tab("quote NV", "NVDA") == "quote NVDA "
    assert (clean / "asked").read_text() == "schwabstream quote NV"
    assert after_tab("quote /M", "/MES:XCME", "/MNQ:XCME") == "quote /M"
    assert after_tab("quote /MNQ:", "/MNQ:XCME") == "quote /MNQ:XCME "
    assert after_tab("quote /MNQ:X", "/MNQ:XCME") == "quote /MNQ:XCME "
    assert after_tab("quote \\$S", "$SPX") == "quote \\$SPX "
    assert after_tab("quote '$S", "$SPX") == "quote '$SPX' "
    assert after_tab("quote SPY", "SPY 251219C600") == "quote SPY\\ 251219C600 "
    assert after_tab("quote AAPL,NV", "AAPL,NVDA") == "quote AAPL,NVDA "
    assert after_tab("stream run --symbols=AA", "AAPL") == "stream run --symbols=AAPL "
    assert after_tab("stream run --symbols=AA,/M", "AA,/MNQ:XCME") == "stream run --symbols=AA,/MNQ:XCME "
    assert after_tab("quote z", "z ") == "quote z"
    assert after_tab("stream replay z", "") == "stream replay zebra.zst "
    if name != "bash":  # it shows no descriptions
        (clean / "answer").write_text("simulate\tServe Schwab's OAuth: all of it.\nstatus\tShow the report.\n")
        assert "simulate" in line.shown("schwabstream s", "Serve Schwab's OAuth: all of it.")


def test_tab_completes_symbols_of_a_running_streamer(
    redis_server: RedisServer, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bash, with the program itself: a streamed symbol appears on the line, and nothing else does."""
    redis_server.client.set("market_data:streamer", '{"v": 1, "symbols": [{"symbol": "NVDA"}, {"symbol": "$VIX"}]}')
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with shell("bash", Path(sys.executable).parent, clean) as bash:
        # On a busy machine, Redis may miss the time limit of one look.
        block_until(lambda: bash.after_tab("schwabstream quote \\$") == "schwabstream quote \\$VIX ")


@pytest.mark.parametrize("name", SHELLS)
def test_the_installed_script_is_loaded_once(name: str, tmp_path: Path) -> None:
    """Installing writes the script in the shell's place and one line that loads it, however often it is repeated."""
    startup = {"bash": ".bashrc", "zsh": ".zshrc"}.get(name)
    if startup:
        (tmp_path / startup).write_text("alias l=ls")
    for _ in range(2):
        assert install(name, tmp_path).read_text() == SCRIPTS[name]
    if startup:
        first, second, *rest = (tmp_path / startup).read_text().splitlines()
        assert (first, rest) == ("alias l=ls", [])
        assert "schwabstream" in second or "compinit" in second


def test_the_script_of_the_shell_in_use_is_shown() -> None:
    """``--show-completion`` finds the shell that it was started from."""
    program = Path(sys.executable).with_name("schwabstream")
    shown = subprocess.run(
        ["bash", "-c", f"{program} --show-completion; true"], capture_output=True, text=True, check=True
    )
    assert (shown.stdout, shown.stderr) == (SCRIPTS["bash"], "")
