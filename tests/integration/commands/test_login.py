"""The use cases of ``schwabstream auth`` against the simulator."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schwabstream.auth.oauth import read_paste
from schwabstream.auth.store import open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.login import Method, Prompt, as_json, log_in, log_out, open_browser, refresh, status
from schwabstream.errors import LoginRequired, SchwabUnavailable, TokenFileError
from schwabstream.settings import Settings, load_settings
from schwabstream.simulator import SchwabSimulator
from tests.support.full_disk import full_disk


@dataclass
class Someone:
    """A user who types the given lines and keeps every message."""

    lines: list[str] = field(default_factory=list)
    browser: Callable[[str], bool] = lambda _: False
    said: list[str] = field(default_factory=list)

    def read(self) -> str:
        return self.lines.pop(0) if self.lines else ""

    def prompt(self) -> Prompt:
        return Prompt(show=self.said.append, read_line=self.read, read_secret=self.read, open_browser=self.browser)

    @property
    def url(self) -> str:
        """The address in the messages."""
        return next(word for text in self.said for word in text.split() if "/oauth/authorize" in word)


@pytest.fixture
async def schwab() -> AsyncIterator[SchwabSimulator]:
    """A simulated Schwab that approves every login, with a callback on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with SchwabSimulator(callback_url=f"https://127.0.0.1:{port}") as simulator:
        simulator.faults.auto_approve = True
        yield simulator


@pytest.fixture
def settings(schwab: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that point to the simulator."""
    monkeypatch.setenv("SCHWAB_CLIENT_ID", schwab.client_id)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", schwab.client_secret)
    monkeypatch.setenv("SCHWAB_API_BASE_URL", schwab.base_url)
    monkeypatch.setenv("SCHWAB_CALLBACK_URL", schwab.callback_url)
    return load_settings()


def write(name: str, text: str) -> None:
    """Write a file in the test's directory."""
    Path(name).write_text(text)


def read(name: str) -> str:
    """Read a file in the test's directory."""
    return Path(name).read_text()


def keys_left() -> list[Path]:
    """Private keys of callback servers that remain in the temporary directory."""
    return list(Path(tempfile.gettempdir()).glob("schwabstream-*"))


def browse(url: str) -> int:
    """Follow a login page to its end like a browser whose user accepts the certificate."""
    with httpx.Client(verify=_trusting(), follow_redirects=True, trust_env=False) as client:
        return client.get(url).status_code


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def redirect_of(schwab: SchwabSimulator, state: str = "") -> str:
    """The address a browser ends on after the simulator's page."""
    query = {"client_id": schwab.client_id, "redirect_uri": schwab.callback_url} | ({"state": state} if state else {})
    return schwab.oauth.authorize(query).headers["Location"]


def store_login(schwab: SchwabSimulator, settings: Settings, age_s: float = 0) -> TokenSet:
    """Store a login as of some time ago."""
    tokens = TokenSet.from_file(schwab.issue_token(age_s))
    open_store(settings).save(tokens)
    return tokens


async def test_a_browser_login_ends_with_the_token_on_disk(schwab: SchwabSimulator, settings: Settings) -> None:
    """The browser is sent to Schwab, its redirect is received, the token stored, the port free again."""
    threads: list[threading.Thread] = []

    def browser(url: str) -> bool:
        threads.append(threading.Thread(target=browse, args=(url,)))
        threads[0].start()
        return True

    report = await log_in(settings, Someone(browser=browser).prompt())
    await asyncio.to_thread(threads[0].join)
    stored = open_store(settings).load()
    assert stored is not None
    assert schwab.oauth.access_is_valid(stored.access_token)
    assert report.state.access_fingerprint == stored.fingerprint
    assert report.state.login_due_in_s == pytest.approx(7 * 86_400, abs=3)
    assert not report.skipped
    await log_out_and_wait_for_port(settings, schwab)


async def log_out_and_wait_for_port(settings: Settings, schwab: SchwabSimulator) -> None:
    """The callback's port is free again at once."""
    port = int(schwab.callback_url.rsplit(":", 1)[1])
    socket.create_server(("127.0.0.1", port)).close()
    assert log_out(settings).snapshot


async def test_a_denied_login_is_reported_and_writes_nothing(schwab: SchwabSimulator, settings: Settings) -> None:
    """When the person does not allow access, that is the message."""
    schwab.faults.auto_approve = False

    def browser(url: str) -> bool:
        threading.Thread(target=browse, args=(f"{url}&decision=deny",), daemon=True).start()
        return True

    with pytest.raises(LoginRequired, match="access_denied"):
        await log_in(settings, Someone(browser=browser).prompt())
    assert not settings.schwab_token_path.exists()


async def test_nobody_logging_in_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time is over, or the login is interrupted, no file is left and the port is free."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(LoginRequired):
        await log_in(settings, Someone().prompt(), browser=False, limit_s=0.01)
    task = asyncio.create_task(log_in(settings, Someone().prompt(), browser=False))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not settings.schwab_token_path.parent.exists()
    assert keys_left() == []


@pytest.mark.parametrize(
    "typed",
    [
        lambda url: [url + "\n"],
        lambda url: [f'"{url}"\n'],
        lambda url: [url[:70] + "\n", url[70:] + "\n"],
        lambda url: ["\n", url + "\n"],
        lambda url: ["rubbish\n", "\n", url + "\n"],
        lambda url: [read_paste(url).code + "\n"],
        lambda url: [read_paste(url).code[:-1] + "\n", "\n"],
    ],
)
async def test_a_pasted_redirect_logs_in(
    schwab: SchwabSimulator, settings: Settings, typed: Callable[[str], list[str]]
) -> None:
    """A paste with any common slip logs in."""
    report = await log_in(settings, Someone(typed(redirect_of(schwab))).prompt(), method=Method.MANUAL)
    assert report.state.logged_in
    assert open_store(settings).load() is not None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "nothing was pasted"),
        (["\n"] * 9, "nothing was pasted"),
        (["https://127.0.0.1/?code=C0.abc%40&state=other\n"] * 3, "earlier login"),
        (["https://127.0.0.1/?error=access_denied\n", "\n"] * 3, "access_denied"),
        (["https://127.0.0.1/?code=C0.neverissued%40\n"], "30 seconds"),
    ],
)
async def test_a_paste_that_cannot_work_is_explained(
    schwab: SchwabSimulator, settings: Settings, lines: list[str], words: str
) -> None:
    """Each unusable paste ends in one sentence about it, and nothing is written."""
    with pytest.raises(LoginRequired, match=words):
        await log_in(settings, Someone(lines).prompt(), method=Method.MANUAL)
    assert not settings.schwab_token_path.exists()


