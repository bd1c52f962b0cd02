"""The rules of Schwab's OAuth: the authorize address, the redirect, the meaning of an answer.

Pure. A refusal is distinguished from a transient failure here (protocol 1.4): a refusal needs a new login, a transient
failure is retried and never discards a token. No input from a server or a user raises an error.
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
    """The meaning of an HTTP answer for the login."""

    OK = "ok"
    LOGIN_REFUSED = "the login is refused"
    APP_REFUSED = "the app key or secret is not accepted"
    UNAUTHORIZED = "the access token is not accepted"
    TRANSIENT = "try again later"


def authorize_url(base_url: str, client_id: str, callback_url: str, state: str) -> str:
    """Return the address that the user opens to log in (protocol 1.1)."""
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": callback_url, "state": state}
    return f"{base_url}{AUTHORIZE_PATH}?{urlencode(query)}"


def judge_token_answer(status: int, body: str, *, code_grant: bool = False) -> Verdict:
    """Return the meaning of the token endpoint's answer; ``code_grant``: it answers an authorization code.

    The reason is inside a string that looks like JSON and is not, so it is searched for, never parsed.
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
    """Return the meaning of a REST answer (protocol 2.1, 2.4); an HTML 403 comes from the gateway and is transient."""
    if status < 400:
        return Verdict.OK
    is_json = body.lstrip().startswith(("{", "["))
    if status == 401 or (status == 403 and is_json):
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
    """The result of a login page: a code, or else the ``problem`` as a sentence.

    ``state`` is None when the address has none. ``whole``: the code is complete for certain.
    """

    code: str = field(default="", repr=False)
    state: str | None = None
    problem: str = ""
    whole: bool = False


def read_redirect(target: str) -> Redirect:
    """Read the redirect that the callback server receives: strictly, since nobody has edited it (protocol 1.2)."""
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
    """Read what the user pasted: the whole address or the code alone, with any mistake that leaves it readable.

    Accepted are quotes and brackets around it, line breaks and blanks inside it, terminal paste marks, ``&amp;``,
    several layers of URL encoding, and a missing ``@`` at the end of the code.
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
        return Redirect(problem="that is the address of the login page; copy the address on which the browser ends")
    return Redirect(problem="it contains no code: copy the whole address on which the browser ends")


def _code(raw: str, *, is_parameter: bool) -> tuple[str, bool]:
    """Return the code and whether it is whole; an empty one when this cannot be a code."""
    code = _settled(unquote, raw).strip(_WRAPPING)
    if recorded := _RECORDED_CODE.match(code):
        # Every recorded code ends in "@" (protocol 1.2), the character that is most often missed in copying.
        return f"{recorded.group(1)}@", recorded.group(0).endswith("@")
    plausible = is_token(code) and len(code) <= _LONGEST_CODE and (is_parameter or code.endswith("@"))
    return (code, code.endswith("@")) if plausible else ("", False)


def _settled(change: Callable[[str], str], text: str) -> str:
    """Apply a change until it changes nothing more, four times at most."""
    for _ in range(4):
        text, before = change(text), text
        if text == before:
            break
    return text


def _denied(error: str) -> str:
    name = error if re.fullmatch(r"[a-z_]{1,40}", error) else "an error"
    return f"Schwab answered {name}: access was not allowed on its page"
