"""Child processes that end with us."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import block_until

PARENT = """
import subprocess, sys
from schwabstream.commands.child_process import dies_with_parent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=dies_with_parent())
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux offers it")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    """A parent that is killed without a chance to clean up takes the child with it."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    block_until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
