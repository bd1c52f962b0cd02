"""``schwabstream doctor`` against a real Redis and the simulator: each thing right, then each thing wrong."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schwabstream.commands.doctor import schwab
from schwabstream.commands.doctor.examine import examine
from schwabstream.commands.doctor.findings import Diagnosis, Verdict
from schwabstream.publishing.fence import lease_key
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer

DAY_S = 86_400.0
NAMES = [
    "settings",
    "login",
    "token directory",
    "dns",
    "tls",
    "clock",
    "account",
    "entitlements",
    "quotes",
    "streamer",
    "redis",
    "redis keys",
    "redis memory",
    "redis readers",
    "lease",
    "report",
    "alerts",
]


def of(diagnosis: Diagnosis, name: str) -> Any:
    """One finding."""
    return next(each for each in diagnosis.findings if each.name == name)


def verdicts(diagnosis: Diagnosis) -> dict[str, Verdict]:
    """Everything that is not simply right."""
    return {each.name: each.verdict for each in diagnosis.findings if each.verdict is not Verdict.OK}


Issue = Callable[..., Path]


@pytest.fixture
def issue(simulator: SchwabSimulator, clean: Path) -> Issue:
    """Store a login of some age."""

    def store(age_s: float = 0.0, mode: int = 0o600, **changes: Any) -> Path:
        path = clean / "tokens" / "schwab_token.json"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(json.dumps(simulator.issue_token(age_s) | changes))
        path.chmod(mode)
        return path

    return store


@pytest.fixture
def good(
    simulator: SchwabSimulator, redis_server: RedisServer, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> SchwabSimulator:
    """Everything as it should be."""
    monkeypatch.setenv("SCHWAB_API_BASE_URL", simulator.base_url)
    monkeypatch.setenv("SCHWAB_CLIENT_ID", simulator.client_id)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", simulator.client_secret)
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(issue()))
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return simulator


def report(**changes: Any) -> str:
    """A streamer's report of this moment."""
    now = int(time.time() * 1000)
    line = SymbolReport(symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", fresh=True)
    given = {"state": "streaming", "since": now, "reported": now, "started": now, "pid": 4711, "host": "tower"}
    return StreamerReport(**(given | {"version": "0", "symbols": (line,)} | changes)).model_dump_json()


async def test_all_is_well(good: SchwabSimulator) -> None:
    """Where nothing is wrong every finding is ok, in the order in which a run needs things, and the code is 0."""
    diagnosis = await examine()
    assert verdicts(diagnosis) == {}
    assert [each.name for each in diagnosis.findings] == NAMES
    assert diagnosis.exit_code == 0
    assert diagnosis.settings["REDIS_URL"] == "environment"
    assert diagnosis.settings["SCHWAB_SYMBOLS"] == "default"
    assert good.streamer_connections == 0


async def test_nothing_secret_is_shown(good: SchwabSimulator, redis_server: RedisServer, issue: Issue) -> None:
    """No token, secret, account number or customer id is in what is shown, however it goes."""
    token = good.issue_token()["token"]
    issue(token=token | {"expires_at": int(time.time()) + 1800})
    preference = good.rest.user_preference()
    account = preference["accounts"][0]["accountNumber"]
    secrets = [token["access_token"], token["refresh_token"], good.client_secret, good.customer_id, account]
    shown = [str((await examine()).as_json())]
    good.faults.rest_error = "service_error"
    shown.append(str((await examine()).as_json()))
    redis_server.kill()
    shown.append(str((await examine()).as_json()))
    for secret in secrets:
        assert not any(secret in text for text in shown)


async def test_with_nothing_set_it_says_what_it_could_not_check(clean: Path) -> None:
    """Without settings, login, network and Redis it still looks at everything and names each next step."""
    diagnosis = await examine(redis="redis://127.0.0.1:1/0")
    assert [each.name for each in diagnosis.findings] == NAMES
    assert diagnosis.exit_code == 2
    found = verdicts(diagnosis)
    assert found["settings"] == found["login"] == found["redis"] == Verdict.FAILED
    assert found["account"] == found["entitlements"] == found["lease"] == Verdict.UNCHECKED
    assert all(each.fix for each in diagnosis.findings if each.verdict is Verdict.FAILED)


async def test_simulated_run_is_well(clean: Path) -> None:
    """``--simulate`` brings its own Schwab and Redis: nothing is needed and nothing is wrong."""
    assert verdicts(await examine(simulate=True)) == {}


async def test_wrong_setting_is_named_and_the_rest_left(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be read is the one failure; nothing is guessed from the others."""
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    diagnosis = await examine()
    assert of(diagnosis, "settings").detail.startswith("SCHWAB_METRICS_PORT")
    assert diagnosis.exit_code == 2
    assert {each.verdict for each in diagnosis.findings[1:]} == {Verdict.UNCHECKED}


async def test_every_wrong_setting_is_named_at_once(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who repairs one setting should not meet the next one only then."""
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    monkeypatch.setenv("REDIS_URL", "redis://h?foo=1")
    detail = of(await examine(), "settings").detail
    assert "SCHWAB_METRICS_PORT: must be a whole number" in detail
    assert "REDIS_URL: has an unknown option foo" in detail


async def test_a_misspelled_setting_is_named(
    good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that begins as ours do and is none is a warning with its place and what was likely meant."""
    monkeypatch.setenv("SCHWAB_SYMBOL", "AAPL")
    diagnosis = await examine()
    settings = of(diagnosis, "settings")
    assert verdicts(diagnosis) == {"settings": Verdict.WARNING}
    assert "unknown: SCHWAB_SYMBOL (environment)" in settings.detail
    assert settings.fix == "SCHWAB_SYMBOL: did you mean SCHWAB_SYMBOLS?"
    monkeypatch.delenv("SCHWAB_SYMBOL")
    (clean / ".env.back").write_text("SCHWAB_NOTHING_LIKE_IT=1\n")
    settings = of(await examine(), "settings")
    assert "unknown: SCHWAB_NOTHING_LIKE_IT (.env.back)" in settings.detail
    assert "lists all settings" in settings.fix


async def test_token_directory_that_is_none(
    good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no token could be kept, that is found before one is lost."""
    (clean / "file").touch()
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(clean / "file" / "deeper" / "token.json"))
    found = of(await examine(), "token directory")
    assert (found.verdict, found.code) == (Verdict.FAILED, 7)
    assert found.detail == f"{clean / 'file'} is not a directory"


async def test_names_that_something_else_has_taken(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A key of the wrong type, to which nothing could be written, is named; repaired, all is well."""
    redis_server.client.rpush("market_data:stream:ticks", "somebody's")
    redis_server.client.set("market_data:last:ticks", "somebody's")
    diagnosis = await examine()
    keys = of(diagnosis, "redis keys")
    assert (keys.verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "market_data:stream:ticks holds a list and must be a stream" in keys.detail
    assert "market_data:last:ticks holds a string and must be a hash" in keys.detail
    redis_server.client.delete("market_data:stream:ticks", "market_data:last:ticks")
    assert verdicts(await examine()) == {}


async def test_a_cluster_is_named(
    good: SchwabSimulator, start_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of a Cluster is Redis's failure, with what it is and what to do."""
    monkeypatch.setenv("REDIS_URL", start_redis("--cluster-enabled", "yes").url)
    diagnosis = await examine()
    redis = of(diagnosis, "redis")
    assert (redis.verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "is a node of a Redis Cluster, which is not supported yet" in redis.detail
    assert "give the URL of a primary" in redis.fix


async def test_symbol_that_cannot_be_one(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonsense among the symbols fails as a run would."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", "/MNQ:XCME,??")
    diagnosis = await examine()
    assert (of(diagnosis, "settings").verdict, diagnosis.exit_code) == (Verdict.FAILED, 2)
    assert of(diagnosis, "quotes").verdict is Verdict.UNCHECKED


@pytest.mark.parametrize(
    ("age_days", "verdict", "words"),
    [(6.5, Verdict.WARNING, "0.5 days left"), (8, Verdict.FAILED, "has ended")],
)
async def test_age_of_the_login(
    good: SchwabSimulator, issue: Issue, age_days: float, verdict: Verdict, words: str
) -> None:
    """A login in its last day is a warning, one past its seven days a failure with code 3."""
    issue(age_days * DAY_S)
    diagnosis = await examine()
    login = of(diagnosis, "login")
    assert (login.verdict, login.fix) == (verdict, "run schwabstream auth login")
    assert words in login.detail
    assert diagnosis.exit_code == (3 if verdict is Verdict.FAILED else 0)


async def test_login_of_unknown_age(good: SchwabSimulator, issue: Issue) -> None:
    """A login whose age nobody knows works, and is told."""
    issue(creation_timestamp=0)
    assert "age of the login is unknown" in of(await examine(), "login").detail


async def test_open_token_file(good: SchwabSimulator, issue: Issue) -> None:
    """A token file that other users could read is a warning, and the check closes it."""
    path = issue(mode=0o644)
    login = of(await examine(), "login")
    assert (login.verdict, "mode 0644" in login.detail) == (Verdict.WARNING, True)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_token_path_that_is_no_file(good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token path that cannot be used is code 7 with the next step."""
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(clean))
    diagnosis = await examine()
    assert (of(diagnosis, "login").code, diagnosis.exit_code) == (7, 7)


async def test_bootstrap_token_instead_of_a_file(
    good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file a refresh token from the environment will do."""
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(clean / "new" / "token.json"))
    monkeypatch.setenv("SCHWAB_REFRESH_TOKEN", good.issue_token()["token"]["refresh_token"])
    diagnosis = await examine()
    assert "SCHWAB_REFRESH_TOKEN" in of(diagnosis, "login").detail
    assert diagnosis.exit_code == 0


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "code"), [(10, Verdict.WARNING, 0), (-3600, Verdict.FAILED, 2), (3600, Verdict.FAILED, 2)]
)
async def test_clock(good: SchwabSimulator, ahead_s: float, verdict: Verdict, code: int) -> None:
    """A clock that is some seconds off is a warning, half a minute a failure; it says in which direction."""
    (clock,) = [
        each
        for each in await schwab.examine_network(good.base_url, wall=lambda: time.time() + ahead_s)
        if each.name == "clock"
    ]
    assert (clock.verdict, clock.code) == (verdict, code)
    assert ("ahead of" if ahead_s > 0 else "behind") in clock.detail


async def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows is told with the name, and what depends on it is not checked."""
    dns, tls, clock = await schwab.examine_network("https://schwab.invalid")
    assert (dns.verdict, dns.code) == (Verdict.FAILED, 4)
    assert "schwab.invalid" in dns.detail
    assert tls.verdict is clock.verdict is Verdict.UNCHECKED


async def test_nobody_listens(unused_port: int) -> None:
    """A port that refuses is told as such."""
    _, tls, clock = await schwab.examine_network(f"http://127.0.0.1:{unused_port}")
    assert (tls.verdict, tls.code) == (Verdict.FAILED, 4)
    assert "Connection refused" in tls.detail or "Connect call failed" in tls.detail
    assert clock.verdict is Verdict.UNCHECKED


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


async def test_certificate_that_nobody_signed(tmp_path: Path) -> None:
    """A certificate that is not trusted is told as such, with the fix."""
    from schwabstream.auth.callback import _server_context

    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=_server_context("127.0.0.1"))
    port = server.sockets[0].getsockname()[1]
    _, tls, _ = await schwab.examine_network(f"https://127.0.0.1:{port}")
    server.close()
    assert (tls.verdict, tls.code) == (Verdict.FAILED, 4)
    assert "not trusted" in tls.detail
    assert "certificates" in str(tls.fix)


async def test_no_tls_where_there_should_be() -> None:
    """Plain text where TLS should be is told as such."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, tls, _ = await schwab.examine_network(f"https://127.0.0.1:{port}")
    server.close()
    assert tls.verdict is Verdict.FAILED
    assert "no TLS" in tls.detail


async def test_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is bounded: a server that takes the connection and says nothing is a failure in time."""
    monkeypatch.setattr("schwabstream.commands.doctor.findings.LIMIT_S", 0.3)
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: connections.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    *_, clock = await schwab.examine_network(f"http://127.0.0.1:{port}")
    for writer in connections:
        writer.close()
        await writer.wait_closed()
    server.close()
    assert (clock.verdict, clock.code, clock.detail) == (Verdict.FAILED, 4, "no answer within 0.3 s")


@pytest.mark.parametrize(
    ("fault", "code"), [("server_error", 4), ("rate_limited", 4), ("unauthorized", 3), ("not_json", 4)]
)
async def test_schwab_that_refuses(good: SchwabSimulator, fault: Any, code: int) -> None:
    """What Schwab answers decides the code; what depends on the answer is not checked."""
    good.faults.rest_error = fault
    diagnosis = await examine()
    assert of(diagnosis, "account").verdict is Verdict.FAILED
    assert diagnosis.exit_code == code
    assert of(diagnosis, "lease").verdict is Verdict.UNCHECKED
    assert of(diagnosis, "report").verdict is Verdict.OK


async def test_login_that_schwab_refuses(good: SchwabSimulator) -> None:
    """A refused refresh is code 3 and says how to log in."""
    good.faults.rest_error, good.faults.token_error = "unauthorized", "refresh_expired"
    diagnosis = await examine()
    assert diagnosis.exit_code == 3
    assert of(diagnosis, "account").fix == "run schwabstream auth login"


@pytest.mark.parametrize(
    ("level2", "permission", "words"),
    [(False, "NP", "no level 2"), (True, None, "not reported"), (True, "12345678", "not reported")],
)
async def test_entitlements(good: SchwabSimulator, level2: bool, permission: str | None, words: str) -> None:
    """What the account may not see is a warning; whatever else Schwab puts there is not repeated."""
    good.faults.level2_permission, good.faults.market_data_permission = level2, permission
    found = of(await examine(), "entitlements")
    assert (found.verdict, words in found.detail) == (Verdict.WARNING, True)
    assert "12345678" not in found.detail


async def test_delayed_quotes(good: SchwabSimulator) -> None:
    """Delayed data is told before anybody trades on it."""
    good.faults.delayed = True
    quotes = of(await examine(), "quotes")
    assert (quotes.verdict, "are delayed" in quotes.detail) == (Verdict.WARNING, True)


async def test_unknown_symbols(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols that Schwab does not quote are named."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", "ZZZZQ")
    quotes = of(await examine(), "quotes")
    assert (quotes.verdict, "ZZZZQ" in quotes.detail) == (Verdict.WARNING, True)


async def test_redis_that_is_away(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A Redis that cannot be reached is code 8, and what needs it is not checked."""
    redis_server.kill()
    diagnosis = await examine()
    assert diagnosis.exit_code == 8
    names = ("redis keys", "redis memory", "redis readers", "lease", "report")
    assert {of(diagnosis, name).verdict for name in names} == {Verdict.UNCHECKED}


async def test_redis_rules(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A policy that evicts is a warning with its fix; the limit for readers is told."""
    redis_server.client.config_set("maxmemory", "100mb")
    redis_server.client.config_set("maxmemory-policy", "volatile-lru")
    diagnosis = await examine()
    memory = of(diagnosis, "redis memory")
    assert (memory.verdict, "of 100 MB, policy volatile-lru" in memory.detail) == (Verdict.WARNING, True)
    assert "noeviction" in memory.fix
    assert "32 MB, or at 8 MB for 60 s" in of(diagnosis, "redis readers").detail
    redis_server.client.config_set("maxmemory-policy", "noeviction")
    assert of(await examine(), "redis memory").verdict is Verdict.OK


async def test_replica(good: SchwabSimulator, redis_server: RedisServer, unused_port: int) -> None:
    """A read-only replica cannot be published to."""
    redis_server.client.replicaof("127.0.0.1", str(unused_port))
    assert "read-only replica" in of(await examine(), "redis").detail


async def test_redis_that_shows_no_configuration(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A managed Redis that forbids CONFIG is no failure; its password is not shown."""
    redis_server.client.acl_setuser(
        "app",
        enabled=True,
        passwords=["+s3cret"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=["-config"],
    )
    monkeypatch.setenv("REDIS_URL", f"redis://app:s3cret@127.0.0.1:{redis_server.port}/0")
    diagnosis = await examine()
    assert verdicts(diagnosis) == {"redis readers": Verdict.UNCHECKED}
    assert "s3cret" not in str(diagnosis.as_json())


async def test_wrong_password(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused password is Redis's failure, told without the password."""
    monkeypatch.setenv("REDIS_URL", f"redis://app:s3cret@127.0.0.1:{redis_server.port}/0")
    diagnosis = await examine()
    assert (of(diagnosis, "redis").verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "s3cret" not in str(diagnosis.as_json())


@pytest.mark.parametrize("url", ["wss://h:abc/", "wss://[::1/", f"wss://{'x' * 64}.invalid/", "wss://h:1\x1b]0;x\x07/"])
async def test_a_streamer_address_that_cannot_be_used(good: SchwabSimulator, url: str) -> None:
    """An address that cannot be parsed is code 5, in words, without control characters."""
    good.rest.socket_url = url
    found = of(await examine(), "streamer")
    assert (found.verdict, found.code) == (Verdict.FAILED, 5)
    assert "address cannot be used" in found.detail
    assert found.detail.isprintable()


async def test_running_streamer(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """Who holds the lease and how the running streamer is; it is left alone."""
    redis_server.client.set(lease_key("market_data", good.customer_id), "7:tower:4711")
    redis_server.client.set("market_data:streamer", report())
    diagnosis = await examine()
    assert of(diagnosis, "lease").detail == "held by host tower, pid 4711"
    assert "streaming on tower, pid 4711" in of(diagnosis, "report").detail
    assert diagnosis.exit_code == 0
    assert good.streamer_connections == 0


async def test_a_prefix_of_another_account(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A prefix under which another account publishes is found before a run is refused for it."""
    redis_server.client.set("market_data:owner", "another")
    diagnosis = await examine()
    assert of(diagnosis, "lease").verdict is Verdict.FAILED
    assert diagnosis.exit_code == 6
    assert good.streamer_connections == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "evicted", "reason": "another session"}, "another session"),
        ({"refusing": ("market_data:stream:bars",)}, "Redis refuses to write market_data:stream:bars"),
        ({"symbols": (SymbolReport(symbol="X", key="X", asset="EQUITY"),)}, "1 of 1 symbols without data (X)"),
    ],
)
async def test_unhealthy_streamer(
    good: SchwabSimulator, redis_server: RedisServer, changes: dict[str, Any], words: str
) -> None:
    """A streamer that runs but does not stream everything is code 4, with what it says itself."""
    redis_server.client.set("market_data:streamer", report(**changes))
    diagnosis = await examine()
    assert (of(diagnosis, "report").verdict, diagnosis.exit_code) == (Verdict.FAILED, 4)
    assert words in of(diagnosis, "report").detail


async def test_what_others_wrote_is_redacted(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """What comes from elsewhere, such as a streamer's reason, is shown without what looks like a token."""
    token = json.dumps(good.issue_token()["token"]["access_token"]).strip('"')
    redis_server.client.set("market_data:streamer", report(state="waiting", reason=f"denied {token}"))
    detail = of(await examine(), "report").detail
    assert "denied" in detail
    assert token not in detail


async def test_report_that_is_none(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """Something else under the report's name is told, not raised."""
    redis_server.client.set("market_data:streamer", "{}")
    assert "not the report of a streamer" in of(await examine(), "report").detail


@pytest.mark.parametrize(
    ("command", "verdict"),
    [("true --loud", Verdict.OK), ("/does/not/exist", Verdict.FAILED), ("'open", Verdict.FAILED)],
)
async def test_alert_command(
    good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch, command: str, verdict: Verdict
) -> None:
    """An alert command that cannot be run is found before it is needed."""
    monkeypatch.setenv("SCHWAB_ALERT_COMMAND", command)
    diagnosis = await examine()
    assert of(diagnosis, "alerts").verdict is verdict
    assert diagnosis.exit_code == (2 if verdict is Verdict.FAILED else 0)
