"""Environment and files in, one frozen ``Settings`` out; the only module that reads settings from the environment.

Precedence: arguments, environment, ``.env``, ``.env.back``, defaults. ``.env`` is read and never written.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from schwabstream.broker.url import check_redis_url
from schwabstream.errors import ConfigurationError
from schwabstream.protocol.fields import Service
from schwabstream.protocol.screeners import check_screeners, services_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_OPTIONS = {"redis_url": "--redis", "schwab_symbols": "--symbols"}
_WORDS = {
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must be one word without any of [ ] * ?, and with at most one {{…}}",
}
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine's loopback interface."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _split(value: object) -> object:
    """Split a comma-separated string into a list; the parts stay as written."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _check_endpoint(url: str) -> str:
    # Libraries disagree about the host of a URL with a user, a backslash or a control character, so it is refused.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("contains characters that are not allowed in a URL")
    if not url.lower().startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for an invalid port
    except ValueError:
        raise ValueError("is not a URL") from None  # the message of the library would show the value
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("plain http:// is allowed to loopback only; use https://")
    if not parts.hostname or "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must be https://HOST, optionally with a port and a path")
    return url.rstrip("/")


SymbolList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of a run; a field is named as its variable, in lower case.

    Empty variables count as unset. Create it with :func:`load_settings`, which reports invalid values.
    """

    model_config = SettingsConfigDict(
        env_file=(".env.back", ".env"),
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    schwab_client_id: str | None = Field(
        default=None,
        description=(
            "The key of your app at developer.schwab.com, which needs both products: 'Accounts and Trading' and "
            "'Market Data'."
        ),
    )
    schwab_client_secret: SecretStr | None = Field(default=None, description="The secret of that app.")
    schwab_callback_url: str = Field(
        default="https://127.0.0.1:8182", description="The callback URL exactly as registered for that app."
    )
    schwab_token_path: Path = Field(
        default=Path(".tokens/schwab_token.json"),
        description="The token file; it is created with mode 0600 in a directory with mode 0700.",
    )
    schwab_token_key: SecretStr | None = Field(
        default=None,
        description=(
            "The key that encrypts the token file, or keyring to keep the key in the system's key ring. To make a key: "
            'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
        ),
    )
    schwab_symbols: SymbolList = Field(
        default_factory=lambda: ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME"],
        description=(
            "The symbols to stream, separated by commas and written as consumers see them: futures, equities, "
            "indices, options, currencies."
        ),
    )
    tastytrade_symbol_list: SymbolList = Field(
        default_factory=list, description="More symbols, in tastytrade's forms; duplicates are dropped."
    )
    schwab_screeners: Annotated[SymbolList, AfterValidator(check_screeners)] = Field(
        default_factory=list,
        description=(
            "The screeners to stream, separated by commas, as Schwab names them: NYSE_VOLUME_5, OPTION_ALL_TRADES_60. "
            "Schwab allows ten of each kind."
        ),
    )
    schwab_account_activity: bool = Field(
        default=False,
        description=(
            "Also stream the activity of the account, such as new and filled orders, to the channel account. Account "
            "numbers are masked."
        ),
    )
    schwab_max_symbols: int = Field(
        default=500,
        ge=1,
        description=(
            "The most symbols streamed at once: configured ones first, then wanted ones, oldest first. The rest are "
            "refused by name. Several forms of one symbol, such as /MNQ and /MNQ:XCME, count as one."
        ),
    )
    schwab_refresh_interval_s: float = Field(
        default=1500,
        gt=0,
        le=1800,
        description="Seconds between refreshes of the access token, which is valid for 1800 seconds.",
    )
    schwab_persist_refresh_to_env: bool = Field(
        default=False,
        description="Also write SCHWAB_REFRESH_TOKEN= to the file SCHWAB_ENV_BACK_PATH, for other programs.",
    )
    schwab_env_back_path: Path = Field(
        default=Path(".env.back"),
        description=(
            "The file for SCHWAB_PERSIST_REFRESH_TO_ENV; if git tracks it, it is not written and a warning is logged."
        ),
    )
    schwab_refresh_token: SecretStr | None = Field(
        default=None,
        description=("A refresh token for a machine without a browser; used only while no token file exists."),
    )
    schwab_api_base_url: Annotated[str, AfterValidator(_check_endpoint)] = Field(
        default="https://api.schwabapi.com",
        description=(
            "The base URL of OAuth and REST, which also supplies the streamer's address; plain http only to loopback."
        ),
    )
    redis_url: Annotated[str, AfterValidator(check_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        description=(
            "The URL of Redis: redis://, rediss:// (TLS) or unix://, with options of redis-py after a question mark. "
            "With Sentinels: redis+sentinel://[USER:PASSWORD@]HOST[:26379][,HOST…]/NAME[/DB]; NAME is the master's. "
            "With a Cluster: redis+cluster://[USER:PASSWORD@]HOST[:6379][,HOST…]. Over TLS, both begin with rediss+. "
            "The user and password are those of Redis; ?sentinel_username=…&sentinel_password=… are the Sentinels'. "
            "With ?read_from=replica, readers use a replica when one answers. Passwords are never shown."
        ),
    )
    schwab_redis_prefix: str = Field(
        default="market_data",
        pattern=r"^([^\s{}*?\[\]]+|[^\s{}*?\[\]]*\{[^\s{}*?\[\]]+\}[^\s{}*?\[\]]*)$",
        description=(
            "The first part of every channel and key; one account per prefix. On a Cluster, the prefix is put in "
            "braces, as in {market_data}, unless it has a part in braces: one hash slot then holds all names."
        ),
    )
    schwab_redis_symbol_channels: bool = Field(
        default=False,
        description=(
            "Also publish each tick, book and bar on a channel of its symbol, such as market_data:ticks:AAPL. A reader "
            "of a few symbols then receives only these, and asks for a symbol by subscribing to its channel."
        ),
    )
    schwab_redis_stream_maxlen: int = Field(
        default=100_000, ge=0, description="The number of entries kept in each Redis stream; 0 turns streams off."
    )
    schwab_redis_stream_maxage_s: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="The age in seconds after which a Redis stream removes an entry; 0 keeps entries of any age.",
    )
    schwab_redis_buffer_events: int = Field(
        default=100_000,
        ge=1,
        description="The number of events buffered while Redis is away; above it, the oldest are dropped and counted.",
    )
    schwab_redis_buffer_mb: float = Field(
        default=64,
        gt=0,
        allow_inf_nan=False,
        description="Megabytes of events buffered while Redis is away; above it, the oldest are dropped and counted.",
    )
    schwab_heartbeat_timeout_s: float = Field(
        default=30,
        gt=0,
        allow_inf_nan=False,
        description=(
            "Seconds of silence after which a session counts as dead. In a closed market the limit doubles after each "
            "session that ended this way, up to 300 seconds."
        ),
    )
    schwab_tick_keepalive_s: float = Field(
        default=60,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Seconds without an update after which the last tick of a symbol is published again, marked as a repeat; "
            "0 turns this off."
        ),
    )
    schwab_alert_command: str | None = Field(
        default=None,
        description="A command to run when a person is needed; it receives the StatusEvent on standard input.",
    )
    schwab_metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port on loopback for Prometheus metrics and /healthz; while it is unset, no server runs.",
    )
    schwab_log_format: Literal["auto", "rich", "json"] = Field(
        default="auto",
        description=(
            "The format of log lines: rich for people, json for programs, or auto for rich on a terminal and json "
            "elsewhere."
        ),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the two files (the later file of ``env_file`` wins)."""
        del settings_cls, file_secret_settings
        return init_settings, env_settings, dotenv_settings

    @property
    def symbols(self) -> list[str]:
        """The symbols to stream, as written: both lists merged in order, without duplicates."""
        return list(dict.fromkeys([*self.schwab_symbols, *self.tastytrade_symbol_list]))

    @property
    def services(self) -> dict[Service, tuple[str, ...]]:
        """The services to stream beside those of the symbols, with their keys."""
        return services_of(self.schwab_screeners, account_activity=self.schwab_account_activity)

    def missing(self) -> list[str]:
        """The required variables that are not set."""
        needed = {
            "SCHWAB_CLIENT_ID": self.schwab_client_id,
            "SCHWAB_CLIENT_SECRET": self.schwab_client_secret,
        }
        absent = [name for name, value in needed.items() if value is None]
        return absent if self.symbols else [*absent, "SCHWAB_SYMBOLS"]

    def require(self) -> Self:
        """Return these settings; raises ``ConfigurationError`` with the name of every required variable not set."""
        if absent := self.missing():
            names = " and ".join(absent)
            raise ConfigurationError(
                f"{names} not set: put {'it' if len(absent) == 1 else 'them'} in the environment or in .env "
                "(template: .env.back), or try without an account: schwabstream stream run --simulate"
            )
        return self


