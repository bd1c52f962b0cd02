"""The login at work against the simulator: one refresh however many ask, a refusal is never a transient failure."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.http import MOST_FAILING_CALLS, RETRY_LIMIT_S
from schwabstream.auth.store import TokenStore, open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import ConfigurationError, LoginRequired, SchwabUnavailable, TokenFileError
from schwabstream.settings import Settings, load_settings
from schwabstream.simulator import SchwabSimulator
from tests.support.full_disk import full_disk
from tests.support.stage import most_within
from tests.support.waiting import until

PROCESSES = 50


class Clock:
    """Seconds since the epoch that advance only when set, or by a sleep."""

    def __init__(self) -> None:
        self.now = time.time()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    """One clock for the simulator and for us."""
    return Clock()


@pytest.fixture
async def schwab(clock: Clock) -> AsyncIterator[SchwabSimulator]:
    """A simulated Schwab on the test's clock."""
    async with SchwabSimulator(clock=clock) as simulator:
        yield simulator


@pytest.fixture
def settings(schwab: SchwabSimulator) -> Settings:
    """Settings that point to the simulator."""
    return load_settings(
        schwab_client_id=schwab.client_id,
        schwab_client_secret=schwab.client_secret,
        schwab_api_base_url=schwab.base_url,
    )


def with_changes(settings: Settings, **changes: Any) -> Settings:
    """The same settings with changes."""
    return settings.model_copy(update=changes)


def stored_login(
    schwab: SchwabSimulator, settings: Settings, *, age_s: float = 0.0, expired: bool = False
) -> TokenStore:
    """A token file as after a login at the simulator."""
    tokens = TokenSet.from_file(schwab.issue_token(age_s))
    if expired:
        tokens = TokenSet.from_file({**tokens.to_file(), "token": {**tokens.to_file()["token"], "expires_at": 0}})
    store = open_store(settings)
    store.save(tokens)
    return store


@pytest.fixture
async def client(schwab: SchwabSimulator, settings: Settings, clock: Clock) -> AsyncIterator[SchwabAuthClient]:
    """A client whose stored access token has expired."""
    store = stored_login(schwab, settings, expired=True)
    async with SchwabAuthClient(settings, store, clock=clock, sleep=clock.sleep) as running:
        yield running


async def test_a_living_token_is_used_without_asking_schwab(
    schwab: SchwabSimulator, settings: Settings, clock: Clock
) -> None:
    """While the stored access token is valid, Schwab is not asked for another."""
    store = stored_login(schwab, settings)
    async with SchwabAuthClient(settings, store, clock=clock) as client:
        tokens = await client.token()
        assert tokens == store.load()
        assert tokens.login_due_in_s(clock()) == pytest.approx(7 * 86_400, abs=2)
        assert not tokens.login_due_soon(clock())
    assert schwab.received.requests == []


