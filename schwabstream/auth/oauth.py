"""The rules of Schwab's OAuth, without a network: the authorize address, the redirect, what an answer means.

A refusal is distinguished from a transient failure here (protocol 1.4): the one needs a person, the other is retried
and never costs a token. Text in, value out; nothing here raises on what a server or a person sends.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from schwabstream.auth.tokens import is_token

SCHWAB = "https://api.schwabapi.com"
AUTHORIZE_PATH = "/v1/oauth/authorize"
TOKEN_PATH = "/v1/oauth/token"

_ERROR_NAME = re.compile(r'"error"\s*:\s*"([a-z_]{1,40})"')
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z~]")
_INVISIBLE = re.compile(r"[\s\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]+")
_WRAPPING = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb<>()[]{},;"
_CODE_PARAMETER = re.compile(r"(?:^|[?&#])code=([^&#]*)")
_RECORDED_CODE = re.compile(r"(C0\.[A-Za-z0-9_.~+/=-]+)@?")
_LONGEST_CODE = 2048
_LONGEST_RETRY_AFTER_S = 3600.0
_REFUSED_LOGIN = ("invalid_grant", "refresh_token_authentication_error")


class Verdict(Enum):
    """What an HTTP answer of Schwab means for the login."""

    OK = "ok"
    LOGIN_REFUSED = "the login is no longer accepted"
    APP_REFUSED = "the app key or secret is not accepted"
    UNAUTHORIZED = "the access token is not accepted"
    TRANSIENT = "try again later"


def authorize_url(base_url: str, client_id: str, callback_url: str, state: str) -> str:
    """Return the address a person opens to log in (protocol 1.1)."""
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": callback_url, "state": state}
    return f"{base_url}{AUTHORIZE_PATH}?{urlencode(query)}"


def judge_token_answer(status: int, body: str, *, code_grant: bool = False) -> Verdict:
    """Say what the token endpoint's answer means; ``code_grant``: it answers an authorization code.

    The reason sits inside a string that looks like JSON and is not, so it is searched for, never parsed.
    """
    if status == 200:
        return Verdict.OK
    if status in (400, 401) and any(reason in body for reason in _REFUSED_LOGIN):
        return Verdict.LOGIN_REFUSED
    if status in (400, 401) and "invalid_client" in body:
        return Verdict.APP_REFUSED
    if code_grant and status == 400:
        return Verdict.LOGIN_REFUSED
    return Verdict.TRANSIENT


def judge_rest_answer(status: int, body: str) -> Verdict:
    """Say what a REST answer means for the login (protocol 2.1, 2.4); an HTML 403 comes from the edge and passes."""
    if status < 400:
        return Verdict.OK
    speaks_json = body.lstrip().startswith(("{", "["))
    if status == 401 or (status == 403 and speaks_json):
        return Verdict.UNAUTHORIZED
    return Verdict.TRANSIENT


def error_name(body: str) -> str:
    """Return the OAuth error's name when the body has one that is safe to show, else an empty string."""
    found = _ERROR_NAME.search(body)
    return found.group(1) if found else ""


def retry_after_s(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for, in seconds or as a date; None when it asks for none."""
    seconds: float | None = None
    with contextlib.suppress(ValueError, TypeError):
        if header and header.strip().isdecimal():
            seconds = float(header)
        elif header:
            seconds = parsedate_to_datetime(header).timestamp() - now
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class Redirect:
    """What a login came back with: a code, or else the ``problem`` with it in one sentence.

    ``state`` is None when the answer names none. ``whole``: nothing of the code can be missing.
    """

    code: str = field(default="", repr=False)
    state: str | None = None
    problem: str = ""
    whole: bool = False


def read_redirect(target: str) -> Redirect:
    """Read the redirect as the callback server gets it: strictly, since no person has touched it (protocol 1.2)."""
    try:
        query = parse_qs(urlsplit(target).query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return Redirect(problem="the address cannot be read")
    state = query.get("state", [None])[0]
    if "error" in query:
        return Redirect(state=state, problem=_denied(query["error"][0]))
    code = query.get("code", [""])[0]
    if not is_token(code) or len(code) > _LONGEST_CODE:
        return Redirect(state=state, problem="the address holds no code")
    return Redirect(code, state, whole=True)


def read_paste(text: str) -> Redirect:
    """Read what a person pasted: the whole address or the code alone, with every slip that leaves it readable.

    Forgiven are quotes and brackets around it, line breaks and blanks inside it, terminal paste marks, ``&amp;``,
    one or more layers of URL encoding, and a lost ``@`` at the end of the code.
    """
    clean = _INVISIBLE.sub("", _TERMINAL_CODES.sub("", text)).strip(_WRAPPING).replace("&amp;", "&")
    if re.search(r"code%3d", clean, re.IGNORECASE):
        clean = unquote(clean)
    if not clean:
        return Redirect(problem="nothing was pasted")
    found = _CODE_PARAMETER.search(clean)
    state = re.search(r"[?&]state=([^&#]*)", clean)
    error = re.search(r"[?&]error=([^&#]*)", clean)
    if error and not found:
        return Redirect(problem=_denied(error.group(1)))
    code, whole = _code(found.group(1) if found else clean.partition("&")[0], is_parameter=bool(found))
    if code:
        return Redirect(code, unquote(state.group(1)) if state else None, whole=whole)
    if "/oauth/authorize" in clean or "client_id=" in clean:
        return Redirect(problem="that is the address of the login page; the one the browser ends on is needed")
    return Redirect(problem="there is no code in it: copy the whole address that the browser ends on")


def _code(raw: str, *, is_parameter: bool) -> tuple[str, bool]:
    """Return the code and whether it is whole; an empty one when this cannot be a code."""
    code = _settled(unquote, raw).strip(_WRAPPING)
    if recorded := _RECORDED_CODE.match(code):
        # Every recorded code ends in "@" (protocol 1.2), the sign that copying by hand loses most.
        return f"{recorded.group(1)}@", recorded.group(0).endswith("@")
    plausible = is_token(code) and len(code) <= _LONGEST_CODE and (is_parameter or code.endswith("@"))
    return (code, code.endswith("@")) if plausible else ("", False)


def _settled(change: Callable[[str], str], text: str) -> str:
    """Apply a change until it changes nothing more, a few times at most."""
    for _ in range(4):
        text, before = change(text), text
        if text == before:
            break
    return text


def _denied(error: str) -> str:
    name = error if re.fullmatch(r"[a-z_]{1,40}", error) else "an error"
    return f"Schwab answered {name}: access was not allowed on its page"
