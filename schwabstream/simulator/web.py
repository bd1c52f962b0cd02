"""HTTP answers as values, and the failures that OAuth and REST share."""

from dataclasses import dataclass, field
from typing import Any, Self

import orjson

Query = dict[str, str]

_DENIED = (
    "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n"
    "You don't have permission to access this resource on this server.\n</BODY>\n</HTML>\n"
)
_BROKEN = "<html><body><h1>503 Service Unavailable</h1>No server is available to answer.</body></html>\n"
_QUOTA = {
    "fault": {
        "faultstring": "Rate limit quota violation. Quota limit exceeded.",
        "detail": {"errorcode": "policies.ratelimit.QuotaViolation"},
    }
}
_BIG = {"fault": {"faultstring": "Body buffer overflow", "detail": {"errorcode": "protocol.http.TooBigBody"}}}


@dataclass(slots=True)
class Reply:
    """One HTTP answer, sent ``after_s`` later; ``silence``: never sent; ``drop``: the connection is reset instead."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    silence: bool = False
    drop: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Self:
        """An answer in JSON."""
        return cls(status, orjson.dumps(value), {"Content-Type": "application/json"})

    @classmethod
    def html(cls, text: str, status: int = 200) -> Self:
        """A page."""
        return cls(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})

    @classmethod
    def failure(cls, error: str, *, retry_after_s: int | None = None) -> Self:
        """A transient failure of the gateway in front of Schwab (protocol 1.4, 2.4)."""
        reply = cls._gateway_answer(error)
        if retry_after_s is not None and reply.status in (429, 503):
            reply.headers["Retry-After"] = str(retry_after_s)
        return reply

    @classmethod
    def _gateway_answer(cls, error: str) -> Self:
        match error:
            case "forbidden_html":
                return cls.html(_DENIED, 403)
            case "empty_401":
                return cls(401)
            case "rate_limited":
                return cls.json(_QUOTA, 429)
            case "server_error":
                return cls.html(_BROKEN, 503)
            case "gateway_fault":
                return cls.json(_BIG, 500)
            case "not_json":
                return cls.html("<html>Service</html>")
            case "silence":
                return cls(silence=True)
            case "drop":
                return cls(drop=True)
        raise ValueError(f"no such failure: {error}")