async def test_fifty_tasks_need_one_refresh(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Tasks that ask at the moment of expiry cause one refresh and all get the same token."""
    got = await asyncio.gather(*(client.token() for _ in range(50)))
    assert schwab.received.refreshes == 1
    assert len({tokens.access_token for tokens in got}) == 1
    assert schwab.oauth.access_is_valid(got[0].access_token)


async def test_fifty_forced_tasks_need_one_refresh(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Tasks that all distrust the same token share one refresh as well."""
    await asyncio.gather(*(client.refresh_tokens(force=True) for _ in range(50)))
    assert schwab.received.refreshes == 1


FORK_AND_ASK = """
import asyncio, os, sys
from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.settings import load_settings

async def ask(settings):
    async with SchwabAuthClient(settings, open_store(settings)) as client:
        return (await client.token()).access_token

settings = load_settings()
gate_read, gate_write = os.pipe()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.close(gate_write)
        os.read(gate_read, 1)  # until the parent lets all go at once
        token = asyncio.run(ask(settings))
        os.write(1, f"{os.getpid()} {token}\\n".encode())
        os._exit(0)
os.close(gate_write)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


async def test_fifty_processes_need_one_refresh() -> None:
    """Fifty processes that ask at the moment of expiry cause exactly one refresh, and each gets a working token."""
    async with SchwabSimulator() as schwab:
        variables = {
            "SCHWAB_CLIENT_ID": schwab.client_id,
            "SCHWAB_CLIENT_SECRET": schwab.client_secret,
            "SCHWAB_API_BASE_URL": schwab.base_url,
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        stored_login(schwab, load_settings(), expired=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            FORK_AND_ASK,
            str(PROCESSES),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | variables,
        )
        output, _ = await process.communicate()
        lines = [line.split() for line in output.decode().splitlines()]
        assert schwab.received.refreshes == 1
        assert len({pid for pid, _ in lines}) == PROCESSES
        assert all(schwab.oauth.access_is_valid(token) for _, token in lines)


REFUSED = {
    "refresh_expired": "no longer accepts",
    "refresh_superseded": "no longer accepts",
    "invalid_grant": "no longer accepts",
    "invalid_client": "SCHWAB_CLIENT_SECRET",
}
TRANSIENT = ["bare_unsupported", "forbidden_html", "empty_401", "rate_limited", "server_error", "not_json", "drop"]


@pytest.mark.parametrize("error", REFUSED)
async def test_a_refusal_needs_a_person_and_ends_all_calls(
    schwab: SchwabSimulator, client: SchwabAuthClient, error: Any
) -> None:
    """Refused credentials are one sentence with the command to run, are not tried twice, and leave the file alone."""
    before = client.store.path.read_bytes()
    schwab.faults.token_error = error
    for _ in range(3):
        with pytest.raises(LoginRequired, match=REFUSED[error]) as caught:
            await client.token()
        assert "schwabstream auth login" in str(caught.value)
    assert len(schwab.received.requests) == 1
    assert client.store.path.read_bytes() == before


@pytest.mark.parametrize("error", TRANSIENT)
async def test_a_transient_failure_is_waited_out_and_costs_no_token(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock, error: Any
) -> None:
    """A failure that lasts is SchwabUnavailable after a few attempts; the token stays, and works afterwards."""
    before = client.store.path.read_bytes()
    schwab.faults.token_error = error
    with pytest.raises(SchwabUnavailable, match="try again"):
        await client.token()
    assert 2 <= len(schwab.received.requests) <= 4
    assert len(clock.slept) == len(schwab.received.requests) - 1
    assert all(
        wait <= RETRY_LIMIT_S for wait in clock.slept
    )  # the limit runs on the real clock, which stands still here
    assert client.store.path.read_bytes() == before
    schwab.faults.token_error = None
    assert (await client.token()).is_valid(clock())


@pytest.mark.parametrize("error", TRANSIENT)
async def test_a_short_failure_is_not_noticed(schwab: SchwabSimulator, client: SchwabAuthClient, error: Any) -> None:
    """One bad answer is followed by a good one without the caller hearing of it."""
    schwab.faults.token_error, schwab.faults.token_error_count = error, 1
    assert (await client.token()).access_token
    assert schwab.received.refreshes == 2 or error == "drop"


async def test_what_schwab_asks_to_wait_is_obeyed(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock
) -> None:
    """A Retry-After that is short is waited, a long one is handed to the caller."""
    schwab.faults.token_error, schwab.faults.token_error_count, schwab.faults.retry_after_s = "rate_limited", 1, 2
    await client.token()
    assert clock.slept[0] >= 2
    schwab.faults.token_error_count, schwab.faults.retry_after_s = None, 120
    with pytest.raises(SchwabUnavailable, match="in 120 s") as caught:
        await client.refresh_tokens(force=True)
    assert caught.value.retry_after_s == 120


async def test_nobody_listening_is_transient(settings: Settings, schwab: SchwabSimulator, clock: Clock) -> None:
    """A closed port or an unknown host is SchwabUnavailable."""
    store = stored_login(schwab, settings, expired=True)
    await schwab.stop_listening()
    for url in (schwab.base_url, "https://schwab.invalid"):
        changed = with_changes(settings, schwab_api_base_url=url)
        async with SchwabAuthClient(changed, store, clock=clock, sleep=clock.sleep) as client:
            with pytest.raises(SchwabUnavailable, match="cannot connect"):
                await client.token()


async def test_a_failing_token_endpoint_is_not_hammered(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock
) -> None:
    """Schwab sees at most 20 failing token calls a minute, however many tasks ask."""
    schwab.faults.token_error = "server_error"
    for _ in range(30):
        outcomes = await asyncio.gather(*(client.token() for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, SchwabUnavailable) for outcome in outcomes)
        clock.now += 1.0
    calls = [seen.at for seen in schwab.received.requests]
    assert most_within(calls, 60.0) == MOST_FAILING_CALLS
    error = outcomes[-1]
    assert isinstance(error, SchwabUnavailable)
    assert error.retry_after_s
    schwab.faults.token_error = None
    clock.now += error.retry_after_s
    assert await client.token()


async def test_calls_that_succeed_are_not_counted(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """A short refresh interval is the operator's choice: only failures use up what a failing endpoint gets."""
    for _ in range(MOST_FAILING_CALLS + 5):
        await client.refresh_tokens(force=True)
    assert schwab.received.refreshes == MOST_FAILING_CALLS + 5


async def test_a_login_elsewhere_ends_the_refusal(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """After a refusal Schwab is not called until there is a new login; then the client recovers by itself."""
    schwab.faults.token_error = "refresh_expired"
    with pytest.raises(LoginRequired):
        await client.token()
    schwab.faults.token_error = None
    with pytest.raises(LoginRequired):
        await client.token()
    stored_login(schwab, client.settings)
    assert schwab.oauth.access_is_valid((await client.token()).access_token)


async def test_a_logout_elsewhere_is_not_undone(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Once the file is gone a running client stops refreshing and writes no new one."""
    await client.token()
    client.store.forget()
    with pytest.raises(LoginRequired, match="nobody is logged in"):
        await client.refresh_tokens(force=True)
    assert not client.store.path.exists()


async def test_a_rotated_refresh_token_is_stored_at_once(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """A new refresh token is in the file before the call returns; the login's age stays."""
    old = client.store.load()
    schwab.faults.rotate_refresh_token = True
    fresh = await client.token()
    assert old is not None
    assert fresh.refresh_token != old.refresh_token
    assert client.store.load() == fresh
    assert fresh.login_at == old.login_at
    assert (await client.refresh_tokens(force=True)).refresh_token != fresh.refresh_token


async def test_an_absent_refresh_token_keeps_the_old(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """An answer without a refresh token leaves the old one in place."""
    old = client.store.load()
    schwab.faults.omit_refresh_token = True
    assert old is not None
    assert (await client.token()).refresh_token == old.refresh_token


async def test_the_login_ends_after_seven_days_however_often_it_was_refreshed(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock
) -> None:
    """Refreshing does not extend the login; within its last day it is due soon, afterwards it is refused."""
    await client.token()
    clock.now += 6 * 86_400 + 60
    tokens = await client.token()
    assert tokens.is_valid(clock())
    assert tokens.login_due_soon(clock())
    left = tokens.login_due_in_s(clock())
    assert left is not None
    assert 0 < left < 86_400
    clock.now += left + 1
    with pytest.raises(LoginRequired):
        await client.refresh_tokens(force=True)


async def test_without_any_login_the_command_is_named(settings: Settings) -> None:
    """With nothing stored and nothing configured, the sentence names the command."""
    async with SchwabAuthClient(settings, open_store(settings)) as client:
        with pytest.raises(LoginRequired, match="schwabstream auth login"):
            await client.token()
        assert client.tokens is None


async def test_a_refresh_token_from_the_environment_starts_a_login(
    schwab: SchwabSimulator, settings: Settings, clock: Clock
) -> None:
    """SCHWAB_REFRESH_TOKEN is proven by a refresh before it is stored; the age of its login is unknown."""
    given = schwab.issue_token()["token"]["refresh_token"]
    changed = with_changes(settings, schwab_refresh_token=SecretStr(given))
    store = open_store(changed)
    async with SchwabAuthClient(changed, store, clock=clock) as client:
        tokens = await client.token()
    assert store.load() == tokens
    assert tokens.login_at is None
    assert schwab.received.refreshes == 1


@pytest.mark.parametrize(("given", "calls"), [("R0.refused@", 1), ("two words", 0), ("  ", 0)])
async def test_a_refused_bootstrap_writes_nothing(
    schwab: SchwabSimulator, settings: Settings, given: str, calls: int
) -> None:
    """A refresh token that does not work leaves no file behind."""
    changed = with_changes(settings, schwab_refresh_token=SecretStr(given))
    async with SchwabAuthClient(changed, open_store(changed)) as client:
        with pytest.raises(LoginRequired):
            await client.token()
    assert len(schwab.received.requests) == calls
    assert not settings.schwab_token_path.exists()


@pytest.mark.parametrize("changes", [{"schwab_client_id": None}, {"schwab_client_secret": SecretStr("two words")}])
async def test_credentials_that_cannot_work_are_named_before_any_call(
    settings: Settings, changes: dict[str, Any]
) -> None:
    """A missing or impossible app key is a configuration error that names the variable."""
    with pytest.raises(ConfigurationError, match=next(iter(changes)).upper()):
        SchwabAuthClient(with_changes(settings, **changes), open_store(settings))


async def test_what_a_streamer_login_needs_is_fetched_each_time(
    schwab: SchwabSimulator, client: SchwabAuthClient
) -> None:
    """The streamer's address and ids come from userPreference, with a new correlation id each time."""
    first, second = await client.fetch_streamer_login(), await client.fetch_streamer_login()
    assert first.socket_url == f"{schwab.base_url.replace('http', 'ws')}/ws"
    assert first.customer_id == schwab.customer_id
    assert first.correl_id != second.correl_id
    assert schwab.oauth.access_is_valid(first.access_token)
    assert first.access_token not in repr(first)


async def test_an_access_token_that_ended_early_is_refreshed_once(
    schwab: SchwabSimulator, client: SchwabAuthClient
) -> None:
    """A 401 on a token that should live is answered by one refresh and one repeat."""
    await client.token()
    schwab.oauth.revoke_access()
    assert (await client.fetch_streamer_login()).access_token
    assert schwab.received.paths().count("/trader/v1/userPreference") == 2
    assert schwab.received.refreshes == 2


async def test_a_token_that_is_never_accepted_needs_a_person(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """When even a fresh token is refused, LoginRequired is raised and Schwab is not asked again."""
    schwab.faults.rest_error = "unauthorized"
    with pytest.raises(LoginRequired, match="both products"):
        await client.fetch_streamer_login()
    assert schwab.received.paths().count("/trader/v1/userPreference") == 2


@pytest.mark.parametrize(
    "error", ["forbidden_html", "rate_limited", "server_error", "gateway_fault", "not_json", "drop"]
)
async def test_a_transient_failure_of_rest_keeps_the_login(
    schwab: SchwabSimulator, client: SchwabAuthClient, error: Any
) -> None:
    """Bad answers of the REST API never touch the login."""
    await client.token()
    schwab.faults.rest_error = error
    with pytest.raises(SchwabUnavailable):
        await client.fetch_streamer_login()
    assert schwab.received.refreshes == 1
    schwab.faults.rest_error = None
    assert await client.fetch_streamer_login()


async def test_quotes_and_hours_come_as_sent(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Quotes come for any number of keys, 500 at a time; hours for the markets asked for."""
    keys = ["AAPL", "/MES", *(f"X{number}" for number in range(600))]
    quotes = await client.fetch_quotes(keys)
    assert "AAPL" in quotes
    assert schwab.received.paths().count("/marketdata/v1/quotes") == 2
    assert set(await client.fetch_market_hours(["equity", "future"])) == {"equity", "future"}


async def test_the_background_refresh_keeps_the_token_fresh(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock
) -> None:
    """Every interval one refresh happens, asked for or not, and the task ends with the client."""
    began = clock()
    client.auto_refresh.start()
    client.auto_refresh.start()
    await until(lambda: schwab.received.refreshes >= 4)
    await client.auto_refresh.stop()
    assert (clock() - began) / (schwab.received.refreshes - 1) == pytest.approx(1500, rel=0.4)
    assert client.auto_refresh.problem is None
    assert max(clock.slept) <= 30


async def test_the_background_refresh_waits_out_trouble(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Failures and refusals show in ``problem`` and in the log once, and pass by themselves."""
    schwab.faults.token_error = "server_error"
    with capture_logs() as logs:
        client.auto_refresh.start()
        await until(lambda: isinstance(client.auto_refresh.problem, SchwabUnavailable))
        schwab.faults.token_error = "refresh_expired"
        await until(lambda: isinstance(client.auto_refresh.problem, LoginRequired))
        seen = len(schwab.received.requests)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(schwab.received.requests) == seen
        schwab.faults.token_error = None
        stored_login(schwab, client.settings)
        await until(lambda: client.auto_refresh.problem is None)
    await client.close()
    assert [entry["event"] for entry in logs].count("token refresh failed") == 2


@pytest.fixture
def rotating(schwab: SchwabSimulator) -> SchwabSimulator:
    """A Schwab that ends a refresh token with its first use and hands out another; access tokens live 75 s."""
    schwab.faults.rotate_refresh_token, schwab.faults.access_token_life_s = True, 75
    return schwab


async def test_a_full_disk_costs_no_token(rotating: SchwabSimulator, client: SchwabAuthClient) -> None:
    """Tokens received while the disk is full are used, and each further refresh builds on them."""
    with full_disk(), capture_logs() as logs:
        for count in range(1, 4):
            tokens = await client.refresh_tokens(force=True)
            assert rotating.oauth.access_is_valid(tokens.access_token)
            assert await client.token() == tokens
            assert (rotating.received.refreshes, client.tokens) == (count, tokens)
    assert [line["event"] for line in logs if "memory" in line["event"]] != []
    assert "free some space" in str(client.unsaved)
    assert client.refreshes == {"ok": 3}


async def test_the_background_refresh_writes_when_there_is_space(
    rotating: SchwabSimulator, client: SchwabAuthClient, settings: Settings, clock: Clock
) -> None:
    """Half a minute after there is space again the file has the newest login, and any process can continue from it."""
    client.auto_refresh.start()
    with full_disk():
        await until(lambda: rotating.received.refreshes >= 4)
        assert client.unsaved is not None
        freed_at = clock()
    await until(lambda: client.unsaved is None)
    assert clock() - freed_at <= 60
    await client.close()
    assert client.store.load() == client.tokens
    async with SchwabAuthClient(settings, open_store(settings), clock=clock) as other:
        assert rotating.oauth.access_is_valid((await other.refresh_tokens(force=True)).access_token)


async def test_the_end_is_the_last_chance_to_write(rotating: SchwabSimulator, client: SchwabAuthClient) -> None:
    """A client that ends writes what it still has in memory; when it cannot, that is an error in the log."""
    with full_disk():
        tokens = await client.token()
    await client.close()
    assert client.store.load() == tokens
    with full_disk(), capture_logs() as logs:
        async with client:
            await client.refresh_tokens(force=True)
    assert [line["log_level"] for line in logs] == ["warning", "error"]
    assert "schwabstream auth login" in logs[1]["event"]


async def test_a_login_that_cannot_be_stored_has_failed(
    schwab: SchwabSimulator, settings: Settings, clock: Clock
) -> None:
    """A login that cannot be stored is an error at once: it would end with the command."""
    given = schwab.issue_token()["token"]["refresh_token"]
    async with SchwabAuthClient(settings, open_store(settings), clock=clock) as client:
        with full_disk(), pytest.raises(TokenFileError, match="free some space"):
            await client.log_in_with_refresh_token(given)
        assert client.tokens is None


async def test_the_end_of_the_login_is_announced_a_day_before(
    schwab: SchwabSimulator, settings: Settings, clock: Clock
) -> None:
    """Within the last day a log line announces the end of the login, at most once an hour."""
    store = stored_login(schwab, settings, age_s=6.5 * 86_400)
    began = clock()
    with capture_logs() as logs:
        async with SchwabAuthClient(settings, store, clock=clock, sleep=clock.sleep) as client:
            client.auto_refresh.start()
            await until(lambda: clock() - began > 2.5 * 3600)
    warnings = [entry["event"] for entry in logs if "a new login is due" in entry["event"]]
    assert 3 <= len(warnings) <= 4
    assert warnings[0] in [
        f"a new login is due in {left}: schwabstream auth login" for left in ("11 h 59 min", "12 h 0 min")
    ]


async def test_a_token_file_that_cannot_be_used_is_an_error_of_its_own(settings: Settings, tmp_path: Path) -> None:
    """A directory where the token file should be is neither transient nor a login problem."""
    changed = with_changes(settings, schwab_token_path=tmp_path)
    async with SchwabAuthClient(changed, open_store(changed)) as client:
        with pytest.raises(TokenFileError):
            await client.token()


async def test_a_login_with_a_code_starts_the_seven_days(
    schwab: SchwabSimulator, client: SchwabAuthClient, clock: Clock
) -> None:
    """A code works once, and the login's age counts from its exchange."""
    reply = schwab.oauth.authorize(
        {"client_id": schwab.client_id, "redirect_uri": schwab.callback_url, "decision": "allow"}
    )
    from schwabstream.auth.oauth import read_paste

    code = read_paste(reply.headers["Location"]).code
    tokens = await client.log_in_with_code(code)
    assert client.store.load() == tokens
    assert tokens.login_at == pytest.approx(clock(), abs=1)
    before = client.store.path.read_bytes()
    with pytest.raises(LoginRequired, match="works once and for about 30 seconds"):
        await client.log_in_with_code(code)
    assert client.store.path.read_bytes() == before


async def test_the_token_file_is_schwab_pys(schwab: SchwabSimulator, client: SchwabAuthClient) -> None:
    """The file of a refresh holds everything Schwab sent, in schwab-py's layout."""
    await client.token()
    content = json.loads(client.store.path.read_bytes())
    assert set(content) == {"creation_timestamp", "token"}
    assert {"access_token", "refresh_token", "expires_at", "expires_in", "scope", "token_type", "id_token"} <= set(
        content["token"]
    )
