"""The Redis server that the tests start: Redis or Valkey."""

import os
import shutil

import pytest


def redis_program() -> str:
    """Return the path of the server; skip the test without one.

    ``SCHWABSTREAM_REDIS_SERVER`` names another program, such as ``valkey-server``.
    """
    name = os.environ.get("SCHWABSTREAM_REDIS_SERVER", "redis-server")
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install redis-server")
    return program