async def test_a_late_paste_is_explained(schwab: SchwabSimulator, settings: Settings) -> None:
    """A code that is too old, or was used before, is explained as that."""
    schwab.faults.code_life_s = -1
    with pytest.raises(LoginRequired, match="works once and for about 30 seconds"):
        await log_in(settings, Someone([redirect_of(schwab) + "\n"]).prompt(), method=Method.MANUAL)


async def test_hostile_pastes_end_in_a_sentence(settings: Settings) -> None:
    """No text whatsoever breaks the manual login; none of it is quoted back in full."""

    @hypothesis_settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.text(max_size=200), max_size=8))
    def fuzz(lines: list[str]) -> None:
        someone = Someone([line + "\n" for line in lines if "C0." not in line and "code=" not in line])
        coroutine = log_in(settings, someone.prompt(), method=Method.MANUAL)
        with pytest.raises(LoginRequired):
            asyncio.run(coroutine)

    await asyncio.to_thread(fuzz)


async def test_a_good_login_is_not_repeated_unless_forced(schwab: SchwabSimulator, settings: Settings) -> None:
    """The stored login is used while it is good; --force logs in all the same."""
    store_login(schwab, settings)
    assert (await log_in(settings, Someone().prompt(), method=Method.MANUAL)).skipped
    forced = await log_in(settings, Someone([redirect_of(schwab) + "\n"]).prompt(), method=Method.MANUAL, force=True)
    assert not forced.skipped


