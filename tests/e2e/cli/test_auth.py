"""``schwabstream auth`` as a person meets it: in a terminal, with wrong, empty and hostile input, and from cron."""

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.simulator import SchwabSimulator
from tests.support.terminal import COMMAND, CTRL_C, Terminal

TOKEN_FILE = Path(".tokens/schwab_token.json")
LIMIT_S = 40.0


@pytest.fixture
async def schwab() -> AsyncIterator[SchwabSimulator]:
    """A simulated Schwab that approves every login, with a callback on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with SchwabSimulator(callback_url=f"https://127.0.0.1:{port}") as simulator:
        simulator.faults.auto_approve = True
        yield simulator


@pytest.fixture
def variables(schwab: SchwabSimulator) -> dict[str, str]:
    """The environment of a person whose Schwab is the simulator."""
    return {
        **os.environ,
        "SCHWAB_CLIENT_ID": schwab.client_id,
        "SCHWAB_CLIENT_SECRET": schwab.client_secret,
        "SCHWAB_API_BASE_URL": schwab.base_url,
        "SCHWAB_CALLBACK_URL": schwab.callback_url,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "COLUMNS": "200",
        "BROWSER": "none-here",
    }


def token_bytes() -> bytes | None:
    """The token file's content; None when there is none."""
    return TOKEN_FILE.read_bytes() if TOKEN_FILE.exists() else None


def directory_exists() -> bool:
    """Whether anything was made for a token at all."""
    return TOKEN_FILE.parent.exists()


def env_file() -> tuple[str, int]:
    """The part of .env that must never change."""
    env = Path(".env")
    return hashlib.sha256(env.read_bytes()).hexdigest(), env.stat().st_mtime_ns


def store_login(schwab: SchwabSimulator, age_s: float = 0) -> None:
    """Store a login as of some time ago."""
    TokenStore(TOKEN_FILE).save(TokenSet.from_file(schwab.issue_token(age_s)))


def redirect_of(schwab: SchwabSimulator, state: str | None = None) -> str:
    """The address a browser ends on after the simulator's page."""
    query = {"client_id": schwab.client_id, "redirect_uri": schwab.callback_url}
    if state:
        query["state"] = state
    return schwab.oauth.authorize(query).headers["Location"]


