"""All checks, one session each; ``nox`` alone runs the ones that a change must pass."""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typing", "layers", "tests", "docs", "snippets", "wheel", "sdist", "quickstart"]

PYTHONS = ["3.11", "3.12", "3.13"]
CONSTRAINTS = ("-c", "constraints.txt")
PARALLEL = ("-n", "4", "--dist", "worksteal")  # not in pytest's options: it would take --pdb and -s from a developer


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install(*CONSTRAINTS, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Mypy, strict, on source and tests."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """The direction of imports, and no I/O in the core."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, with branch coverage."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("coverage", "erase")
    session.run("pytest", *PARALLEL, "--cov", "--cov-report=", *session.posargs)
    session.run("coverage", "report", "--fail-under=95")


@nox.session
def snippets(session: nox.Session) -> None:
    """Mypy, strict, on every Python block of the documentation, against the built wheel."""
    session.run("mypy", "--strict", *_snippets(session, "mypy"))


@nox.session
def pyright(session: nox.Session) -> None:
    """Pyright on the same blocks; not part of the gate, as it downloads itself from npm."""
    session.run("pyright", *_snippets(session, "pyright"))


def _snippets(session: nox.Session, checker: str) -> list[str]:
    """Each block that imports the package, as a file, where nothing but the wheel and the checker is installed."""
    built = _build(session, "--wheel", "*.whl")
    session.install(*CONSTRAINTS, "--reinstall-package", "schwabstream", str(built), checker, "pandas")
    pages = [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    session.chdir(session.create_tmp())
    files = []
    for page, text in zip(pages, texts, strict=True):
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)):
            if re.search(r"^(from|import) schwabstream", block, re.MULTILINE):
                file = Path(f"{'_'.join(page.with_suffix('').parts)}_{number}.py")
                file.write_text(block, encoding="utf-8")
                files.append(str(file))
    return files


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """The built wheel, installed alone, outside the source tree."""
    _try_built(session, "--wheel", "*.whl")


@nox.session(python=PYTHONS)
def sdist(session: nox.Session) -> None:
    """The source archive, installed alone, outside the source tree."""
    _try_built(session, "--sdist", "*.tar.gz")


def _try_built(session: nox.Session, kind: str, pattern: str) -> None:
    """Build one distribution, install only that, and stream."""
    built = _build(session, kind, pattern)
    session.install(*CONSTRAINTS, "--reinstall-package", "schwabstream", str(built))
    session.chdir(session.create_tmp())
    session.run("schwabstream", "--version")
    session.run("schwabstream", "stream", "run", "--simulate", "--duration", "2", "--redis", "embedded")


def _build(session: nox.Session, kind: str, pattern: str) -> Path:
    """The built distribution."""
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("uv", "build", "--quiet", kind, "--out-dir", str(dist), external=True, silent=True)
    (built,) = dist.glob(pattern)
    return built


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the pictures of the screens in docs/ again, from the program and the simulator."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("python", "docs/draw_pictures.py", *session.posargs)


@nox.session
def diagrams(session: nox.Session) -> None:
    """Draw the diagrams of the pages again, after one has changed; needs npm and Chromium."""
    place = Path(session.create_tmp())
    session.run("npm", "pack", "--silent", "--pack-destination", str(place), "mermaid@12.3.0", external=True)
    shutil.unpack_archive(place / "mermaid-12.3.0.tgz", place)
    session.run("python", "docs/diagrams.py", str(place / "package" / "dist" / "mermaid.min.js"))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site; fail on a warning or a dead link."""
    session.install(*CONSTRAINTS, "zensical")
    config = Path(".zensical.toml")  # beside the original, for its paths are relative
    config.write_text(_site_config(session), encoding="utf-8")
    session.run("zensical", "build", "--strict", "--clean", "-f", str(config), env={"PYTHONPATH": "docs"})
    config.unlink()
    if dead := _dead_links(Path("site")):
        session.error("dead links:\n" + "\n".join(dead))


def _site_config(session: nox.Session) -> str:
    """The site's configuration, with the address of the repository where this checkout has one."""
    config = Path("zensical.toml").read_text(encoding="utf-8")
    asked = ("git", "remote", "get-url", "origin")
    origin = str(session.run(*asked, external=True, silent=True, success_codes=[0, 2, 128]))
    found = re.fullmatch(r"(?:https://|git@)(?:[^@/]+@)?([\w.-]+)[/:]([\w./-]+?)(?:\.git)?", origin.strip())
    link = f'repo_url = "https://{found[1]}/{found[2]}"\nrepo_name = "{found[2]}"\n' if found else ""
    return config.replace("[project]\n", f"[project]\n{link}", 1)


def _dead_links(site: Path) -> list[str]:
    """Links of the built pages to files that the site lacks; the builder checks pages and anchors only."""
    dead = []
    for page in site.rglob("index.html"):
        for link in re.findall(r'(?:href|src)="?([^"\s>]+)', page.read_text(encoding="utf-8")):
            path = unquote(link.partition("#")[0].partition("?")[0])
            target = site / path.lstrip("/") if path.startswith("/") else page.parent / path
            if not re.match(r"[a-z]+:|//", link) and not target.exists():
                dead.append(f"{page}: {link}")
    return dead


@nox.session
def quickstart(session: nox.Session) -> None:
    """The commands of README and quickstart, word for word, from the package index to a live table."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", *PARALLEL, "-m", "slow", *session.posargs)


@nox.session
def kills(session: nox.Session) -> None:
    """A thousand kills in the middle of a token rotation."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", "-s", "tests/integration/auth/test_token_kill.py", env={"SCHWABSTREAM_KILLS": "1000"})


@nox.session
def faults(session: nox.Session) -> None:
    """Troubles of Schwab and of Redis on virtual time (``-- --first SEED --count 1``); the lease; Redis killed."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("python", "tests/long/fault_schedules.py", *session.posargs)
    session.run("python", "tests/long/lease_model.py")
    session.run("python", "tests/long/redis_schedules.py", *session.posargs)
    session.run("python", "tests/long/redis_kills.py", "--kills", "50", "--minutes", "10")
    session.run("python", "tests/long/unanswered_batches.py", "--cuts", "100")
    session.run("python", "tests/long/wanted_symbols.py", "--minutes", "600", "--drops")


@nox.session
def topologies(session: nox.Session) -> None:
    """Failovers of a Sentinel set and a Cluster under load, five of each; ``-- --row kill --times 1`` plays one."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("python", "tests/long/topologies.py", *session.posargs)
    if not session.posargs:
        session.run("python", "tests/long/replica_readers.py", env={"PYTHONPATH": "."})


@nox.session
def soak(session: nox.Session) -> None:
    """An hour of dropped sessions at 1,000 events a second; ``-- --minutes 20 --rate 500`` changes that."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def live(session: nox.Session) -> None:
    """Read-only checks with a real account, configured by environment variables; keeps recordings."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", "tests/live", "--live", "-rs", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the speed (docs/performance.md): ``nox -s bench`` in short, ``nox -s bench -- --full`` for figures."""
    session.install(*CONSTRAINTS, "-e", ".")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def constraints(session: nox.Session) -> None:
    """Write constraints.txt again: the pinned version of every dependency."""
    session.install("uv")
    words = "pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade"
    words += " --no-annotate --no-header --no-emit-index-url -o constraints.txt"
    session.run("uv", *words.split(), silent=True)


if __name__ == "__main__":
    sys.exit("run it with nox")
