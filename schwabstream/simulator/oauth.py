"""Schwab's OAuth: the authorize page, codes of 30 s, access tokens of 30 min, refresh tokens of 7 days (protocol 1)."""

import base64
import html
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.web import Query, Reply

_NESTED_EXPIRED = (
    '400 Bad Request: "{"error_description":"Refresh token is invalid, expired or revoked","error":"invalid_grant"}"'
)
_NESTED_SUPERSEDED = (
    '400 Bad Request: "{"error_description":"Exception while authenticating refresh token '
    '[tokenDigest=2o4Sx0Dt3UjV=, Exception=Failed refresh token authentication [tokenDigest=2o4Sx0Dt3UjV=]]",'
    '"error":"refresh_token_authentication_error"}"'
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Schwab simulator: allow access</title></head>
<body style="font-family: system-ui; max-width: 32rem; margin: 4rem auto">
<h1>Allow access?</h1>
<p>This is the Schwab simulator; nothing here reaches Charles Schwab. The app <code>{client}</code> asks to read
market data and will be sent back to <code>{redirect}</code>.</p>
<form method="get" action="/v1/oauth/authorize">{hidden}
<button id="allow" name="decision" value="allow">Allow</button>
<button id="deny" name="decision" value="deny">Deny</button>
</form></body></html>
"""


@dataclass(slots=True)
class _Login:
    """One browser login: its refresh token and its time."""

    refresh_token: str
    began_at: float


@dataclass(slots=True)
class OAuth:
    """Issues and checks tokens; one app, one user."""

    client_id: str
    client_secret: str
    callback_url: str
    faults: Faults
    rng: random.Random
    clock: Callable[[], float]
    _login: _Login | None = None
    _superseded: set[str] = field(default_factory=set)
    _codes: dict[str, float] = field(default_factory=dict)
    _access: dict[str, float] = field(default_factory=dict)

    def _secret(self, prefix: str, host: str = "oauth2.cdc.schwab.com") -> str:
        middle = base64.urlsafe_b64encode(host.encode()).decode().rstrip("=")
        tail = base64.urlsafe_b64encode(self.rng.randbytes(32)).decode().rstrip("=")
        return f"{prefix}.{middle}.{tail}@"

    # -- access tokens

    def access_is_valid(self, token: str) -> bool:
        """Whether this access token was issued here and is still valid."""
        return self._access.get(token, 0.0) > self.clock()

    def revoke_access(self) -> None:
        """End every access token now, as Schwab does on backend changes (protocol 1.3)."""
        self._access.clear()

    def revoke_refresh(self) -> None:
        """End the login: its refresh token is refused from now on."""
        if self._login is not None:
            self._superseded.add(self._login.refresh_token)
            self._login = None

    def _issue_access(self) -> str:
        now = self.clock()
        self._access = {token: end for token, end in self._access.items() if end > now}
        token = self._secret("I0")
        self._access[token] = now + self.faults.access_token_life_s
        return token

    def login(self, age_s: float = 0.0) -> dict[str, Any]:
        """A token answer as after a browser login ``age_s`` ago; the login before it is superseded."""
        self.revoke_refresh()
        self._login = _Login(self._secret("R0"), self.clock() - age_s)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        if self._login is None:
            raise ValueError("nobody is logged in")
        return {
            "expires_in": int(self.faults.access_token_life_s),
            "token_type": "Bearer",
            "scope": "api",
            "refresh_token": self._login.refresh_token,
            "access_token": self._issue_access(),
            "id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaW11bGF0b3IifQ.c2ln",
        }

    # -- GET /v1/oauth/authorize

    def authorize(self, query: Query) -> Reply:
        """The page with the Allow button, or the redirect that follows it."""
        if query.get("client_id") != self.client_id:
            return Reply.json({"error": "invalid_client", "error_description": "Unauthorized"}, 401)
        # Byte for byte: scheme, case, port, trailing slash (protocol 1.1).
        if query.get("redirect_uri") != self.callback_url:
            return Reply.json({"error": "invalid_request", "error_description": "Invalid redirect_uri"}, 400)
        decision = "allow" if self.faults.auto_approve else query.get("decision")
        if decision is None:
            return self._page(query)
        state = {"state": query["state"]} if "state" in query else {}
        if decision != "allow":
            return self._redirect({"error": "access_denied", **state})
        code = self._secret("C0", "oauth2.bdc.schwab.com")
        self._codes[code] = self.clock() + self.faults.code_life_s
        session = str(uuid.UUID(bytes=self.rng.randbytes(16), version=4))
        return self._redirect({"code": code, "session": session, **state})

    def _redirect(self, parameters: dict[str, str]) -> Reply:
        path = self.callback_url if self.callback_url.count("/") > 2 else f"{self.callback_url}/"
        return Reply(302, headers={"Location": f"{path}?{urlencode(parameters)}"})

    def _page(self, query: Query) -> Reply:
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in query.items()
        )
        page = _PAGE.format(client=html.escape(self.client_id), redirect=html.escape(self.callback_url), hidden=hidden)
        return Reply.html(page)

    # -- POST /v1/oauth/token

    def token(self, authorization: str, body: bytes) -> Reply:
        """Answer the token endpoint: both grants, and every row of protocol 1.4."""
        if error := self.faults.take_token_error():
            return self._failure(error)
        expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if authorization != f"Basic {expected}":
            return self._failure("invalid_client")
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        match form.get("grant_type"):
            case "refresh_token":
                return self._refresh(form.get("refresh_token", ""))
            case "authorization_code":
                return self._exchange(form)
        return Reply.json({"error": "unsupported_grant_type", "error_description": "grant_type"}, 400)

    def _refresh(self, token: str) -> Reply:
        login = self._login
        if token in self._superseded:
            return self._failure("refresh_superseded")
        if login is None or token != login.refresh_token:
            return self._failure("refresh_expired")
        if self.clock() - login.began_at >= self.faults.refresh_token_life_s:
            return self._failure("refresh_expired")
        if self.faults.rotate_refresh_token:
            self._superseded.add(token)
            login.refresh_token = self._secret("R0")
        answer = self._answer()
        if self.faults.omit_refresh_token:
            del answer["refresh_token"]
        return Reply.json(answer)

    def _exchange(self, form: dict[str, str]) -> Reply:
        # A code works once, whatever else is wrong with the call.
        end = self._codes.pop(form.get("code", ""), 0.0)
        if end <= self.clock() or form.get("redirect_uri") != self.callback_url:
            return self._failure("invalid_grant")
        return Reply.json(self.login())

    def _failure(self, error: str) -> Reply:
        nested = {
            "refresh_expired": _NESTED_EXPIRED,
            "refresh_superseded": _NESTED_SUPERSEDED,
            "bare_unsupported": "400 Bad Request",
        }
        if error in nested:
            return Reply.json({"error": "unsupported_token_type", "error_description": nested[error]}, 400)
        if error == "invalid_client":
            return Reply.json({"error": "invalid_client", "error_description": "Unauthorized"}, 401)
        if error == "invalid_grant":
            return Reply.json({"error": "invalid_grant", "error_description": "Invalid authorization code"}, 400)
        return Reply.failure(error, retry_after_s=self.faults.retry_after_s)
