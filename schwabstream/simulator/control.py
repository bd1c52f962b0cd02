"""The control path ``/simulator/…``: switches and actions over HTTP, for tests in another process or language.

=======  =======================  =====================================================================
GET      /simulator/faults        all switches
PUT      /simulator/faults        set the switches named in a JSON object (PATCH is the same)
DELETE   /simulator/faults        all back to their defaults
GET      /simulator/state         sessions, subscriptions and counters
POST     /simulator/token         a token file's content, as after a login; body ``{"age_s": 0}``
POST     /simulator/actions       ``{"action": "drop", …}``: drop (code), evict, stop, step (count),
                                  push (text), heartbeat, revoke_access, revoke_refresh
=======  =======================  =====================================================================
"""

from typing import TYPE_CHECKING, Any

import orjson

from schwabstream.simulator.web import Reply

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator

# 1004, 1005 and 1015 never appear in a close frame; 1006 means a connection without one.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1006, 1015), *range(3000, 5000)})


def answer(simulator: "SchwabSimulator", method: str, path: str, body: bytes) -> Reply:
    """Answer one call; an invalid one with 400 and ``{"error"}``."""
    try:
        given = orjson.loads(body) if body else {}
        if not isinstance(given, dict):
            raise TypeError("the body must be a JSON object")
        return _route(simulator, method, path.removeprefix("/simulator/"), given)
    except (ValueError, TypeError) as error:
        return Reply.json({"error": str(error)}, 400)


def _route(simulator: "SchwabSimulator", method: str, name: str, given: dict[str, Any]) -> Reply:
    faults = simulator.faults
    match method, name:
        case "GET", "faults":
            return Reply.json(faults.as_json())
        case "PUT" | "PATCH", "faults":
            faults.apply(given)
            return Reply.json(faults.as_json())
        case "DELETE", "faults":
            faults.reset()
            return Reply.json(faults.as_json())
        case "GET", "state":
            return Reply.json(_state(simulator))
        case "POST", "token":
            return Reply.json(simulator.issue_token(float(given.get("age_s", 0))))
        case "POST", "actions":
            _act(simulator, given)
            return Reply.json(_state(simulator))
    return Reply.json({"error": f"no {method} {name} here"}, 404)


def _state(simulator: "SchwabSimulator") -> dict[str, Any]:
    """Sessions, subscriptions and counters."""
    received = simulator.received
    sessions = simulator.live_sessions()
    return {
        "sessions": len(sessions),
        "subscriptions": [{name: list(keys) for name, keys in each.subscriptions.items()} for each in sessions],
        "connections_total": simulator.connections_total,
        "commands": len(received.commands),
        "requests": len(received.requests),
        "refreshes": received.refreshes,
        "frames_sent": received.frames_sent,
        "entries_sent": received.entries_sent,
    }


def _act(simulator: "SchwabSimulator", given: dict[str, Any]) -> None:
    match given.get("action"):
        case "drop":
            simulator.close_all(_close_code(given.get("code")))
        case "evict":
            simulator.evict_all()
        case "stop":
            simulator.stop_all()
        case "step":
            simulator.step(int(given.get("count", 1)))
        case "push":
            simulator.push_frame(str(given["text"]) if "text" in given else "")
        case "heartbeat":
            simulator.heartbeat()
        case "revoke_access":
            simulator.oauth.revoke_access()
        case "revoke_refresh":
            simulator.oauth.revoke_refresh()
        case unknown:
            raise ValueError(f"no such action: {unknown}")


def _close_code(code: Any) -> int | None:
    """A close code that may be sent, 1006 for a reset, or None; raises ``ValueError``."""
    if code is None or code in _CLOSE_CODES:
        return None if code is None else int(code)
    raise ValueError(f"no such close code: {code}")