Origin = Literal["environment", ".env", ".env.back", "default"]


def origin(variable: str) -> Origin:
    """Where a variable's value comes from when no argument overrides it; an empty one counts as unset."""
    return next((place for place, values in _places() if values.get(variable)), "default")


def unknown_variables() -> dict[str, Origin]:
    """Variables with our prefix that are set but are not settings, and where they are set."""
    settings = {name.upper() for name in Settings.model_fields}
    return {
        name: place
        for place, values in reversed(_places())
        for name, text in values.items()
        if text and name.startswith("SCHWAB_") and name not in settings
    }


def _places() -> list[tuple[Origin, dict[str, str | None]]]:
    """The places where variables can be set, by precedence, with their variables; names in upper case."""
    files: tuple[Origin, Origin] = (".env", ".env.back")
    sources: list[tuple[Origin, Mapping[str, str | None]]] = [("environment", os.environ)]
    sources += [(file, dotenv_values(file, encoding="utf-8")) for file in files]
    return [(place, {name.upper(): text for name, text in values.items()}) for place, values in sources]


def foreign_environment() -> dict[str, str]:
    """The environment for other programs: without our settings, which include secrets and the Redis URL."""
    ours = ("SCHWAB_", "TASTYTRADE_", "REDIS_")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}


def load_settings(**overrides: Any) -> Settings:
    """Read environment and files; ``None`` among the overrides means "not given".

    Raises ``ConfigurationError`` that names the variable or option and what is wrong with it, but never its value.
    """
    settings, problems = examine_settings(**overrides)
    if problems:
        raise ConfigurationError(problems[0])
    return settings


def examine_settings(**overrides: Any) -> tuple[Settings, list[str]]:
    """Like :func:`load_settings`, but with defaults for invalid settings, and a sentence about each of them."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given), []
    except ValidationError as error:
        wrong = {str(each["loc"][0]): each for each in error.errors(include_input=False, include_url=False)}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the settings files .env and .env.back here: {error}") from error
    problems = [f"{_name(field, given)}: {_words(each)}" for field, each in wrong.items()]
    defaults = {field: Settings.model_fields[field].get_default(call_default_factory=True) for field in wrong}
    return Settings(**given | defaults), problems


def _name(field: str, given: Collection[str]) -> str:
    """The option or variable that set the field."""
    return _OPTIONS[field] if field in given and field in _OPTIONS else field.upper()


def _words(error: "ErrorDetails") -> str:
    """The problem with a value, without showing it."""
    words = _WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else error["msg"].removeprefix("Value error, ")
