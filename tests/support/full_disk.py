"""A disk without space for any new file, as long as the block lasts; what is there stays readable."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let every temporary file take nothing: ``No space left on device``."""
    real = os.open

    def open_(name: Any, flags: int, *rest: int, **more: Any) -> int:
        descriptor = real(name, flags, *rest, **more)
        if not str(name).endswith(".tmp"):
            return descriptor
        os.close(descriptor)
        return real("/dev/full", os.O_WRONLY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_)
        yield
