"""The simulator itself: one loopback port that serves Schwab's OAuth, REST and streamer.

Listens on loopback only, because its control path accepts commands from any client.
"""

import asyncio
import email.utils
import random
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import orjson

from schwabstream.errors import ConfigurationError
from schwabstream.settings import LOOPBACK_HOSTS
from schwabstream.simulator import control
from schwabstream.simulator.connection import Connection
from schwabstream.simulator.faults import Faults
from schwabstream.simulator.feed import Feed
from schwabstream.simulator.market import Market
from schwabstream.simulator.oauth import OAuth
from schwabstream.simulator.pulse import Pulse
from schwabstream.simulator.record import Received, SeenRequest
from schwabstream.simulator.rest.router import Rest
from schwabstream.simulator.screeners import Screeners
from schwabstream.simulator.streamer import EMPTY, Session
from schwabstream.simulator.tape import Tape, TapeFeed, TapePlayer
from schwabstream.simulator.web import Reply


class SchwabSimulator:
    """A Schwab to develop and test against: ``async with SchwabSimulator() as simulator: simulator.base_url``.

    ``clock`` returns seconds since the epoch, the time of everything sent; delays run on the event loop's time. The
    same ``seed`` gives the same price paths, tokens and random faults. ``port`` 0 chooses a free one. With a ``tape``
    the data is that of a recording.
    """

    client_id = "simulated-app-key-00000000000000"
    client_secret = "simulated-secret"

    def __init__(
        self,
        *,
        seed: int = 7,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        callback_url: str = "https://127.0.0.1:8182",
        faults: Faults | None = None,
        tape: Tape | None = None,
    ) -> None:
        if host not in LOOPBACK_HOSTS:
            raise ConfigurationError(f"the simulator listens on loopback only, not on {host}: use 127.0.0.1")
        self.faults = faults if faults is not None else Faults()
        self.received = Received()
        self.random = random.Random(f"{seed}:faults")
        self.market = Market(seed, clock)
        self.screeners = Screeners(self.market, seed)
        self.feed = Feed(self, seed)
        self._pulse = Pulse(self)
        if tape is not None:
            self.feed = feed = TapeFeed(self, seed, tape)
            self._pulse = TapePlayer(self, feed, tape)
        self.callback_url = callback_url
        tokens = random.Random(f"{seed}:tokens")
        self.oauth = OAuth(self.client_id, self.client_secret, callback_url, self.faults, tokens, clock)
        self.rest = Rest(self.oauth, self.market, self.screeners, self.faults, tokens)
        self.customer_id = self.rest.customer_id
        self._clock, self._host, self._port = clock, host, port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._change = asyncio.Event()

    # -- life

    async def __aenter__(self) -> Self:
        """Listen, and start the market."""
        await self.start_listening()
        self._pulse.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the market, end every connection, free the port."""
        await self._pulse.stop()
        await self.stop_listening()
        for connection in list(self._connections):
            connection.abort()
        while self._connections:
            await self._next_change()

    async def start_listening(self) -> None:
        """Accept connections (again), always on the same port; raises ``ConfigurationError`` when it is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), self._host, self._port)
        except OSError as error:
            raise ConfigurationError(
                f"the simulator cannot listen on {self._host}:{self._port}: {error.strerror}; choose another port"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        self.rest.socket_url = f"{self.base_url.replace('http', 'ws', 1)}/ws"

    async def stop_listening(self) -> None:
        """Close the port; open connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def base_url(self) -> str:
        """The value for ``SCHWAB_API_BASE_URL``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    # -- for tests

    def issue_token(self, age_s: float = 0.0) -> dict[str, Any]:
        """A token file's content, as after a browser login ``age_s`` ago; the login before it is superseded."""
        token = self.oauth.login(age_s)
        expires_at = int(self._clock() + self.faults.access_token_life_s)
        return {"creation_timestamp": int(self._clock() - age_s), "token": {**token, "expires_at": expires_at}}

    @property
    def sessions(self) -> int:
        """How many sessions are logged in."""
        return len(self.live_sessions())

    @property
    def streamer_connections(self) -> int:
        """How many WebSockets are open, logged in or not."""
        return sum(connection.session is not None for connection in self._connections)

    @property
    def connections_total(self) -> int:
        """How many WebSockets were ever opened (of the newest 50,000)."""
        return len(self.received.connection_times)

    def live_sessions(self) -> list[Session]:
        """The sessions that are logged in."""
        sessions = (connection.session for connection in self._connections)
        return [each for each in sessions if each is not None and each.is_logged_in]

    def subscribed(self, service: str) -> list[str]:
        """The keys that logged-in sessions have subscribed to through a service."""
        return [key for each in self.live_sessions() for key in each.subscriptions.get(service, ())]

    async def until(self, condition: Callable[["SchwabSimulator"], bool], timeout_s: float = 5.0) -> None:
        """Wait until ``condition`` is true of this simulator; raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                await self._next_change()

    async def _next_change(self) -> None:
        self._change.clear()
        await self._change.wait()

    def changed(self) -> None:
        """Have every waiting condition checked again."""
        self._change.set()

    # -- actions of a test or of the control path

    def step(self, count: int = 1) -> None:
        """Move every followed instrument ``count`` times now, books and finished minutes included."""
        for _ in range(count):
            self._pulse.step()

    def push_frame(self, text: str) -> None:
        """Send a text frame unchanged to every logged-in session."""
        for session in self.live_sessions():
            session.socket.send(text)

    def push_data(self, service: str, *content: dict[str, Any]) -> None:
        """Send entries (numbered fields and ``key``) in a data frame to every logged-in session."""
        message = {"service": service, "timestamp": self.now_ms(), "command": "SUBS", "content": list(content)}
        self.push_frame(orjson.dumps({"data": [message]}).decode())

    def heartbeat(self) -> None:
        """Send a heartbeat to every logged-in session now."""
        for session in self.live_sessions():
            session.heartbeat()

    async def drop_all(self, code: int | None = None) -> None:
        """End every streamer connection and wait until all are gone; ``code`` None: reset, without a close frame."""
        dropped = self.close_all(code)
        while not self._connections.isdisjoint(dropped):
            await self._next_change()

    def close_all(self, code: int | None = None) -> list[Connection]:
        """As :meth:`drop_all`, without waiting; returns the connections that it ended."""
        closed = [each for each in self._connections if each.session is not None]
        for connection in closed:
            if code is None:
                connection.abort()
            else:
                connection.close(code)
        return closed

    def evict_all(self) -> None:
        """Code 12 to every session, as after another login of the user."""
        for session in self.live_sessions():
            session.evict()

    def stop_all(self, text: str = EMPTY) -> None:
        """Code 30 to every session."""
        for session in self.live_sessions():
            session.stop(text)

    # -- for connections and sessions

    def now_ms(self) -> int:
        """The clock in milliseconds."""
        return self.market.now_ms()

    def http_date(self) -> str:
        """The clock as an HTTP date."""
        return email.utils.formatdate(self._clock(), usegmt=True)

    def attach(self, connection: Connection) -> None:
        """A connection began."""
        self._connections.add(connection)

    def detach(self, connection: Connection) -> None:
        """A connection ended."""
        self._connections.discard(connection)
        self.changed()

    def open_session(self, connection: Connection) -> Session:
        """A client has upgraded to WebSocket."""
        self.received.add_connection(self._clock())
        self.changed()
        return Session(self, connection)

    def logged_in(self, session: Session) -> None:
        """Evict the user's other sessions: Schwab allows one, and keeps the newest (protocol 3.8)."""
        for other in self.live_sessions():
            if other is not session:
                other.evict()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """The answer to one HTTP request; those to the control path are not recorded."""
        try:
            url = urlsplit(target)
        except ValueError:
            return Reply(400)
        query: dict[str, str] = {}
        for name, value in parse_qsl(url.query, keep_blank_values=True):
            query.setdefault(name, value)
        if url.path.startswith("/simulator/"):
            return control.answer(self, method, url.path, body)
        reply = self._route(method, url.path, query, headers, body)
        self.received.add_request(SeenRequest(method, url.path, query, reply.status, self._clock()))
        self.changed()
        return reply

    def _route(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> Reply:
        if (method, path) == ("POST", "/v1/oauth/token"):
            self.received.refreshes += b"grant_type=refresh_token" in body
            reply = self.oauth.token(headers.get("authorization", ""), body)
            reply.after_s = self.faults.token_delay_s
            return reply
        if (method, path) == ("GET", "/v1/oauth/authorize"):
            return self.oauth.authorize(query)
        if method != "GET":
            return Reply.json({"errors": [{"status": "405", "title": "Method Not Allowed"}]}, 405)
        reply = self.rest.answer(path, query, headers.get("authorization"))
        reply.after_s = self.faults.rest_delay_s
        return reply
