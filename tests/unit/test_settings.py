"""The settings: where a value comes from, what is refused, and that no message shows what it refuses."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from schwabstream.errors import ConfigurationError
from schwabstream.settings import (
    Settings,
    examine_settings,
    foreign_environment,
    is_loopback,
    load_settings,
    origin,
    unknown_variables,
)

TEMPLATE = Path(__file__).parents[2] / ".env.back"
ROOTS = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME"]

DEFAULTS: dict[str, object] = {
    "SCHWAB_CLIENT_ID": None,
    "SCHWAB_CLIENT_SECRET": None,
    "SCHWAB_CALLBACK_URL": "https://127.0.0.1:8182",
    "SCHWAB_TOKEN_PATH": Path(".tokens/schwab_token.json"),
    "SCHWAB_SYMBOLS": ROOTS,
    "TASTYTRADE_SYMBOL_LIST": [],
    "SCHWAB_REFRESH_INTERVAL_S": 1500,
    "SCHWAB_PERSIST_REFRESH_TO_ENV": False,
    "SCHWAB_ENV_BACK_PATH": Path(".env.back"),
    "SCHWAB_REFRESH_TOKEN": None,
    "SCHWAB_API_BASE_URL": "https://api.schwabapi.com",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SCHWAB_REDIS_PREFIX": "market_data",
    "SCHWAB_REDIS_STREAM_MAXLEN": 100_000,
    "SCHWAB_REDIS_STREAM_MAXAGE_S": 0,
    "SCHWAB_HEARTBEAT_TIMEOUT_S": 30,
    "SCHWAB_TICK_KEEPALIVE_S": 60,
    "SCHWAB_ALERT_COMMAND": None,
    "SCHWAB_METRICS_PORT": None,
    "SCHWAB_LOG_FORMAT": "auto",
}
"""Every variable of the contract with its default."""

OTHERS: dict[str, tuple[str, object]] = {
    "SCHWAB_CLIENT_ID": ("an-app-key", "an-app-key"),
    "SCHWAB_CLIENT_SECRET": ("hush", SecretStr("hush")),
    "SCHWAB_CALLBACK_URL": ("https://127.0.0.1:9999/Back/", "https://127.0.0.1:9999/Back/"),
    "SCHWAB_TOKEN_PATH": ("/x/token.json", Path("/x/token.json")),
    "SCHWAB_SYMBOLS": (" /ES:XCME, aapl ,,BRK/B", ["/ES:XCME", "aapl", "BRK/B"]),
    "TASTYTRADE_SYMBOL_LIST": ("/MNQZ6", ["/MNQZ6"]),
    "SCHWAB_REFRESH_INTERVAL_S": ("60.5", 60.5),
    "SCHWAB_PERSIST_REFRESH_TO_ENV": ("true", True),
    "SCHWAB_ENV_BACK_PATH": ("other.back", Path("other.back")),
    "SCHWAB_REFRESH_TOKEN": ("hush", SecretStr("hush")),
    "SCHWAB_API_BASE_URL": ("https://proxy.example/schwab/", "https://proxy.example/schwab"),
    "REDIS_URL": ("rediss://:hush@redis.example:6380/2", "rediss://:hush@redis.example:6380/2"),
    "SCHWAB_REDIS_PREFIX": ("desk:{7}:x", "desk:{7}:x"),
    "SCHWAB_REDIS_STREAM_MAXLEN": ("0", 0),
    "SCHWAB_REDIS_STREAM_MAXAGE_S": ("86400", 86_400),
    "SCHWAB_HEARTBEAT_TIMEOUT_S": ("12", 12),
    "SCHWAB_TICK_KEEPALIVE_S": ("0", 0),
    "SCHWAB_ALERT_COMMAND": ("mail -s 'login' me", "mail -s 'login' me"),
    "SCHWAB_METRICS_PORT": ("9400", 9400),
    "SCHWAB_LOG_FORMAT": ("json", "json"),
}
"""Every variable with another value, as text and as what becomes of it."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where a test may write files of settings of its own."""
    directory = tmp_path / "place"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def value(variable: str, **overrides: Any) -> object:
    """The value of a variable."""
    return getattr(load_settings(**overrides), variable.lower())


# --- names, defaults, sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", DEFAULTS)
def test_every_variable_has_the_contracts_default(variable: str) -> None:
    """With nothing set anywhere each variable has the default the contract promises."""
    assert value(variable) == DEFAULTS[variable]


