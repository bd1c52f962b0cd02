"""The token file beside other processes: the lock, who may write, and what schwab-py reads."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import TokenFileError

NOW = 1_800_000_000.0
LOGIN = TokenSet("I0.access1@", "R0.refresh@", NOW + 1, NOW, {"scope": "api"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the token file goes."""
    return tmp_path / ".tokens" / "schwab_token.json"


@pytest.fixture
def store(path: Path) -> TokenStore:
    """The store under test."""
    return TokenStore(path)


def test_schwab_py_itself_reads_the_file(store: TokenStore, path: Path) -> None:
    """A file of ours is a token file to schwab-py's own loader."""
    store.save(LOGIN)
    code = (
        "import json, sys, warnings; warnings.simplefilter('ignore')\n"
        "from schwab.auth import TokenMetadata\n"
        "meta = TokenMetadata.from_loaded_token(json.load(open(sys.argv[1])), None)\n"
        "print(meta.token['access_token'], meta.creation_timestamp)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["I0.access1@", str(int(NOW))]


@pytest.fixture
def holder(store: TokenStore, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    code = (
        "import sys; from pathlib import Path; from schwabstream.auth.store import TokenStore\n"
        "with TokenStore(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_of_the_lock_is_named(path: Path, holder: subprocess.Popen[str]) -> None:
    """Whoever waits too long for the lock learns which process holds it."""
    store = TokenStore(path, lock_timeout_s=0.1)
    with pytest.raises(TokenFileError, match=f"process {holder.pid}"):
        store.save(LOGIN)
    with pytest.raises(TokenFileError, match=f"process {holder.pid}"):
        asyncio.run(_lock_async(store))


def test_a_killed_holder_holds_nothing(path: Path, holder: subprocess.Popen[str]) -> None:
    """The lock ends with its process, however that ends."""
    holder.kill()
    TokenStore(path, lock_timeout_s=5).save(LOGIN)


async def _lock_async(store: TokenStore) -> None:
    async with store.lock_async():
        pass


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root writes everywhere; needs setpriv"
)
def test_a_read_only_directory_is_explained(path: Path, tmp_path: Path) -> None:
    """Without the right to write, the error says so and the old token stays."""
    TokenStore(path).save(LOGIN)
    path.parent.chmod(0o500)
    code = (
        "import sys; from pathlib import Path; from schwabstream.auth.store import TokenStore\n"
        "from schwabstream.errors import TokenFileError\n"
        "store = TokenStore(Path(sys.argv[1])); tokens = store.load()\n"
        "try: store.save(tokens)\n"
        "except TokenFileError as error: print(error)\n"
        "assert store.load() == tokens"
    )
    command = [sys.executable, "-c", code, str(path)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", *command]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(root)}
    )
    path.parent.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "Permission denied; give yourself access" in done.stdout
