"""One streamer session on the server's side: it receives commands, and sends answers and data (protocol 3).

Does not cut frames out of the socket: that is ``connection``.
"""

from typing import TYPE_CHECKING, Any

import orjson

from schwabstream.protocol.fields import Service
from schwabstream.protocol.screeners import SCREENER_SERVICES
from schwabstream.simulator.faults import matches
from schwabstream.simulator.feed import CHARTS

if TYPE_CHECKING:
    from schwabstream.simulator.connection import Connection
    from schwabstream.simulator.server import SchwabSimulator

EVICTED = (
    "This Streamer was disconnected because of another connection for this username and password. "
    "Each user may only have one Streamer open at a time."
)
EMPTY = "Stop streaming due to empty subscription"
SLOW = "Stop streaming due to slowness"
_FAILED = {"SUBS": 22, "UNSUBS": 23, "ADD": 24, "VIEW": 25}
_SUCCEEDED = range(26, 30)
_TEXTS = {
    3: "Login Denied.: token is invalid or has expired.",
    9: "Unknown failure",
    11: "Service not available or temporary down.",
    12: EVICTED,
    19: "Symbol limit reached",
    20: "Stream connection not found",
    21: "Bad command formatting",
    30: EMPTY,
}
_REQUIRED = ("service", "command", "requestid", "SchwabClientCustomerId", "SchwabClientCorrelId")


