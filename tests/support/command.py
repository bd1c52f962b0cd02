"""The command in a pipe."""

import subprocess

from tests.support.terminal import COMMAND


def run(*arguments: str) -> tuple[int, str, str]:
    """Run it to its end: exit code, output, messages."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr
