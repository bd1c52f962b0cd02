"""The findings of ``doctor``: one for each check, with the fix for each problem."""

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
    ProtocolError: "try again; report it if it happens again",
    TokenFileError: "correct SCHWAB_TOKEN_PATH, or give yourself access to that file",
    RedisUnavailable: START,
}


class Verdict(StrEnum):
    """The result of a check; only ``FAILED`` keeps a run from working."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    """Name of the check."""
    verdict: Verdict
    """Result of the check."""
    detail: str
    """What the check found, as a sentence or a value."""
    fix: str | None = None
    """The next step; null when none is needed."""
    code: int = 0
    """Exit code with which a run would end; 0 unless the check failed."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results of all checks."""

    findings: tuple[Finding, ...]
    """One result for each check, in the order in which a run needs them."""
    settings: dict[str, str]
    """The source of each setting: `environment`, `.env`, `.env.back` or `default`."""

    @property
    def exit_code(self) -> int:
        """0, or the code of the first failure."""
        return next((each.code for each in self.findings if each.verdict is Verdict.FAILED), 0)

    def as_json(self) -> dict[str, Any]:
        """The diagnosis as a JSON object."""
        return {
            "v": 1,
            "version": __version__,
            "exit_code": self.exit_code,
            "settings": self.settings,
            "findings": [asdict(each) for each in self.findings],
        }


def ok(name: str, detail: str) -> Finding:
    """A check that passed."""
    return Finding(name, Verdict.OK, detail)


def warning(name: str, detail: str, fix: str) -> Finding:
    """A check that passed with a risk: a run works, for now or not as well as it could."""
    return Finding(name, Verdict.WARNING, detail, fix)


def failed(name: str, detail: str, fix: str, code: int) -> Finding:
    """A check that failed: a run would not work."""
    return Finding(name, Verdict.FAILED, detail, fix, code)


def failure(name: str, error: SchwabStreamError) -> Finding:
    """A check that failed with one of our errors."""
    fix = next((fix for kind, fix in _FIXES.items() if isinstance(error, kind)), "try again")
    return failed(name, str(error), fix, error.exit_code)


def unchecked(name: str, why: str) -> Finding:
    """A check that was not made, with the reason."""
    return Finding(name, Verdict.UNCHECKED, why)


async def bounded(name: str, finding: Awaitable[Finding], *, fix: str, code: int, limit_s: float = LIMIT_S) -> Finding:
    """The finding; a failure after one of our errors, an error of the system, or ``limit_s`` without an answer."""
    try:
        async with asyncio.timeout(limit_s):
            return replace(await finding, name=name)
    except SchwabStreamError as error:
        return failure(name, error)
    except TimeoutError:
        return failed(name, f"no answer within {limit_s:g} s", fix, code)
    except OSError as error:
        return failed(name, error.strerror or type(error).__name__, fix, code)
