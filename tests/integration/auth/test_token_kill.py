"""``kill -9`` at random moments of a rotation: the file always parses, nothing is ever lost.

The suite runs a short form; ``SCHWABSTREAM_KILLS=1000`` sets the number of kills.
"""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schwabstream.auth.store import SNAPSHOTS_KEPT, TokenStore
from schwabstream.auth.tokens import TokenSet

KILLS = int(os.environ.get("SCHWABSTREAM_KILLS", "40"))

# Forks one child after the other; each rotates as fast as it can until it is killed, and notes what it has finished.
ROTATE = """
import os, sys
from pathlib import Path
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet

notes = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while sys.stdin.readline():
    child = os.fork()
    if child == 0:
        store = TokenStore(Path(sys.argv[1]))
        while True:
            with store.lock():
                number = int(store.load().refresh_token[1:]) + 1
                store.save(TokenSet(f"a{number}", f"r{number}", number + 10.0, 1.0))
                os.write(notes, f"{number}\\n".encode())
    print(child, flush=True)
    os.wait()
    print("gone", flush=True)
"""


@pytest.mark.timeout(900)
def test_a_kill_at_any_moment_of_a_rotation_loses_nothing(tmp_path: Path) -> None:
    """After each kill the file parses, is private, holds the last finished rotation or a later one; no litter stays."""
    path, notes = tmp_path / ".tokens" / "schwab_token.json", tmp_path / "notes"
    store = TokenStore(path)
    store.save(TokenSet("a0", "r0", 10.0, 1.0))
    notes.write_text("0\n")
    dice = random.Random(7)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", ROTATE, str(path), str(notes)]
    litter = 0
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(KILLS):
            process.stdin.write("go\n")
            child = int(process.stdout.readline())
            before = notes.stat().st_size
            while notes.stat().st_size == before:
                assert process.poll() is None
            time.sleep(dice.uniform(0, 0.02))  # the moment of the kill is what this test varies
            os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            litter += bool(list(path.parent.rglob(".*.tmp")))
            check(store, path, finished=int(notes.read_text().split()[-1]))
        process.stdin.close()
    assert int(notes.read_text().split()[-1]) >= KILLS
    print(f"{KILLS} kills, {notes.read_text().split()[-1]} rotations, {litter} kills in the middle of a write")


def check(store: TokenStore, path: Path, *, finished: int) -> None:
    """Everything that must hold after a kill."""
    on_disk = int(json.loads(path.read_bytes())["token"]["refresh_token"][1:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with store.lock():
        tokens = store.load()
    assert tokens is not None
    assert int(tokens.refresh_token[1:]) >= on_disk >= finished
    assert list(path.parent.rglob("*.tmp")) == []
    assert list(path.parent.glob("*.corrupt-*")) == []
    assert 0 < len(store.snapshots()) <= SNAPSHOTS_KEPT + 1  # a kill before the eleventh was swept
