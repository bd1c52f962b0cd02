"""The collector rests while a command loads; in a process of its own, for what is frozen stays frozen."""

import subprocess
import sys

SCRIPT = """
import gc
from schwabstream.cli.loading import loading
with loading():
    import json
    print(gc.isenabled())
print(gc.isenabled(), gc.get_freeze_count() > 1000)
gc.disable()
with loading():
    pass
print(gc.isenabled())
gc.enable()
try:
    with loading():
        raise ImportError
except ImportError:
    print(gc.isenabled())
"""


def test_garbage_is_looked_for_after_loading_and_not_before() -> None:
    """While a command loads the collector rests; afterwards it is as before, and leaves alone what was loaded."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "False", "True"]