async def run(
    arguments: str, variables: dict[str, str], stdin: str = "", **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in pipes, as cron would."""
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments.split()],
        input=stdin, capture_output=True, text=True, env=variables | changes, timeout=LIMIT_S, check=False,
    )  # fmt: skip


@contextmanager
def in_terminal(arguments: str, variables: dict[str, str]) -> Iterator[Terminal]:
    """A command in a terminal for the length of the block."""
    shown = Terminal([*COMMAND, *arguments.split()], variables, columns=200)
    try:
        yield shown
        assert shown.unchanged()
    finally:
        shown.close()


async def shows(shown: Terminal, pattern: str) -> re.Match[str]:
    """Wait until this was shown."""
    await shown.until(lambda _screen: re.search(pattern, shown.written))
    found = re.search(pattern, shown.written)
    assert found
    return found


def secrets_of(schwab: SchwabSimulator) -> list[str]:
    """Every secret that was ever issued, stored or configured: what must never be shown."""
    found = {schwab.client_secret, *schwab.oauth._access, *schwab.oauth._codes}
    for file in Path().rglob("*.json*"):
        if file.suffix != ".lock":
            token = json.loads(file.read_bytes())["token"]
            found |= {token["access_token"], token["refresh_token"], token["id_token"]}
    return [form for secret in found for form in (secret, secret.replace("@", "%40"), secret.removesuffix("@"))]


def assert_harmless(shown: str, schwab: SchwabSimulator, *typed: str) -> None:
    """No traceback and no secret in anything shown; what a person typed in a terminal echoes, and is not ours."""
    assert "Traceback" not in shown
    for text in typed:
        shown = shown.replace(text.replace("\n", "\r\n"), "").replace(text, "")
    for secret in secrets_of(schwab):
        assert secret not in shown


async def test_the_whole_life_of_a_login(schwab: SchwabSimulator, variables: dict[str, str]) -> None:
    """Paste, status, refresh, logout: data on stdout, version 1, no secret anywhere even in debug logs."""
    done = await run("auth login --manual --json -vv", variables, stdin=redirect_of(schwab) + "\n")
    assert done.returncode == 0, done.stderr
    login = json.loads(done.stdout)
    assert (login["v"], login["skipped"], login["login_needed"]) == (1, False, False)
    assert 0 < login["login_due_in_s"] <= 7 * 86_400
    assert_harmless(done.stdout + done.stderr, schwab)

    status = await run("auth status --json", variables)
    assert status.returncode == 0
    assert json.loads(status.stdout)["login_due_at"] == login["login_due_at"]
    assert json.loads(status.stdout)["credentials"]["SCHWAB_CLIENT_ID"] == "environment"

    refreshed = await run("auth refresh --json -vv", variables)
    refresh = json.loads(refreshed.stdout)
    assert refresh["old_fingerprint"] == login["access_fingerprint"] != refresh["new_fingerprint"]
    assert "/.tokens/snapshots/" in refresh["snapshot"]
    assert_harmless(refreshed.stdout + refreshed.stderr, schwab)

    quiet = await run("auth refresh --quiet", variables)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    not_due = await run("auth refresh --if-due", variables)
    assert "Not due" in not_due.stdout

    logout = await run("auth logout --json", variables)
    assert json.loads(logout.stdout)["snapshot"].endswith(".json")
    assert token_bytes() is None
    needed = await run("auth status", variables)
    assert needed.returncode == 3
    assert "schwabstream auth login" in needed.stdout
    assert_harmless(quiet.stderr + status.stdout + not_due.stdout + logout.stdout + needed.stdout, schwab)


async def test_a_status_in_the_last_day_warns(schwab: SchwabSimulator, variables: dict[str, str]) -> None:
    """Within 24 hours of the end the status warns and names date and time; afterwards it exits with 3."""
    store_login(schwab, 6.5 * 86_400)
    soon = await run("auth status", variables)
    assert soon.returncode == 0
    assert "WARNING: streaming stops within 24 hours" in soon.stdout
    assert re.search(r"next one due \w{3} \d\d \w{3} \d{4} \d\d:\d\d \w+ \(in 1[12]h", soon.stdout)
    store_login(schwab, 8 * 86_400)
    over = await run("auth status --json", variables)
    assert over.returncode == 3
    assert json.loads(over.stdout)["login_due_in_s"] < 0


PASTES = {
    "as it is": lambda url: f"{url}\n",
    "quoted, broken into lines": lambda url: f"'{url[:60]}\n{url[60:100]}\n{url[100:]}'\n",
    "bracketed, after rubbish": lambda url: f"what?\n\n\x1b[200~{url}\x1b[201~\n",
}


@pytest.mark.parametrize("slip", PASTES)
async def test_a_paste_in_a_terminal_logs_in(schwab: SchwabSimulator, variables: dict[str, str], slip: str) -> None:
    """In a real terminal every common slip of the paste still logs in, with our own state in the address."""
    with in_terminal("auth login --manual", variables) as shown:
        url = await shows(shown, r"state=([\w-]+)\s")
        await shows(shown, "paste it here")
        shown.type(PASTES[slip](redirect_of(schwab, url[1])).encode())
        assert await shown.end() == 0, shown.written
    assert "Logged in." in shown.written
    assert "next one due" in shown.written
    assert token_bytes() is not None


HOSTILE = {
    "end of input": "\x04",
    "empty, control characters, not text": "\n\x00\x01\x1b[2J\x1b]0;title\x07\n\n\udcff\udcfe\n\n",
    "very long, format strings, empty": "A" * 3000 + "\n\n%s%n{0}{x!r}${HOME}`id`\n\n\n",
    "a forged state, the login page, denied": "https://127.0.0.1/?code=C0.forged%40&state=other\n"
    "https://api.schwabapi.com/v1/oauth/authorize?client_id=x\n\nhttps://127.0.0.1/?error=access_denied\n\n",
    "a made-up code": "C0.madeup%40\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_input_in_a_terminal_ends_in_a_sentence(
    schwab: SchwabSimulator, variables: dict[str, str], name: str
) -> None:
    """Wrong, empty and hostile input ends with exit code 3, one sentence, no traceback, and nothing written."""
    with in_terminal("auth login --manual", variables) as shown:
        await shows(shown, "paste it here")
        shown.type(HOSTILE[name].encode("utf-8", "surrogateescape"))
        assert await shown.end() == 3, shown.written
    assert shown.written.rstrip().splitlines()[-1].startswith("schwabstream: ")
    assert_harmless(shown.written, schwab)
    assert token_bytes() is None


@pytest.mark.parametrize("text", ["", "R0.refused@", "two words\0é", "x" * 100_000])
async def test_a_wrong_refresh_token_is_refused(schwab: SchwabSimulator, variables: dict[str, str], text: str) -> None:
    """A refresh token that is none, or that Schwab refuses, is exit code 3 and leaves nothing."""
    done = await run("auth login --with-refresh-token", variables, stdin=text)
    assert done.returncode == 3, done.stderr
    assert "schwabstream auth login" in done.stderr
    assert_harmless(done.stdout + done.stderr, schwab)
    assert token_bytes() is None


async def test_a_refresh_token_typed_in_a_terminal_is_not_shown(
    schwab: SchwabSimulator, variables: dict[str, str]
) -> None:
    """In a terminal the refresh token is asked for without echo, and proven."""
    given = schwab.issue_token()["token"]["refresh_token"]
    with in_terminal("auth login --with-refresh-token", variables) as shown:
        await shows(shown, "not shown")
        shown.type(f"{given}\n".encode())
        assert await shown.end() == 0, shown.written
    assert "unknown age" in shown.written
    assert_harmless(shown.written, schwab)


async def test_ctrl_c_leaves_nothing_behind(schwab: SchwabSimulator, variables: dict[str, str]) -> None:
    """Interrupting a waiting login frees the port and leaves no file; no traceback is shown."""
    for arguments in ("auth login --no-browser", "auth login --manual"):
        with in_terminal(arguments, variables) as shown:
            await shows(shown, "/v1/oauth/authorize")
            await shows(shown, "--manual|paste it here")
            shown.type(CTRL_C)
            assert await shown.end() not in (0, -2), shown.written
        assert "Traceback" not in shown.written
        assert not directory_exists()
        socket.create_server(("127.0.0.1", int(schwab.callback_url.rsplit(":", 1)[1]))).close()


WRONG: dict[str, tuple[dict[str, str], int, str]] = {
    "no credentials": (
        {"SCHWAB_CLIENT_ID": "", "SCHWAB_CLIENT_SECRET": ""},
        2,
        "SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET",
    ),
    "blank in the secret": ({"SCHWAB_CLIENT_SECRET": "two words"}, 2, "SCHWAB_CLIENT_SECRET"),
    "wrong secret": ({"SCHWAB_CLIENT_SECRET": "PLANTED-SECRET"}, 3, "SCHWAB_CLIENT_SECRET"),
    "plain http": ({"SCHWAB_API_BASE_URL": "http://example.com"}, 2, "SCHWAB_API_BASE_URL"),
    "nobody there": ({"SCHWAB_API_BASE_URL": "http://127.0.0.1:9"}, 4, "cannot connect"),
    "a directory": ({"SCHWAB_TOKEN_PATH": "."}, 7, "must name a file"),
    "no such key": ({"SCHWAB_TOKEN_KEY": "PLANTED-KEY"}, 2, "SCHWAB_TOKEN_KEY"),
    "no key ring": (
        {"SCHWAB_TOKEN_KEY": "keyring", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
        2,
        "key ring|keyring",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_setting_is_one_sentence_and_the_right_code(
    schwab: SchwabSimulator, variables: dict[str, str], name: str
) -> None:
    """Each wrong setting ends a refresh with the contract's exit code and a sentence that names it."""
    store_login(schwab)
    changes, code, words = WRONG[name]
    done = await run("auth refresh", variables, **changes)
    assert done.returncode == code, done.stderr
    assert re.search(words, done.stderr)
    assert "PLANTED" not in done.stdout + done.stderr
    assert_harmless(done.stdout + done.stderr, schwab)


ERRORS = ["refresh_expired", "refresh_superseded", "bare_unsupported", "forbidden_html"]


@pytest.mark.parametrize("error", ERRORS)
async def test_cron_sees_refusal_and_transient_failure_by_the_exit_code(
    schwab: SchwabSimulator, variables: dict[str, str], error: Any
) -> None:
    """A refused refresh exits with 3, a transient failure with 4; both keep the stored login and log one sentence."""
    store_login(schwab)
    before = token_bytes()
    schwab.faults.token_error = error
    done = await run("auth refresh --quiet", variables)
    assert done.returncode == (3 if error.startswith("refresh_") else 4), done.stderr
    assert done.stderr.splitlines()[-1].startswith("schwabstream: ")
    assert token_bytes() == before
    assert_harmless(done.stdout + done.stderr, schwab)


async def test_no_command_touches_the_env_file(schwab: SchwabSimulator, variables: dict[str, str]) -> None:
    """No command changes the bytes or the modification time of .env, even when it is told to write there."""
    before = env_file()
    changes = {"SCHWAB_PERSIST_REFRESH_TO_ENV": "true", "SCHWAB_ENV_BACK_PATH": ".env"}
    for arguments in ("auth login --manual", "auth status", "auth refresh", "auth logout"):
        done = await run(arguments, variables, stdin=redirect_of(schwab) + "\n", **changes)
        assert done.returncode == 0, done.stderr
        assert env_file() == before
        assert_harmless(done.stdout + done.stderr, schwab)


def test_help_loads_no_heavy_library() -> None:
    """Asking for help imports none of the libraries that a login needs."""
    heavy = ("httpx", "schwab", "authlib", "pydantic", "redis", "websockets", "structlog", "cryptography")
    code = f"import sys, schwabstream.cli.auth; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
