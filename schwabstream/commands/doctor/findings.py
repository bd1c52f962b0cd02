"""What an examination found: one finding for each thing looked at, with the fix for what is wrong."""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from schwabstream import __version__
from schwabstream.broker.url import START
from schwabstream.errors import (
    ConfigurationError,
    LoginRequired,
    ProtocolError,
    RedisUnavailable,
    SchwabStreamError,
    SchwabUnavailable,
    TokenFileError,
)

LIMIT_S = 5.0

_FIXES: dict[type[SchwabStreamError], str] = {
    ConfigurationError: "correct that variable in the environment or in .env",
    LoginRequired: "run schwabstream auth login",
    SchwabUnavailable: "check the network, then try again in a minute",
    ProtocolError: "try again; if it lasts, report it",
    TokenFileError: "correct SCHWAB_TOKEN_PATH, or give yourself access to that file",
    RedisUnavailable: START,
}


class Verdict(StrEnum):
    """How one thing stands; only ``FAILED`` keeps a run from working."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``code`` is the exit code a run would end with, 0 unless it failed."""

    name: str
    verdict: Verdict
    detail: str
    fix: str | None = None
    code: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found, in the order in which a run needs it; ``settings`` says where each one comes from."""

    findings: tuple[Finding, ...]
    settings: dict[str, str]

    @property
    def exit_code(self) -> int:
        """0, or the code of the first failure."""
        return next((each.code for each in self.findings if each.verdict is Verdict.FAILED), 0)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "v": 1,
            "version": __version__,
            "exit_code": self.exit_code,
            "settings": self.settings,
            "findings": [asdict(each) for each in self.findings],
        }


def ok(name: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(name, Verdict.OK, detail)


def warning(name: str, detail: str, fix: str) -> Finding:
    """It works, and could be better or will soon be worse."""
    return Finding(name, Verdict.WARNING, detail, fix)


def failed(name: str, detail: str, fix: str, code: int) -> Finding:
    """A run would not work."""
    return Finding(name, Verdict.FAILED, detail, fix, code)


def failure(name: str, error: SchwabStreamError) -> Finding:
    """What one of our errors says of this thing."""
    fix = next((fix for kind, fix in _FIXES.items() if isinstance(error, kind)), "try again")
    return failed(name, str(error), fix, error.exit_code)


def unchecked(name: str, why: str) -> Finding:
    """It could not be looked at."""
    return Finding(name, Verdict.UNCHECKED, f"not checked: {why}")


async def bounded(name: str, finding: Awaitable[Finding], *, fix: str, code: int, limit_s: float = LIMIT_S) -> Finding:
    """The finding; a failure when the look ends in our error or the system's, or not within ``limit_s``."""
    try:
        async with asyncio.timeout(limit_s):
            return replace(await finding, name=name)
    except SchwabStreamError as error:
        return failure(name, error)
    except TimeoutError:
        return failed(name, f"no answer within {limit_s:g} s", fix, code)
    except OSError as error:
        return failed(name, error.strerror or type(error).__name__, fix, code)