@pytest.mark.parametrize("age_s", [6.5 * 86_400, 8 * 86_400])
async def test_a_login_in_its_last_day_is_renewed(schwab: SchwabSimulator, settings: Settings, age_s: float) -> None:
    """Within 24 hours of its end, and after it, a login counts as due without --force."""
    store_login(schwab, settings, age_s)
    report = await log_in(settings, Someone([redirect_of(schwab) + "\n"]).prompt(), method=Method.MANUAL)
    assert not report.skipped


async def test_a_refused_login_is_renewed(schwab: SchwabSimulator, settings: Settings) -> None:
    """A stored login that Schwab refuses does not count as good, whatever its age."""
    store = open_store(settings)
    store.save(TokenSet("I0.x@", "R0.superseded@", 0.0, None))
    report = await log_in(settings, Someone([redirect_of(schwab) + "\n"]).prompt(), method=Method.MANUAL)
    assert not report.skipped


async def test_a_refresh_token_is_proven_before_it_is_stored(schwab: SchwabSimulator, settings: Settings) -> None:
    """--with-refresh-token refreshes first; a refused one writes nothing, a good one is a login of unknown age."""
    given_token = schwab.issue_token()["token"]["refresh_token"]
    for text in ("R0.refused@", "", "two words"):
        with pytest.raises(LoginRequired):
            await log_in(settings, Someone([text]).prompt(), method=Method.REFRESH_TOKEN)
        assert not settings.schwab_token_path.exists()
    report = await log_in(settings, Someone([f' "{given_token}"\n']).prompt(), method=Method.REFRESH_TOKEN)
    assert report.state.logged_in
    assert report.state.login_due_at is None


async def test_a_refresh_is_proven(schwab: SchwabSimulator, settings: Settings) -> None:
    """A refresh reports both fingerprints and the snapshot; --if-due leaves a fresh token alone."""
    before = store_login(schwab, settings)
    assert not (await refresh(settings, if_due=True)).refreshed
    assert schwab.received.refreshes == 0
    report = await refresh(settings)
    after = open_store(settings).load()
    assert after is not None
    assert (report.old_fingerprint, report.new_fingerprint) == (before.fingerprint, after.fingerprint)
    assert before.fingerprint != after.fingerprint
    assert report.snapshot is not None
    assert "access_token" in read(report.snapshot)
    assert report.state.login_due_at == as_json(status(settings))["login_due_at"]


async def test_a_refresh_that_fails_keeps_the_login(schwab: SchwabSimulator, settings: Settings) -> None:
    """A transient failure of a refresh is SchwabUnavailable and leaves the file as it was."""
    store_login(schwab, settings)
    before = settings.schwab_token_path.read_bytes()
    schwab.faults.token_error, schwab.faults.retry_after_s = "rate_limited", 60
    with pytest.raises(SchwabUnavailable):
        await refresh(settings)
    assert settings.schwab_token_path.read_bytes() == before


async def test_on_a_full_disk_a_refresh_is_refused_before_schwab_is_asked(
    schwab: SchwabSimulator, settings: Settings
) -> None:
    """A command whose token would end with it asks for none: where Schwab rotates, the stored login stays good."""
    schwab.faults.rotate_refresh_token = True
    store_login(schwab, settings)
    with full_disk(), pytest.raises(TokenFileError, match="free some space"):
        await refresh(settings)
    assert schwab.received.requests == []
    assert (await refresh(settings)).refreshed


async def test_the_status_shows_a_token_file_that_cannot_be_written(
    schwab: SchwabSimulator, settings: Settings
) -> None:
    """While the disk is full the status explains that the stored tokens may be old, and leaves nothing behind."""
    assert as_json(status(settings))["unwritable"] is None
    assert not settings.schwab_token_path.parent.exists()
    store_login(schwab, settings)
    with full_disk():
        report = status(settings)
    assert "free some space" in str(report.unwritable)
    assert report.state.logged_in
    assert status(settings).unwritable is None
    assert list(settings.schwab_token_path.parent.glob(".*.tmp")) == []


