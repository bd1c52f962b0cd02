"""One TCP connection: HTTP by h11, and WebSocket by websockets' sans-I/O protocol once a client upgrades.

Both leave the socket to this module, so that a connection can end in every way: close code, reset, silence.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from http.client import responses
from typing import TYPE_CHECKING, cast

import h11
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as UpgradeRequest
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol

from schwabstream.simulator.streamer import SLOW, Session
from schwabstream.simulator.web import Reply

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator

# Linger for no time: the peer gets RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """A client's connection; what its session sends goes through it."""

    def __init__(self, simulator: "SchwabSimulator") -> None:
        self._simulator, self._faults = simulator, simulator.faults
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        self._websocket: ServerProtocol | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._transport: asyncio.Transport | None = None
        self.session: Session | None = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._transport = cast("asyncio.Transport", transport)  # not by its class: uvloop's has another
        self._simulator.attach(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel everything that is scheduled."""
        del exc
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._transport = None
        self._simulator.detach(self)

    def data_received(self, data: bytes) -> None:
        """Feed HTTP or WebSocket."""
        if self._websocket is not None:
            self._feed_websocket(data)
            return
        try:
            self._http.receive_data(data)
            self._read_http()
        except h11.RemoteProtocolError:
            self.abort()

    def eof_received(self) -> bool:
        """The client sends nothing more: the transport closes itself."""
        return False

    # -- Socket

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Act after a delay, unless the connection has ended."""
        if self._transport is None:
            return

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)

    def send(self, text: str | bytes) -> None:
        """Send one text frame; stop a client that does not read (protocol 3.4, code 30)."""
        websocket = self._websocket
        if websocket is None or websocket.state is not OPEN or self._transport is None or self._faults.black_hole:
            return
        websocket.send_text(text.encode() if isinstance(text, str) else text)
        self._flush()
        self._simulator.changed()
        session = self.session
        if session is not None and self._transport.get_write_buffer_size() > self._faults.slow_consumer_bytes:
            self.session = None
            session.notify("ADMIN", 30, SLOW)
            self.close(None)

    def close(self, code: int | None) -> None:
        """End the connection with a close frame of that code; None: without one, once the sent data is out."""
        self._log_out()
        if self._transport is None:
            return
        if code is None or self._websocket is None or self._websocket.state is not OPEN:
            # The sent data still goes out; then the client sees the end of the stream, code 1006.
            self._transport.close()
            self.later(1.0, self.abort)
            return
        if code == 1006:
            self.abort()
            return
        self._websocket.send_close(code)
        self._flush()
        # A client that never answers the close frame must not keep the socket open.
        self.later(1.0, self.abort)

    def abort(self) -> None:
        """Reset the connection at once; unsent data is lost."""
        self._log_out()
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def _log_out(self) -> None:
        # A session that is ending does not count any more, however long its client takes to close.
        if self.session is not None:
            self.session.is_logged_in = False

    # -- HTTP

    def _read_http(self) -> None:
        while self._websocket is None and self._transport is not None:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._dispatch()
            else:
                return

    def _dispatch(self) -> None:
        assert self._request is not None
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in self._request.headers}
        target = self._request.target.decode()
        if self._faults.refuse and not target.startswith("/simulator/"):
            self.abort()
            return
        if headers.get("upgrade", "").lower() == "websocket":
            self._upgrade(target)
            return
        reply = self._simulator.answer(self._request.method.decode(), target, headers, self._body)
        if reply.silence:
            return
        if reply.after_s > 0:
            self.later(reply.after_s, lambda: self._reply_late(reply))
        else:
            self._reply(reply)

    def _reply_late(self, reply: Reply) -> None:
        self._reply(reply)
        self._read_http()

    def _reply(self, reply: Reply) -> None:
        if self._transport is None:
            return
        if reply.drop:
            self.abort()
            return
        headers = {"Date": self._simulator.http_date(), "Content-Length": str(len(reply.body)), **reply.headers}
        reason = responses.get(reply.status, "")
        response = h11.Response(status_code=reply.status, headers=list(headers.items()), reason=reason)
        for event in (response, h11.Data(data=reply.body), h11.EndOfMessage()):
            self._transport.write(self._http.send(event) or b"")
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        else:
            self._http.start_next_cycle()

    # -- WebSocket

    def _upgrade(self, target: str) -> None:
        faults = self._faults
        if faults.drop_in_handshake:
            self.abort()
        elif faults.handshake_status is not None:
            self._reply(Reply(faults.handshake_status, b"unavailable"))
        elif faults.handshake_delay_s > 0:
            self.later(faults.handshake_delay_s, lambda: self._accept(target))
        else:
            self._accept(target)

    def _accept(self, target: str) -> None:
        assert self._request is not None
        # The request is passed on as bytes: the protocol must parse it itself to be ready for frames.
        headers = Headers([(name.decode(), value.decode("latin-1")) for name, value in self._request.headers])
        self._websocket = websocket = ServerProtocol(max_size=None)
        websocket.receive_data(UpgradeRequest(target, headers).serialize())
        for event in websocket.events_received():
            if isinstance(event, UpgradeRequest):
                websocket.send_response(websocket.accept(event))
        self._flush()
        if websocket.state is not OPEN:
            self.close(None)
            return
        self.session = self._simulator.open_session(self)
        trailing, _ = self._http.trailing_data
        if trailing:
            self._feed_websocket(trailing)

    def _feed_websocket(self, data: bytes) -> None:
        websocket = self._websocket
        if websocket is None or self._faults.black_hole:
            return
        websocket.receive_data(data)
        events = websocket.events_received()
        if not self._faults.pongs and websocket.state is OPEN:
            # All that the protocol sends on its own while open is pongs.
            websocket.data_to_send()
        self._flush()
        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY) and self.session is not None:
                self.session.receive(bytes(event.data))

    def _flush(self) -> None:
        if self._websocket is None or self._transport is None:
            return
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._websocket.state is CLOSED or (self._websocket.close_rcvd and self._websocket.close_sent):
            self._transport.close()
