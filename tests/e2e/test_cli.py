"""The command itself: help, version, and errors as messages and exit codes."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import schwabstream
from schwabstream import errors

COMMAND = str(Path(sys.executable).with_name("schwabstream"))


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The installed command, run to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_version_is_the_packages() -> None:
    """--version prints name and version and nothing else."""
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"schwabstream {schwabstream.__version__}\n", "")


def test_python_m_is_the_same_command() -> None:
    """``python -m schwabstream`` does what the command does."""
    done = subprocess.run(
        [sys.executable, "-m", "schwabstream", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == run("--version").stdout


def test_importing_the_main_module_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Tools that import every module of the package do not start the command."""
    importlib.import_module("schwabstream.__main__")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("stream", "--help"), ("stream", "run", "--help")])
def test_help_names_what_there_is(arguments: tuple[str, ...]) -> None:
    """Help of every level exits 0 on stdout."""
    done = run(*arguments, COLUMNS="200")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_help_names_every_option_of_stream_run() -> None:
    """The contract's options are all there."""
    text = run("stream", "run", "--help", COLUMNS="200").stdout
    for option in (
        "--symbols",
        "--duration",
        "--simulate",
        "--redis",
        "--ensure-env",
        "--json",
        "--no-live",
        "--verbose",
    ):
        assert option in text


@pytest.mark.parametrize("arguments", [(), ("stream",)])
def test_nothing_asked_shows_the_help(arguments: tuple[str, ...]) -> None:
    """Without a command the help is shown, as a usage error."""
    done = run(*arguments)
    assert done.returncode in (0, 2)
    assert "Usage" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("no-such-command",), ("stream", "run", "--no-such-option")])
def test_what_does_not_exist_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    """Exit 2, with a message on stderr."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such" in done.stderr


def test_help_and_version_load_nothing_heavy() -> None:
    """--version and --help import none of redis, httpx, schwab, websockets and pydantic."""
    script = (
        "import sys; sys.argv = ['schwabstream', '--help']\n"
        "from schwabstream.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'redis', 'httpx', 'schwab', 'websockets', 'pydantic', 'authlib', 'fakeredis', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_error_has_its_exit_code_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Every error of ours becomes one redacted sentence on stderr and its class's exit code."""
    from schwabstream.cli import main

    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.SchwabStreamError)
    ]
    assert len(kinds) > 8
    token = "I0.b2F1dGgyLmNkYy5zY2h3YWIuY29t.0123456789abcdefghijklmnopqrstuvwxyz0123456@"
    for kind in kinds:
        error = kind(f"it failed with {token}")

        def fail(error: errors.SchwabStreamError = error) -> None:
            raise error

        with pytest.raises(SystemExit) as ended:
            main(fail)
        assert ended.value.code == error.exit_code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "schwabstream: it failed with [redacted]\n"
