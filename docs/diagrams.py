"""Draws the Mermaid diagrams of the pages once, so that the site shows them without a script from elsewhere.

``python docs/diagrams.py MERMAID``, with the path of a ``mermaid.min.js``, writes one picture for each diagram into
docs/pictures and needs Chromium; ``nox -s diagrams`` fetches Mermaid first. The site's builder calls ``fence``.
"""  # noqa: INP001 - a script, not part of the package

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGE = """<!doctype html><meta charset="utf-8"><body><script src="{script}"></script><script>
mermaid.initialize({{startOnLoad: false, theme: "neutral", htmlLabels: false, fontFamily: "sans-serif"}});
mermaid.render({name}, {source}).then(drawn => {{ document.body.innerHTML = drawn.svg; }});
</script>"""


def picture(source: str) -> Path:
    """The file that shows this diagram: another text, another file."""
    return PICTURES / f"diagram-{hashlib.sha256(source.strip().encode()).hexdigest()[:8]}.svg"


def sources() -> list[str]:
    """Every diagram of the documentation."""
    pages = sorted(DOCS.rglob("*.md"))
    return [source for page in pages for source in FENCE.findall(page.read_text(encoding="utf-8"))]


def fence(source: str, *_: Any, **__: Any) -> str:
    """A diagram as the site shows it: its picture, in the page."""
    return f'<div class="diagram">{picture(source).read_text(encoding="utf-8")}</div>'


def draw(source: str, script: Path, browser: str) -> str:
    """A diagram as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        name = json.dumps(picture(source).stem)
        page.write_text(PAGE.format(script=script.resolve().as_uri(), name=name, source=json.dumps(source)))
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-proxy-server",
            "--allow-file-access-from-files",
        ]
        options += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
        shown = subprocess.run([browser, *options], capture_output=True, text=True, check=True).stdout  # noqa: S603
    (drawn,) = re.findall(r"<svg.*</svg>", shown, re.DOTALL)
    return drawn.replace("<br>", "<br/>").replace("&nbsp;", "&#160;") + "\n"


def main(script: Path) -> None:
    """Draw them all, and delete what no page shows any more."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    for old in PICTURES.glob("diagram-*.svg"):
        old.unlink()
    for source in sources():
        picture(source).write_text(draw(source, script, browser), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
