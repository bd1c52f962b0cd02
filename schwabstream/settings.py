"""Environment and files in, one frozen ``Settings`` out; the only module that reads the environment.

Precedence: arguments, environment, ``.env``, ``.env.back``, defaults. ``.env`` is read and never written.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from schwabstream.errors import ConfigurationError

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine's loopback interface."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _split(value: object) -> object:
    """Make a list of a comma-separated string; the parts stay as written."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _parts(url: str, *schemes: str) -> SplitResult:
    if not url.lower().startswith(schemes):
        raise ValueError(f"must start with {' or '.join(schemes)}")
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for the error it raises
    except ValueError:
        # What the library says of it would show the value.
        raise ValueError("cannot be read as a URL; what is special in a password is percent-encoded") from None
    return parts


def _check_endpoint(url: str) -> str:
    # Programs differ over the host of a URL with a user, a backslash or a control character in it: none may decide.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("holds characters that no URL has")
    parts = _parts(url, "https://", "http://")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("plain http:// is allowed to loopback only; use https://")
    if not parts.hostname or "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must be https://HOST, with a port and a path at most")
    return url.rstrip("/")


def _check_redis(url: str) -> str:
    _parts(url, "redis://", "rediss://", "unix://")
    return url


SymbolList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything a run needs to know; field names are the variables' names in lower case.

    Times are in seconds (``_s``). Empty variables count as unset. Build it with :func:`load_settings`, which turns
    a wrong value into one sentence.
    """

    model_config = SettingsConfigDict(
        env_file=(".env.back", ".env"),
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    schwab_client_id: str | None = None
    schwab_client_secret: SecretStr | None = None
    schwab_callback_url: str = "https://127.0.0.1:8182"
    schwab_token_path: Path = Path(".tokens/schwab_token.json")
    schwab_token_key: SecretStr | None = None
    schwab_symbols: SymbolList = Field(default_factory=lambda: ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME"])
    tastytrade_symbol_list: SymbolList = Field(default_factory=list)
    schwab_refresh_interval_s: float = Field(default=1500, gt=0, le=1800)
    schwab_persist_refresh_to_env: bool = False
    schwab_env_back_path: Path = Path(".env.back")
    schwab_refresh_token: SecretStr | None = None
    schwab_api_base_url: Annotated[str, AfterValidator(_check_endpoint)] = "https://api.schwabapi.com"
    redis_url: Annotated[str, AfterValidator(_check_redis)] = "redis://127.0.0.1:6379/0"
    schwab_redis_prefix: str = Field(default="market_data", pattern=r"^[^\s{}*?\[\]]+$")
    schwab_redis_stream_maxlen: int = Field(default=100_000, ge=0)
    schwab_redis_buffer_events: int = Field(default=100_000, ge=1)
    schwab_redis_buffer_mb: float = Field(default=64, gt=0, allow_inf_nan=False)
    schwab_heartbeat_timeout_s: float = Field(default=30, gt=0, allow_inf_nan=False)
    schwab_tick_keepalive_s: float = Field(default=60, ge=0, allow_inf_nan=False)
    schwab_alert_command: str | None = None
    schwab_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    schwab_log_format: Literal["auto", "rich", "json"] = "auto"

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
        """What to stream, as the user wrote it: both lists merged, duplicates dropped, order kept."""
        return list(dict.fromkeys([*self.schwab_symbols, *self.tastytrade_symbol_list]))

    def missing(self) -> list[str]:
        """Names of the variables that a live run needs and nobody set."""
        needed = {
            "SCHWAB_CLIENT_ID": self.schwab_client_id,
            "SCHWAB_CLIENT_SECRET": self.schwab_client_secret,
        }
        absent = [name for name, value in needed.items() if value is None]
        return absent if self.symbols else [*absent, "SCHWAB_SYMBOLS"]

    def require(self) -> Self:
        """Return these settings, or raise ``ConfigurationError`` naming every variable a live run misses."""
        if absent := self.missing():
            names = " and ".join(absent)
            raise ConfigurationError(
                f"{names} not set: put {'it' if len(absent) == 1 else 'them'} in the environment or in .env "
                "(template: .env.back), or try without an account: schwabstream stream run --simulate"
            )
        return self


def origin(variable: str) -> Literal["environment", ".env", ".env.back", "default"]:
    """Where a variable's value comes from when no argument overrides it; an empty one counts as unset."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    if environment.get(variable):
        return "environment"
    files: tuple[Literal[".env"], Literal[".env.back"]] = (".env", ".env.back")
    for file in files:
        if any(text and name.upper() == variable for name, text in dotenv_values(file, encoding="utf-8").items()):
            return file
    return "default"


def foreign_environment() -> dict[str, str]:
    """The environment for programs that are not ours: without any setting of ours, secrets and Redis URL included."""
    ours = ("SCHWAB_", "TASTYTRADE_", "REDIS_")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - whatever a field takes
    """Read environment and files; ``None`` among the overrides means "not given".

    Raises ``ConfigurationError`` that names the variable and what is wrong with it, never its value.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1]).upper()
        raise ConfigurationError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the settings files .env and .env.back here: {error}") from error