async def test_the_status_names_the_origin_of_each_credential(
    schwab: SchwabSimulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status names the origin of each credential, never its value, and asks no server."""
    assert status(settings).state.login_needed
    write(".env.back", "SCHWAB_REFRESH_TOKEN=R0.planted@\n")
    report = status(load_settings())
    assert not report.state.login_needed
    assert report.credentials["SCHWAB_CLIENT_ID"] == "environment"
    assert report.credentials["SCHWAB_REFRESH_TOKEN"] == ".env.back"
    assert report.credentials["SCHWAB_TOKEN_KEY"] is None
    store_login(schwab, settings, 6.5 * 86_400)
    report = status(settings)
    assert report.state.login_due_soon
    assert as_json(report)["login_due_in_s"] == pytest.approx(43_200, abs=3)
    assert as_json(report)["v"] == 1
    assert "planted" not in str(as_json(report))
    assert schwab.received.requests == []


async def test_a_logout_forgets_and_keeps(schwab: SchwabSimulator, settings: Settings) -> None:
    """Logging out removes the file, keeps a snapshot, and warns of what would bring a login back."""
    store_login(schwab, settings)
    write(".env.back", "SCHWAB_REFRESH_TOKEN=R0.planted@\n")
    report = log_out(load_settings())
    assert report.snapshot is not None
    assert "access_token" in read(report.snapshot)
    assert report.still_set == ".env.back"
    assert not settings.schwab_token_path.exists()
    assert log_out(settings).snapshot is None


async def test_the_refresh_token_is_kept_in_the_environment_file_when_asked(
    schwab: SchwabSimulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SCHWAB_PERSIST_REFRESH_TO_ENV keeps the line current, and a logout takes it out."""
    monkeypatch.setenv("SCHWAB_PERSIST_REFRESH_TO_ENV", "true")
    schwab.faults.rotate_refresh_token = True
    write(".env.back", "# mine\n")
    store_login(schwab, settings)
    await refresh(load_settings())
    stored = open_store(settings).load()
    assert stored is not None
    assert read(".env.back") == f"# mine\nSCHWAB_REFRESH_TOKEN={stored.refresh_token}\n"
    with capture_logs():
        report = log_out(load_settings())
    assert read(".env.back") == "# mine\n"
    assert report.still_set is None


BROWSER = """#!/bin/sh
echo noise on both; echo noise on both >&2
(echo $$; echo "$1"; env) > written; mv written seen
exec sleep 60
"""
OPENS_A_BROWSER = """
import os, sys, time
from schwabstream.commands.login import open_browser
print(open_browser(sys.argv[1]))
while not os.path.exists("seen"):
    time.sleep(0.01)
"""


def test_a_browser_is_opened_without_waiting_for_it_and_gets_none_of_our_settings(tmp_path: Path) -> None:
    """The browser gets the address and no variable of ours, writes nothing on our terminal, and is not waited for."""
    program = tmp_path / "browser"
    program.write_text(BROWSER)
    program.chmod(0o755)
    planted = dict.fromkeys(("SCHWAB_CLIENT_SECRET", "REDIS_URL", "OTHERS"), "PLANTED")
    environment = {**os.environ, **planted, "BROWSER": f"{program} %s", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", OPENS_A_BROWSER, "https://x/?a=1&b=2"],
        capture_output=True, text=True, env=environment, timeout=30, check=True,
    )  # fmt: skip
    pid, *lines = read("seen").splitlines()
    os.kill(int(pid), signal.SIGTERM)  # it still runs
    assert lines[0] == "https://x/?a=1&b=2"
    assert [line for line in lines if "PLANTED" in line] == ["OTHERS=PLANTED"]
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("name", ["/usr/bin/w3m", None])
def test_without_a_graphical_browser_none_is_opened(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text browser would take the terminal and is left alone; a machine without any has none."""

    def get() -> webbrowser.BaseBrowser:
        if name is None:
            raise webbrowser.Error("none")
        return webbrowser.GenericBrowser(name)

    monkeypatch.setattr(webbrowser, "get", get)
    assert not open_browser("https://x")
