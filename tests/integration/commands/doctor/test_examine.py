"""``schwabstream doctor`` against a real Redis and the simulator: first all is well, then one thing is wrong."""

import json
import platform
import time
from pathlib import Path

import pytest

from schwabstream.commands.doctor.examine import examine
from schwabstream.commands.doctor.findings import Verdict
from schwabstream.publishing.lease import Lease
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.diagnosis import Issue, of, report, verdicts

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
    "redis topology",
    "redis keys",
    "redis memory",
    "redis readers",
    "redis wanted",
    "lease",
    "report",
    "alerts",
]


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
    secrets = [
        token["access_token"],
        token["refresh_token"],
        good.client_secret,
        good.customer_id,
        *good.faults.accounts,
    ]
    shown = [str((await examine()).as_json())]
    good.faults.rest_error = "service_error"
    shown.append(str((await examine()).as_json()))
    redis_server.kill()
    shown.append(str((await examine()).as_json()))
    for secret in secrets:
        assert not any(secret in text for text in shown)


async def test_with_nothing_set_it_names_what_it_could_not_check(clean: Path) -> None:
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


async def test_a_simulated_run_holds_the_lease_that_is_examined(clean: Path, redis_server: RedisServer) -> None:
    """``doctor --simulate`` beside ``stream run --simulate`` in the same Redis finds the lease of that run."""
    lease = Lease(redis_server.url, "market_data")
    await lease.of_simulation()
    await lease.take(wait=False)
    found = of(await examine(simulate=True, redis=redis_server.url), "lease")
    await lease.close()
    assert (found.verdict, found.detail.partition(",")[0]) == (Verdict.OK, f"held by host {platform.node()}")


async def test_wrong_setting_is_named_and_the_rest_left(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be read is the one failure; nothing is guessed from the others."""
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    diagnosis = await examine()
    assert of(diagnosis, "settings").detail.startswith("SCHWAB_METRICS_PORT")
    assert diagnosis.exit_code == 2
    assert {each.verdict for each in diagnosis.findings[1:]} == {Verdict.UNCHECKED}


async def test_every_wrong_setting_is_named_at_once(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong settings are named at once."""
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


async def test_token_directory_that_is_a_file(
    good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no token could be kept, that is found before one is lost."""
    (clean / "file").touch()
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(clean / "file" / "deeper" / "token.json"))
    found = of(await examine(), "token directory")
    assert (found.verdict, found.code) == (Verdict.FAILED, 7)
    assert found.detail == f"{clean / 'file'} is not a directory"


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
    """A login of unknown age is ok, and its age is shown as unknown."""
    issue(creation_timestamp=0)
    assert "age of the login is unknown" in of(await examine(), "login").detail


async def test_open_token_file(good: SchwabSimulator, issue: Issue) -> None:
    """A token file that others can read is a warning, and its mode is corrected."""
    path = issue(mode=0o644)
    login = of(await examine(), "login")
    assert (login.verdict, "mode 0644" in login.detail) == (Verdict.WARNING, True)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_token_path_that_is_not_a_file(
    good: SchwabSimulator, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_what_others_wrote_is_redacted(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """Foreign text, such as a streamer's reason, is shown without anything that looks like a token."""
    token = json.dumps(good.issue_token()["token"]["access_token"]).strip('"')
    redis_server.client.set("market_data:streamer", report(state="waiting", reason=f"denied {token}"))
    detail = of(await examine(), "report").detail
    assert "denied" in detail
    assert token not in detail


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
