"""The rules of Schwab's OAuth, without a network: the authorize address, the redirect, what an answer means.

Refused and weather are told apart here (protocol 1.4): refused needs a person, weather needs patience and must
never cost a token. Text in, value out; nothing here ever raises on what a server or a person sends.
"""

import re
from enum import Enum
from urllib.parse import urlencode

AUTHORIZE_PATH = "/v1/oauth/authorize"
TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - a path, not a password

_ERROR_NAME = re.compile(r'"error"\s*:\s*"([a-z_]{1,40})"')
_REFUSED_LOGIN = ("invalid_grant", "refresh_token_authentication_error")


class Verdict(Enum):
    """What an HTTP answer of Schwab means for the login."""

    OK = "ok"
    LOGIN_REFUSED = "the login is no longer accepted"
    APP_REFUSED = "the app key or secret is not accepted"
    UNAUTHORIZED = "the access token is not accepted"
    WEATHER = "try again later"


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
    return Verdict.WEATHER


def judge_rest_answer(status: int, body: str) -> Verdict:
    """Say what a REST answer means for the login (protocol 2.1, 2.4); an HTML 403 is the edge's weather."""
    if status < 400:
        return Verdict.OK
    speaks_json = body.lstrip().startswith(("{", "["))
    if status == 401 or (status == 403 and speaks_json):
        return Verdict.UNAUTHORIZED
    return Verdict.WEATHER


def error_name(body: str) -> str:
    """Return the OAuth error's name when the body has one that is safe to show, else an empty string."""
    found = _ERROR_NAME.search(body)
    return found.group(1) if found else ""