@pytest.mark.parametrize("variable", OTHERS)
def test_every_variable_is_read_from_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is read from the environment under its contract's name."""
    text, expected = OTHERS[variable]
    monkeypatch.setenv(variable, text)
    assert value(variable) == expected


@pytest.mark.parametrize("variable", DEFAULTS)
def test_an_empty_variable_counts_as_unset(variable: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable hides nothing: the next source decides."""
    monkeypatch.setenv(variable, "")
    (place / ".env").write_text(f"{variable}=\n")
    assert value(variable) == DEFAULTS[variable]
    (place / ".env.back").write_text(f"{variable}={OTHERS[variable][0]}\n")
    assert value(variable) == OTHERS[variable][1]


def test_nearer_sources_win(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags beat the environment, it beats .env, that beats .env.back, and that the default."""
    name = "SCHWAB_REDIS_PREFIX"
    seen = [(value(name), origin(name))]
    (place / ".env.back").write_text(f"{name}=from_env_back\n")
    seen.append((value(name), origin(name)))
    (place / ".env").write_text(f"{name}=from_env_file\n")
    seen.append((value(name), origin(name)))
    monkeypatch.setenv(name, "from_environment")
    seen.append((value(name), origin(name)))
    assert seen == [
        ("market_data", "default"),
        ("from_env_back", ".env.back"),
        ("from_env_file", ".env"),
        ("from_environment", "environment"),
    ]
    assert value(name, schwab_redis_prefix="from_flag") == "from_flag"


def test_sources_are_mixed_variable_by_variable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that sets one variable does not hide another file's others."""
    (place / ".env.back").write_text("SCHWAB_SYMBOLS=/ES\nSCHWAB_CLIENT_ID=back\n")
    (place / ".env").write_text("SCHWAB_CLIENT_ID=env\n")
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", "hush")
    settings = load_settings()
    assert (settings.schwab_symbols, settings.schwab_client_id) == (["/ES"], "env")
    assert settings.schwab_client_secret == SecretStr("hush")


@pytest.mark.parametrize("name", ["SCHWAB_CLIENT_ID", "schwab_client_id", "Schwab_Client_Id"])
def test_the_case_of_a_name_does_not_matter(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are read in any case, and their origin is shown all the same."""
    (place / ".env").write_text(f"{name}=filed\n")
    assert (value("SCHWAB_CLIENT_ID"), origin("SCHWAB_CLIENT_ID")) == ("filed", ".env")
    monkeypatch.setenv(name, "set")
    assert (value("SCHWAB_CLIENT_ID"), origin("SCHWAB_CLIENT_ID")) == ("set", "environment")


def test_an_option_not_given_overrides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """None among the overrides is an absent option; false and 0 are given values."""
    monkeypatch.setenv("SCHWAB_REDIS_PREFIX", "mine")
    monkeypatch.setenv("SCHWAB_PERSIST_REFRESH_TO_ENV", "true")
    settings = load_settings(schwab_redis_prefix=None, schwab_persist_refresh_to_env=False, schwab_tick_keepalive_s=0)
    assert settings.schwab_redis_prefix == "mine"
    assert settings.schwab_persist_refresh_to_env is False
    assert settings.schwab_tick_keepalive_s == 0


def test_other_variables_are_not_our_business(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown names in the environment or the files are passed over."""
    monkeypatch.setenv("SCHWAB_UNHEARD_OF", "1")
    (place / ".env").write_text("OTHER=1\n# comment\nexport SCHWAB_CLIENT_ID='app key'  # comment\n")
    assert value("SCHWAB_CLIENT_ID") == "app key"


def test_settings_cannot_be_changed() -> None:
    """The settings of a run stay those of its start."""
    with pytest.raises(ValidationError):
        load_settings().schwab_redis_prefix = "other"  # type: ignore[misc]  # the refusal is what is tested


# --- symbols and what is missing ---------------------------------------------------------------------------------


def test_both_lists_are_merged() -> None:
    """The two lists make one, in order, each symbol as written and once."""
    settings = load_settings(schwab_symbols="/ES:XCME,AAPL", tastytrade_symbol_list="/MNQZ6,AAPL,/ES:XCME")
    assert settings.symbols == ["/ES:XCME", "AAPL", "/MNQZ6"]
    assert load_settings(schwab_symbols=["/NQ", "/NQ"]).symbols == ["/NQ"]


def test_what_a_live_run_misses_is_named() -> None:
    """Every missing variable is named at once, with where to set it and how to try without."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(schwab_symbols=",").require()
    message = str(refused.value)
    assert message.startswith("SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET and SCHWAB_SYMBOLS not set: put them in")
    assert "--simulate" in message
    with pytest.raises(ConfigurationError, match=r"^SCHWAB_CLIENT_SECRET not set: put it in"):
        load_settings(schwab_client_id="an-app-key").require()


def test_nothing_missing_is_not_an_error() -> None:
    """With key, secret and a symbol of either list a live run can start."""
    settings = load_settings(
        schwab_client_id="k", schwab_client_secret="s", schwab_symbols=",", tastytrade_symbol_list="/MNQZ6"
    )
    assert settings.missing() == []
    assert settings.require() is settings


# --- what is refused ---------------------------------------------------------------------------------------------

SECRET = "s3cr3t"  # stands in every wrong value below and must come out in no message

WRONG = [
    ("SCHWAB_REFRESH_INTERVAL_S", f"x{SECRET}"),
    ("SCHWAB_REFRESH_INTERVAL_S", "0"),
    ("SCHWAB_REFRESH_INTERVAL_S", "1801"),
    ("SCHWAB_REFRESH_INTERVAL_S", "nan"),
    ("SCHWAB_PERSIST_REFRESH_TO_ENV", SECRET),
    ("SCHWAB_REDIS_STREAM_MAXLEN", "-1"),
    ("SCHWAB_REDIS_STREAM_MAXAGE_S", "-1"),
    ("SCHWAB_REDIS_STREAM_MAXLEN", "1.5"),
    ("SCHWAB_HEARTBEAT_TIMEOUT_S", "0"),
    ("SCHWAB_HEARTBEAT_TIMEOUT_S", "inf"),
    ("SCHWAB_HEARTBEAT_TIMEOUT_S", "nan"),
    ("SCHWAB_TICK_KEEPALIVE_S", "-1"),
    ("SCHWAB_TICK_KEEPALIVE_S", "inf"),
    ("SCHWAB_METRICS_PORT", "0"),
    ("SCHWAB_METRICS_PORT", "65536"),
    ("SCHWAB_LOG_FORMAT", SECRET),
    ("SCHWAB_REDIS_PREFIX", f"two words {SECRET}"),
    ("SCHWAB_REDIS_PREFIX", f"{SECRET}*"),
    ("SCHWAB_REDIS_PREFIX", "{" + SECRET),
    ("SCHWAB_REDIS_PREFIX", "{a}{" + SECRET + "}"),
    ("REDIS_URL", f"http://:{SECRET}@redis.example"),
    ("REDIS_URL", SECRET),
    ("REDIS_URL", f"redis:{SECRET}"),
    ("REDIS_URL", f"redis://:{SECRET}/{SECRET}@redis.example:6379/0"),
    ("REDIS_URL", f"redis://:pass@redis.example:{SECRET}/0"),
    ("REDIS_URL", f"redis://[{SECRET}]/0"),
    ("SCHWAB_API_BASE_URL", SECRET),
    ("SCHWAB_API_BASE_URL", f"ftp://{SECRET}.example"),
    ("SCHWAB_API_BASE_URL", f"https://[{SECRET}]"),
    ("SCHWAB_API_BASE_URL", f"https://host.example:{SECRET}"),
    ("SCHWAB_API_BASE_URL", "https://host.example:99999"),
    ("SCHWAB_API_BASE_URL", f"https://me:{SECRET}@host.example"),
    ("SCHWAB_API_BASE_URL", f"https://host.example?x={SECRET}"),
    ("SCHWAB_API_BASE_URL", f"https://host.example#{SECRET}"),
    ("SCHWAB_API_BASE_URL", "https://"),
    ("SCHWAB_API_BASE_URL", "https:host.example"),
    ("SCHWAB_API_BASE_URL", "https:///path"),
    ("SCHWAB_API_BASE_URL", "https://host.example\\path"),
    ("SCHWAB_API_BASE_URL", "https://höst.example"),
]


@pytest.mark.parametrize(("variable", "wrong"), WRONG)
def test_a_wrong_value_is_named_and_never_shown(variable: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value ends in one sentence that begins with the variable's name and holds nothing of the value."""
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    message = str(refused.value)
    assert message.startswith(f"{variable}: ")
    assert len(message) > len(variable) + 10
    assert SECRET not in message
    assert "\n" not in message
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_wrong_option_is_refused_alike() -> None:
    """An option's wrong value is named by the option that was given, which overrides the variable."""
    with pytest.raises(ConfigurationError, match=r"^--redis: must start with redis://"):
        load_settings(redis_url="nowhere")


@pytest.mark.parametrize(
    ("variable", "wrong", "words"),
    [
        ("SCHWAB_HEARTBEAT_TIMEOUT_S", "soon", "must be a number"),
        ("SCHWAB_HEARTBEAT_TIMEOUT_S", "inf", "must be a number"),
        ("SCHWAB_HEARTBEAT_TIMEOUT_S", "0", "must be more than 0"),
        ("SCHWAB_REFRESH_INTERVAL_S", "1801", "must be at most 1800"),
        ("SCHWAB_REDIS_STREAM_MAXLEN", "1.5", "must be a whole number"),
        ("SCHWAB_METRICS_PORT", "0", "must be at least 1"),
        ("SCHWAB_PERSIST_REFRESH_TO_ENV", "perhaps", "must be true or false"),
        ("SCHWAB_LOG_FORMAT", "xml", "must be 'auto', 'rich' or 'json'"),
        ("SCHWAB_REDIS_PREFIX", "two words", "must be one word without any of [ ] * ?, and with at most one {…}"),
        ("REDIS_URL", "redis://h?foo=1", "has an unknown option foo"),
        ("REDIS_URL", "redis://h?db=x", "db must be a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(
    variable: str, wrong: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence describes the value in words, without names of types."""
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{variable}: {words}")


def test_everything_wrong_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An examination names every wrong setting, and the others are as they were set."""
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    monkeypatch.setenv("SCHWAB_SYMBOLS", "AAPL")
    settings, problems = examine_settings(redis_url="embedded")
    assert problems == [
        "--redis: must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://",
        "SCHWAB_METRICS_PORT: must be a whole number",
    ]
    assert (settings.schwab_metrics_port, settings.symbols) == (None, ["AAPL"])


def test_unknown_variables_are_known_by_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown variable with our prefix is found wherever it is set; an empty one counts as unset."""
    monkeypatch.setenv("SCHWAB_SYMBOL", "AAPL")
    monkeypatch.setenv("SCHWAB_EMPTY", "")
    monkeypatch.setenv("TASTYTRADE_TOKEN", "of another program")
    (place / ".env").write_text("SCHWAB_SYMBOL=B\nschwab_redis_url=x\nSCHWAB_SYMBOLS=AAPL\n")
    assert unknown_variables() == {"SCHWAB_SYMBOL": "environment", "SCHWAB_REDIS_URL": ".env"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8099",
        "http://localhost",
        "http://LOCALHOST:1/x",
        "HTTP://127.0.0.1",
        "http://[::1]:8099",
        "https://api.schwabapi.com",
        "https://10.0.0.1:8443/base",
    ],
)
def test_plain_http_to_loopback_and_https_to_anywhere(url: str) -> None:
    """The base URL may be https anywhere and http on this machine."""
    assert value("SCHWAB_API_BASE_URL", schwab_api_base_url=url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.schwabapi.com",
        "http://127.0.0.1.evil.com",
        "http://127.0.0.1.evil.com:8099",
        "http://localhost.evil.com",
        "http://localhost@evil.com",
        "http://127.0.0.1:80@evil.com",
        "http://evil.com@localhost",
        "http://evil.com\\@localhost",
        "http://evil.com#@localhost",
        "http://evil.com?@localhost",
        "http://evil.com/@localhost",
        "http://evil.com/http://localhost",
        "http://local\thost",
        "http://127.0.0.1\n.evil.com",
        "http:// localhost",
        "http://localhost ",
        "http://",
        "http:localhost",
        "http:///localhost",
        "http://0.0.0.0",
        "http://127.1",
        "http://2130706433",
        "http://[::]",
        "http://[::ffff:8.8.8.8]",
        "http://ⓛocalhost",
        "ws://127.0.0.1",
        "//127.0.0.1",
        "127.0.0.1",
    ],
)
def test_plain_http_to_anything_else_is_refused(url: str) -> None:
    """Credentials never travel in the clear to another machine, however the URL dresses it up."""
    with pytest.raises(ConfigurationError, match=r"^SCHWAB_API_BASE_URL: "):
        load_settings(schwab_api_base_url=url)


def test_the_sentence_names_the_next_step() -> None:
    """The refusal of plain http names the way out."""
    with pytest.raises(ConfigurationError, match=r"allowed to loopback only; use https://"):
        load_settings(schwab_api_base_url="http://evil.com")


def test_loopback_is_recognized_by_the_host() -> None:
    """Only the host decides, not what stands before or behind it."""
    assert is_loopback("http://localhost:1/x")
    assert is_loopback("ws://[::1]/ws")
    assert not is_loopback("http://localhost@evil.com")
    assert not is_loopback("")


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://h",
        "redis://:p%2Fw@h:6379/0",
        "rediss://u:p@h:6380",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock?db=1",
        "unix:///a path/redis.sock",
    ],
)
def test_redis_is_reached_by_three_kinds_of_url(url: str) -> None:
    """redis, rediss and unix URLs pass as they are."""
    assert value("REDIS_URL", redis_url=url) == url


# --- other programs ----------------------------------------------------------------------------------------------


def test_programs_of_others_get_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes inherit the environment without our variables, in any case, secrets among them."""
    ours = ["SCHWAB_CLIENT_SECRET", "schwab_refresh_token", "TASTYTRADE_SYMBOL_LIST", "REDIS_URL"]
    for name in [*ours, "SOMEBODY_ELSES"]:
        monkeypatch.setenv(name, SECRET)
    given = foreign_environment()
    assert not {name.upper() for name in given} & {name.upper() for name in ours}
    assert given["SOMEBODY_ELSES"] == SECRET
    assert given["PATH"] == os.environ["PATH"]


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_a_sentence(place: Path) -> None:
    """A settings file that is no text ends in one sentence that shows nothing of it."""
    (place / ".env").write_bytes(b"SCHWAB_CLIENT_SECRET=hush\xff\n")
    with pytest.raises(ConfigurationError, match=r"cannot read the settings files") as refused:
        load_settings()
    assert "hush" not in str(refused.value)


def test_secrets_are_in_no_repr(place: Path) -> None:
    """Printing the settings shows no secret."""
    (place / ".env").write_text("SCHWAB_CLIENT_SECRET=hush\nSCHWAB_REFRESH_TOKEN=hush\nSCHWAB_TOKEN_KEY=hush\n")
    settings = load_settings()
    assert settings.schwab_client_secret is not None
    assert settings.schwab_client_secret.get_secret_value() == "hush"
    assert "hush" not in f"{settings!r}{settings}{settings.model_dump_json()}"


def test_reading_leaves_the_files_alone(place: Path) -> None:
    """Neither .env nor .env.back is written, created or touched by reading them."""
    load_settings()
    assert list(place.iterdir()) == []
    for name in (".env", ".env.back"):
        (place / name).write_text("SCHWAB_CLIENT_ID=x\n")
        os.utime(place / name, ns=(1, 1))
        (place / name).chmod(0o400)
    load_settings()
    origin("SCHWAB_CLIENT_ID")
    for name in (".env", ".env.back"):
        assert (place / name).read_text() == "SCHWAB_CLIENT_ID=x\n"
        assert (place / name).stat().st_mtime_ns == 1


def test_the_template_sets_the_defaults_and_nothing_else(place: Path) -> None:
    """The committed .env.back can be used unchanged: its live lines equal the defaults."""
    without = load_settings()
    (place / ".env.back").write_bytes(TEMPLATE.read_bytes())
    assert load_settings() == without


def test_the_template_names_every_setting() -> None:
    """Every setting stands in the template, live or commented with an explanation above, and no other name does."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    named = [match[1] for line in lines if (match := re.match(r"(?:# )?([A-Z][A-Z0-9_]+)=", line))]
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)
    assert set(DEFAULTS) <= set(named)


def test_the_template_holds_no_secret() -> None:
    """A setting without a default is commented and empty: no placeholder in the template could pass for a value."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        if field.default is None:
            assert re.search(rf"^# {name.upper()}=$", text, re.MULTILINE), name
