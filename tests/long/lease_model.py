"""Every state of the lease that some troubles can lead to: ``python tests/long/lease_model.py --troubles 2``."""

import argparse
import gc
import sys
import time
from collections.abc import Sequence

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types
    from pathlib import Path

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.lease_model import Rules, explore


def main(words: Sequence[str] | None = None) -> int:
    """Visit the states; print how many there are, and the shortest path to a broken rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--troubles", type=int, default=2, help="at most so many troubles on a path")
    parser.add_argument("--states", type=int, default=20_000_000, help="stop after so many states")
    arguments = parser.parse_args(words)
    gc.disable()  # millions of tuples without a cycle
    began = time.monotonic()
    result = explore(arguments.troubles, Rules(), arguments.states)
    extent = "all" if result.complete else "the first"
    print(f"{extent} {result.states} states, {result.transitions} transitions, {time.monotonic() - began:.0f} s")
    print(f"longest shortest path: {result.depth} steps, {arguments.troubles} troubles")
    if result.violation:
        print(result.violation, *result.path, sep="\n  ")
    return 1 if result.violation else 0


if __name__ == "__main__":
    sys.exit(main())
