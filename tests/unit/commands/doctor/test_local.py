"""What a run needs before it connects: found at once, and nothing else."""

import json
import time
from pathlib import Path

import pytest

from schwabstream.commands.doctor.local import ensure_environment
from schwabstream.errors import ConfigurationError


@pytest.fixture
def ready(clean: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything a run needs; the token file."""
    path = clean / "tokens" / "token.json"
    path.parent.mkdir(mode=0o700)
    token = {"access_token": "a" * 20, "refresh_token": "r" * 20, "expires_at": int(time.time()) + 60}
    path.write_text(json.dumps({"creation_timestamp": int(time.time()), "token": token}))
    path.chmod(0o600)
    for name, value in {
        "SCHWAB_CLIENT_ID": "key",
        "SCHWAB_CLIENT_SECRET": "secret",
        "SCHWAB_TOKEN_PATH": str(path),
        "SCHWAB_ALERT_COMMAND": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return path


def missing(*, simulated: bool = False, **overrides: object) -> str:
    """The settings reported as missing; empty when none is."""
    try:
        ensure_environment(simulated=simulated, **overrides)
    except ConfigurationError as error:
        return str(error)
    return ""


def test_nothing_missing(ready: Path) -> None:
    """A run that has all it needs starts."""
    assert missing() == ""


def test_everything_missing_is_named_at_once(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, symbols, login, token directory, Redis URL, alert command and other settings: one sentence."""
    (clean / "file").touch()
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(clean / "file" / "token.json"))
    monkeypatch.setenv("SCHWAB_ALERT_COMMAND", "/no/such/program")
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    monkeypatch.setenv("REDIS_URL", "redis://h?foo=1")
    said = missing(schwab_symbols=["!"])
    for part in (
        "SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET not set",
        "!",
        "token.json",
        f"{clean / 'file'} is not a directory",
        "REDIS_URL: has an unknown option foo",
        "/no/such/program",
        "SCHWAB_METRICS_PORT: must be a whole number",
    ):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCHWAB_CLIENT_SECRET", "", "SCHWAB_CLIENT_SECRET not set"),
        ("SCHWAB_TOKEN_PATH", "other/token.json", "no login in other/token.json (run schwabstream auth login)"),
        ("SCHWAB_ALERT_COMMAND", "'open", "SCHWAB_ALERT_COMMAND"),
        ("REDIS_URL", "http://h", "REDIS_URL: must start with redis://"),
    ],
)
def test_each_is_named_alone(
    ready: Path, variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is set is not named."""
    monkeypatch.setenv(variable, value)
    found = missing()
    assert said in found
    assert "); " not in found


def test_a_refresh_token_is_a_way_to_get_one(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token file a refresh token in the settings will do."""
    ready.unlink()
    assert "no login" in missing()
    monkeypatch.setenv("SCHWAB_REFRESH_TOKEN", "r" * 20)
    assert missing() == ""


def test_a_login_that_ended_is_none(ready: Path) -> None:
    """A login of eight days ago cannot be used."""
    content = json.loads(ready.read_text())
    ready.write_text(json.dumps(content | {"creation_timestamp": int(time.time()) - 8 * 86_400}))
    assert "has ended" in missing()


def test_a_simulated_run_needs_no_account(clean: Path) -> None:
    """Neither credentials nor a login are missed where a simulator stands for Schwab; a wrong setting still is."""
    assert missing(simulated=True) == ""
    assert "--redis: db must be" in missing(simulated=True, redis_url="redis://h?db=x")
