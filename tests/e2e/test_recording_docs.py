"""docs/recording.md: what is marked as runnable there runs, in order, in an empty directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "recording.md"
RUNNABLE = re.compile(r"<!-- run -->\n```(sh|python)\n(.*?)```", re.DOTALL)


def test_the_page_can_be_followed() -> None:
    """Each marked block ends well; the blocks build on each other."""
    blocks = RUNNABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == ["sh", "sh", "sh", "python", "python"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for language, text in blocks:
        command = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert Path("day.events").stat().st_size
