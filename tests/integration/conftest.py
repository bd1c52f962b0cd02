"""Files that tests of several rooms use."""

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where recordings go."""
    return tmp_path / "day.jsonl.zst"