class Session:
    """The state of one WebSocket: logged in or not, and what it is subscribed to."""

    def __init__(self, simulator: "SchwabSimulator", socket: "Connection") -> None:
        self.simulator, self.socket = simulator, socket
        self.is_logged_in = False
        self.correl_id = self.customer_id = ""
        self.subscriptions: dict[str, dict[str, frozenset[str]]] = {}
        self.awaiting: set[tuple[str, str]] = set()
        """Service and key of each snapshot that is still to be sent; no change may overtake it."""
        self.sequences: dict[str, int] = {}
        self._pending = 0
        self._empty_since = 0

    # -- outgoing messages

    def respond(self, request: dict[str, Any], code: int, text: str) -> None:
        """Answer one command."""
        answer = {
            "service": request.get("service", "ADMIN"),
            "command": request.get("command", ""),
            # A number comes back as a string (protocol 3.2).
            "requestid": str(request.get("requestid", "")),
            "SchwabClientCorrelId": request.get("SchwabClientCorrelId", self.correl_id),
            "timestamp": self.simulator.now_ms(),
            "content": {"code": code, "msg": text},
        }
        self.socket.send(orjson.dumps({"response": [answer]}))

    def notify(self, service: str, code: int, text: str) -> None:
        """Send the client a message that is not an answer."""
        content = {"code": code, "msg": text}
        notice = {"service": service, "timestamp": self.simulator.now_ms(), "content": content}
        self.socket.send(orjson.dumps({"notify": [notice]}))

    def stop(self, text: str = EMPTY) -> None:
        """Code 30, then the end (protocol 3.4)."""
        self.notify("ADMIN", 30, text)
        self.socket.close(1000)

    def evict(self) -> None:
        """Code 12 as ``Invalid Service``, then the end without a close frame (protocol 3.8)."""
        self.is_logged_in = False
        faults = self.simulator.faults
        if faults.evict_notify:
            self.notify("Invalid Service", 12, EVICTED)
        self.socket.close(faults.evict_close_code)

    def heartbeat(self) -> None:
        """One heartbeat; its time is a string (protocol 3.4)."""
        self.socket.send(orjson.dumps({"notify": [{"heartbeat": str(self.simulator.now_ms())}]}))

    def _beat(self) -> None:
        if self.simulator.faults.heartbeats:
            self.heartbeat()
        self.socket.later(self.simulator.faults.heartbeat_interval_s, self._beat)

    # -- incoming commands

    def receive(self, text: str | bytes) -> None:
        """Execute the commands of one frame."""
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            frame = None
        requests = frame.get("requests", [frame]) if isinstance(frame, dict) else [None]
        for position, request in enumerate(requests if isinstance(requests, list) else [None]):
            if not isinstance(request, dict) or any(request.get(name) in (None, "") for name in _REQUIRED):
                self._bad_format(request if isinstance(request, dict) else {})
                return
            self.simulator.received.add_command(request)
            self._take(request, crowded=position > 0)
        self.simulator.changed()

    def _bad_format(self, request: dict[str, Any]) -> None:
        self.simulator.received.add_command(request)
        self.respond(request, 21, _TEXTS[21])
        if not self.simulator.faults.bad_format_keeps_socket:
            self.socket.close(1000)
        self.simulator.changed()

    def _take(self, request: dict[str, Any], *, crowded: bool) -> None:
        faults, service, command = self.simulator.faults, str(request["service"]), str(request["command"])
        if matches(faults.unanswered, service, command):
            return
        if service == "ADMIN":
            self._admin(request, command)
            return
        if faults.serial_commands and (crowded or self._pending):
            self.respond(request, _FAILED.get(command, 22), f"{command} command failed")
            return
        if faults.command_delay_s <= 0:
            self._execute(request, service, command)
            return
        self._pending += 1
        self.socket.later(faults.command_delay_s, lambda: self._execute_late(request, service, command))

    def _execute_late(self, request: dict[str, Any], service: str, command: str) -> None:
        self._pending -= 1
        self._execute(request, service, command)
        self.simulator.changed()

    # -- ADMIN

    def _admin(self, request: dict[str, Any], command: str) -> None:
        faults = self.simulator.faults
        if command == "LOGOUT" and self.is_logged_in:
            self.is_logged_in = False
            self.respond(request, 0, "SUCCESS")
            self.socket.close(1000)
        elif command != "LOGIN":
            self._refuse(request, 21 if self.is_logged_in else 20)
        elif faults.login_drop:
            self.socket.close(None)
        elif not faults.login_unanswered:
            self._login_later(request, faults.login_delay_s)

    def _login_later(self, request: dict[str, Any], delay_s: float) -> None:
        if delay_s > 0:
            self.socket.later(delay_s, lambda: self._login(request))
        else:
            self._login(request)

    def _login(self, request: dict[str, Any]) -> None:
        simulator = self.simulator
        parameters = request.get("parameters")
        code = simulator.faults.login_code
        if code is None:
            token = parameters.get("Authorization") if isinstance(parameters, dict) else None
            token_ok = simulator.oauth.access_is_valid(str(token))
            code = 0 if token_ok and request["SchwabClientCustomerId"] == simulator.customer_id else 3
        if code:
            self.respond(request, code, _TEXTS.get(code, "Login failed"))
            self.socket.close(1000)
            return
        self.is_logged_in = True
        self.correl_id = str(request["SchwabClientCorrelId"])
        self.customer_id = str(request["SchwabClientCustomerId"])
        simulator.logged_in(self)
        status = simulator.faults.market_data_permission or "NP"
        self.respond(request, 0, f"server=sim0001-1;status={status}")
        if simulator.faults.heartbeats:
            self.heartbeat()
        self.socket.later(simulator.faults.heartbeat_interval_s, self._beat)
        self._watch_empty()
        if span := simulator.faults.drop_every_s:
            self.socket.later(simulator.random.uniform(*span), self._drop)
        simulator.changed()

    def _drop(self) -> None:
        self.socket.close(self.simulator.faults.drop_close_code)

    def _watch_empty(self) -> None:
        """Stop the session when it stays without subscriptions (protocol 3.9)."""
        limit_s = self.simulator.faults.empty_subscription_s
        self._empty_since += 1
        watched = self._empty_since

        def stop_if_still_empty() -> None:
            if watched == self._empty_since and not any(self.subscriptions.values()):
                self.stop()

        if limit_s is not None:
            self.socket.later(limit_s, stop_if_still_empty)

    # -- services

    def _refuse(self, request: dict[str, Any], code: int) -> None:
        command = str(request["command"])
        text = f"{command} command failed" if code in _FAILED.values() else _TEXTS.get(code, "failed")
        self.respond(request, code, text)
        if code in (12, 30):
            self.socket.close(1000 if code == 30 else self.simulator.faults.evict_close_code)
        elif code == 21 and not self.simulator.faults.bad_format_keeps_socket:
            self.socket.close(1000)

    def _execute(self, request: dict[str, Any], service: str, command: str) -> None:
        faults = self.simulator.faults
        keys, fields = _parameters(request)
        match = matches(faults.command_codes, service, command)
        code = faults.command_codes[match] if match else 0
        if not self.is_logged_in or not self._is_of_login(request):
            self._refuse(request, 20)
        elif code and code not in _SUCCEEDED:
            self._refuse(request, code)
        elif not self.simulator.feed.serves(service):
            self._refuse(request, 11)
        elif command not in _FAILED:
            self._refuse(request, 21)
        elif _is_incomplete(command, keys, fields) or (service == Service.ACCT_ACTIVITY and command in ("ADD", "VIEW")):
            self._refuse(request, _FAILED[command])
        else:
            self._subscribe(request, keys, fields, code)

    def _is_of_login(self, request: dict[str, Any]) -> bool:
        """Whether a command has the ids of the LOGIN (code 20 otherwise, protocol 3.4)."""
        ids = (request["SchwabClientCustomerId"], request["SchwabClientCorrelId"])
        return ids == (self.customer_id, self.correl_id)

    def _subscribe(self, request: dict[str, Any], keys: list[str], fields: frozenset[str], code: int) -> None:
        """Execute a command, and answer with 0 or another success code."""
        service, command = str(request["service"]), str(request["command"])
        subscribed = self.subscriptions.setdefault(service, {})
        if command in ("SUBS", "ADD"):
            # Of the keys of account activity only the first counts (protocol 4.10).
            self._add(request, subscribed, keys[:1] if service == Service.ACCT_ACTIVITY else keys, fields, code)
            return
        if command == "VIEW":
            self.subscriptions[service] = dict.fromkeys(subscribed, fields)
        for key in keys if command == "UNSUBS" else ():
            subscribed.pop(key, None)
        self.respond(request, code, f"{command} command succeeded")
        if not any(self.subscriptions.values()):
            self._watch_empty()

    def _add(
        self,
        request: dict[str, Any],
        subscribed: dict[str, frozenset[str]],
        keys: list[str],
        fields: frozenset[str],
        code: int,
    ) -> None:
        """Add keys up to the service's limit, answer, and schedule the snapshots of the new ones."""
        faults, service = self.simulator.faults, str(request["service"])
        had = frozenset() if faults.snapshot_on_resubscribe else frozenset(subscribed)
        if request["command"] == "SUBS":
            subscribed.clear()
        limit = faults.max_screeners if service in SCREENER_SERVICES else faults.max_keys
        room = max(0, limit - len(subscribed))
        discarded = set([key for key in keys if key not in subscribed][room:])
        kept = [key for key in keys if key not in discarded][: faults.batch_limit]
        subscribed.update(dict.fromkeys(kept, fields))
        due = [key for key in kept if key not in had]
        if service not in CHARTS:  # bars have no snapshot to wait for
            self.awaiting.update((service, key) for key in due)
        if discarded:
            self.respond(request, 19, f"{_TEXTS[19]} ({service}={limit}, DISCARDED={len(discarded)})")
        else:
            self.respond(request, code, f"{request['command']} command succeeded")
        feed = self.simulator.feed
        self.socket.later(faults.snapshot_delay_s, lambda: feed.send_snapshot(self, service, due))


def _is_incomplete(command: str, keys: list[str], fields: frozenset[str]) -> bool:
    return (command != "VIEW" and not keys) or (command != "UNSUBS" and not fields)


def _parameters(request: dict[str, Any]) -> tuple[list[str], frozenset[str]]:
    """Keys in order without duplicates, and field numbers; blanks around commas are ignored."""
    parameters = request.get("parameters")
    if not isinstance(parameters, dict):
        return [], frozenset()
    keys = [key for key in str(parameters.get("keys") or "").split(",") if key.strip()]
    fields = (field.strip() for field in str(parameters.get("fields") or "").split(","))
    return list(dict.fromkeys(keys)), frozenset(filter(None, fields))
