"""The documentation: made from the code where it can be, complete, and without a dead link."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest

import schwabstream
from schwabstream.events import StatusEvent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
]
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """The anchors of a page."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub(lambda found: found[0].strip("`"), page.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings)
    return {text.replace(" ", "-") for text in words}


def test_what_is_generated_is_up_to_date(generator: ModuleType) -> None:
    """The committed pages, schemas and diagram are what the code gives now: run docs/generate.py."""
    stale = [str(path) for path, text in generator.generate().items() if not path.exists() or path.read_text() != text]
    assert stale == []


def test_every_state_and_exit_code_is_explained(generator: ModuleType) -> None:
    """meanings.toml names each state and each exit code, and nothing else."""
    assert set(generator.WORDS) == {"states", "exit_codes"}
    states: Any = StatusEvent.model_fields["state"].annotation
    assert set(generator.WORDS["states"]) == set(states.__args__)
    codes = {str(kind.exit_code) for kind in generator.tree(generator.SchwabStreamError)}
    assert set(generator.WORDS["exit_codes"]) == codes


def test_every_json_output_has_its_schema(generator: ModuleType) -> None:
    """Each command that has ``--json`` is listed with a schema that is generated, and no other command is."""
    found = generator.leaves(generator.typer.main.get_command(generator.app), "schwabstream")
    with_json = {name for name, command in found if any("--json" in option.opts for option in command.params)}
    assert {f"schwabstream {words}" for words in generator.JSON_OUTPUT} == with_json
    generated = {str(path.relative_to(DOCS / "schema")) for path in generator.generate() if path.suffix == ".json"}
    assert {f"{name}.json" for name in generator.JSON_OUTPUT.values()} <= generated
    assert generated == {str(path.relative_to(DOCS / "schema")) for path in (DOCS / "schema").rglob("*.json")}


def test_nothing_is_installed_by_a_name_that_is_not_ours() -> None:
    """No page and no message installs ``schwabstream`` from an index: the name is not published."""
    sources = [*PAGES, *sorted((ROOT / "schwabstream").rglob("*.py"))]
    by_name = re.compile(r"(?:pip|pipx|uv|uvx)\b[^\n`]*(?:install|uvx)[^\n`]*[ '\"]schwabstream\b")
    assert [str(path) for path in sources if by_name.search(path.read_text(encoding="utf-8"))] == []


def test_a_page_that_needs_redis_names_where_it_comes_from() -> None:
    """A page whose commands use a Redis at an address explains how to start one, or that the embedded one will do."""
    needs = re.compile(r"^schwabstream .*--redis redis://", re.MULTILINE)
    provides = re.compile(r"redis-server|embedded", re.IGNORECASE)
    pages = {str(page): page.read_text(encoding="utf-8") for page in PAGES}
    assert [name for name, text in pages.items() if needs.search(text) and not provides.search(text)] == []


def test_no_link_is_dead() -> None:
    """Every link between pages and files of the repository leads to something, anchors included."""
    dead = []
    for page in PAGES:
        for link in LINK.findall(CODE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
                dead.append(f"{page.relative_to(ROOT)}: {link}")
            if page.is_relative_to(DOCS) and not path.is_relative_to(DOCS):
                dead.append(f"{page.relative_to(ROOT)}: {link} leaves the site")
    assert dead == []


def leaves(entries: list[Any]) -> Iterator[str]:
    """The pages of a table of contents."""
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from leaves(value)


def test_the_table_of_contents_is_complete() -> None:
    """Every page is in the site's navigation, except decisions, which have an index of their own."""
    listed = set(leaves(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if not re.match(r"\d{4}-", path.name)}
    assert listed == pages


def test_the_house_names_every_module() -> None:
    """The table of docs/architecture.md has each room with each of its modules, and no other."""
    table = (DOCS / "architecture.md").read_text().partition("## The path of a tick")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    named = {room.strip("`/"): set(re.findall(r"`(\w+)`", modules)) for room, _, modules in rows}
    package = ROOT / "schwabstream"
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        if not path.stem.startswith("__"):
            room = "ground" if path.parent == package else str(path.parent.relative_to(package))
            found.setdefault(room, set()).add(path.stem)
    assert named == found


def test_version_and_changelog_agree() -> None:
    """The changelog's newest released version is the package's; before the first release there is only Unreleased."""
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] == [schwabstream.__version__]


def test_named_sessions_of_nox_exist() -> None:
    """The noxfile has every session that the gate, the workflow and the pages name."""
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    for path in (ROOT / ".ci" / "run", ROOT / ".github" / "workflows" / "ci.yml", *PAGES):
        text = path.read_text().replace("${{ matrix.python }}", "3")
        for line in re.findall(r"\bnox -s ((?:\w+(?:-[\d.]+)? ?)+)", text):
            assert {name.partition("-")[0] for name in line.split()} <= sessions, path


def test_commands_of_readme_and_quickstart_are_one() -> None:
    """The first command a reader types is the same in both places."""
    first = re.compile(r"<!-- command: try -->\n```sh\n(.+?)\n```")
    found = [first.findall(path.read_text()) for path in (ROOT / "README.md", DOCS / "quickstart.md")]
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_every_diagram_is_drawn() -> None:
    """Each Mermaid diagram has its picture, and no picture is left of a former one: run ``nox -s diagrams``."""
    spec = importlib.util.spec_from_file_location("diagrams", DOCS / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    wanted = {diagrams.picture(source) for source in diagrams.sources()}
    assert wanted == set((DOCS / "pictures").glob("diagram-*.svg"))


def test_the_site_shows_the_version() -> None:
    """The foot of every page of the site names the package's version."""
    copyright_line = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["copyright"]
    assert copyright_line.startswith(f"schwabstream {schwabstream.__version__}.")


def test_a_picture_needs_no_other_server() -> None:
    """A picture loads no font and no script: it looks the same in a page, in a repository and without a network."""
    foreign = re.compile(r"<script|@import|@font-face|(?:href|src)=\"(?!#)|url\((?!#)")
    pictures = (DOCS / "pictures").glob("*.svg")
    assert [path.name for path in pictures if foreign.search(path.read_text(encoding="utf-8"))] == []
