"""The findings of ``doctor``: the exit code they lead to, and looks that fail or do not end."""

import asyncio
import json

import pytest

from schwabstream.commands.doctor.findings import Diagnosis, Finding, Verdict, bounded, failed, ok, unchecked, warning
from schwabstream.errors import LoginRequired, RedisUnavailable, SchwabStreamError, TokenFileError

WELL, LATER = ok("dns", "known"), warning("login", "0.5 days left", "log in")
BAD, WORSE = failed("tls", "not trusted", "install it", 4), failed("redis", "away", "start it", 8)


@pytest.mark.parametrize(
    ("findings", "code"),
    [((), 0), ((WELL, LATER, unchecked("quotes", "no login")), 0), ((LATER, BAD, WORSE), 4), ((WORSE, BAD), 8)],
)
def test_the_exit_code_is_that_of_the_first_failure(findings: tuple[Finding, ...], code: int) -> None:
    """Warnings and what could not be checked leave it at 0."""
    assert Diagnosis(findings, {}).exit_code == code


def test_the_json_holds_every_finding() -> None:
    """Programs get version 1, the exit code, the origin of each setting and each finding with its fix."""
    document = json.loads(json.dumps(Diagnosis((WELL, BAD), {"REDIS_URL": "default"}).as_json()))
    assert (document["v"], document["exit_code"], document["settings"]) == (1, 4, {"REDIS_URL": "default"})
    assert document["findings"][1] == {
        "name": "tls", "verdict": "failed", "detail": "not trusted", "fix": "install it", "code": 4,
    }  # fmt: skip


def test_a_check_that_was_not_made_gives_the_reason_only() -> None:
    """The verdict already shows that the check was not made, so the detail does not repeat it."""
    assert unchecked("quotes", "no login is stored").detail == "no login is stored"


async def test_a_look_keeps_what_it_found_under_its_name() -> None:
    """The name is the caller's; verdict, detail, fix and code are those of the look."""

    async def look() -> Finding:
        return LATER

    assert await bounded("token", look(), fix="-", code=1) == warning("token", "0.5 days left", "log in")


@pytest.mark.parametrize("error", [LoginRequired("log in"), TokenFileError("not a file"), RedisUnavailable("away")])
async def test_our_error_is_a_failure_with_its_own_code(error: SchwabStreamError) -> None:
    """A look that raises one of our errors fails with that error's sentence and exit code, and names a fix."""

    async def look() -> Finding:
        raise error

    found = await bounded("account", look(), fix="-", code=1)
    assert (found.verdict, found.detail, found.code) == (Verdict.FAILED, str(error), error.exit_code)
    assert found.fix


async def test_an_error_of_the_system_is_a_failure_in_its_words() -> None:
    """A look that raises OSError fails with the system's words and the given fix and code."""

    async def look() -> Finding:
        raise OSError(113, "No route to host")

    assert await bounded("tls", look(), fix="check it", code=4) == failed("tls", "No route to host", "check it", 4)


async def test_a_look_that_does_not_end_is_a_failure() -> None:
    """After its limit a look is cancelled, and the finding names the limit."""
    cancelled = []

    async def look() -> Finding:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return WELL

    found = await bounded("clock", look(), fix="wait", code=4, limit_s=0.01)
    assert found == failed("clock", "no answer within 0.01 s", "wait", 4)
    assert cancelled
