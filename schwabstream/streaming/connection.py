"""Runs the protocol of one session over one WebSocket; a connection is used once.

Incoming frames are decoded and delivered in the callback that reads them, before the next read and without waiting, so
Schwab never sees a slow client (protocol 3.4). Library exceptions become ``SessionLost``, and the supervisor decides
what to do about them.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Protocol, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode

from schwabstream.errors import ConfigurationError, ProtocolError, SchwabStreamError, SessionLost
from schwabstream.escapes import safe
from schwabstream.protocol.codec import Batch, Undecodable, decode
from schwabstream.protocol.session import Outcome, State, StreamerProtocol
from schwabstream.protocol.subscriptions import Command
from schwabstream.settings import LOOPBACK_HOSTS
from schwabstream.streaming.frame_socket import MAX_FRAME_BYTES, FrameSocket
from schwabstream.streaming.liveness import Silence

OPEN_TIMEOUT_S = 8.0
CLOSE_TIMEOUT_S = 1.0
HOLD_LIMIT_S = 1.0
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0


class Sink(Protocol):
    """Receives what a connection delivers; every method returns at once."""

    def take_batch(self, batch: Batch, received_us: int) -> None:
        """Accept the entries of one service of one frame."""

    def take_outcome(self, outcome: Outcome) -> None:
        """Accept an outcome of the session."""

    def take_undecodable(self, part: Undecodable) -> None:
        """Accept a part that could not be decoded."""


class Recorder(Protocol):
    """Records all frames in both directions, and the symbols; each method returns at once."""

    def take_frame(self, frame: bytes, received_us: int) -> None:
        """Record one frame from the streamer."""

    def take_command(self, text: str, sent_us: int) -> None:
        """Record one frame before it is sent, so that it comes before its answer."""

    def take_symbols(self, aliases: Iterable[str], at_us: int) -> None:
        """Record that these symbols are streamed from now on."""


class Connection:
    """One open WebSocket with its session; :func:`open_connection` creates it.

    ``received_at`` is the time of the last frame, in monotonic seconds.
    """

    def __init__(
        self,
        socket: FrameSocket,
        protocol: StreamerProtocol,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        silence: Silence,
        recorder: Recorder | None = None,
    ) -> None:
        self._socket = socket
        self._recorder = recorder
        self._protocol = protocol
        self._monotonic, self._wall = monotonic, wall
        self._silence = silence
        self._work = asyncio.Event()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: Exception | None = None
        self._held: asyncio.TimerHandle | None = None
        self.received_bytes, self.received_at = 0, monotonic()

    def hold(self, held: bool, *, limit_s: float = HOLD_LIMIT_S) -> None:
        """Pause or resume reading the socket; a pause lasts at most ``limit_s``.

        For times when frames arrive faster than Redis accepts events; limited, because Schwab disconnects slow readers
        (protocol 3.4).
        """
        if self._held is not None:
            self._held.cancel()
            self._held = None
        transport = self._socket.transport
        if transport.is_closing() or self._over.done():
            return
        if held:
            transport.pause_reading()
            self._held = asyncio.get_running_loop().call_later(limit_s, self.hold, False)
        else:
            transport.resume_reading()

    def request(self, *commands: Command) -> None:
        """Queue commands; each is sent when the one before it has been answered."""
        self._protocol.request(*commands)
        self._work.set()

    def note_symbols(self, aliases: Iterable[str]) -> None:
        """Record that these symbols are streamed from now on, if a recording is made."""
        if self._recorder is not None:
            self._recorder.take_symbols(aliases, int(self._wall() * 1e6))

    def logout(self) -> bool:
        """End the session; returns whether LOGOUT is sent, and with it whether an answer will come."""
        self._protocol.logout()
        self._work.set()
        return self._protocol.state is State.LOGGING_OUT

    def expect_data(self) -> None:
        """Apply the configured limit of silence from now on: data is due."""
        if self._silence.expect_data():
            self._work.set()

    @property
    def idle(self) -> bool:
        """Whether no command is queued or in flight."""
        return self._protocol.idle

    @property
    def counts(self) -> Counter[str]:
        """The session's counters, by name."""
        return self._protocol.counts

    async def run(self, sink: Sink) -> None:
        """Log in, send and receive until the session ends; raises ``SessionLost`` unless it ends with a message."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(sink))
                await self._read(sink)
                writer.cancel()
        except BaseExceptionGroup as group:
            error = only_error(group)
            raise error from error.__cause__

    async def _read(self, sink: Sink) -> None:
        """Deliver until the session or the socket ends; raises any exception of the sink."""
        self._socket.listen(partial(self._take, sink), self._end)
        await self._over
        if self._failure is not None:
            raise self._failure
        if self._protocol.state in (State.LOGGING_OUT, State.CLOSED):
            return
        await _close(self._socket)  # the streamer may have sent a close frame and left TCP open
        try:
            await self._socket.recv()
        except ConnectionClosed as error:
            raise _lost(error) from error

    def _end(self) -> None:
        self.hold(False)
        if not self._over.done():
            self._over.set_result(None)

    def _take(self, sink: Sink, frames: list[bytes]) -> None:
        """Deliver the frames of one chunk, which share their time of receipt."""
        if self._over.done() or self._is_closed():
            return
        received_us = int(self._wall() * 1e6)
        self.received_at = self._monotonic()
        try:
            for frame in frames:
                self._deliver(frame, sink, received_us)
                if self._is_closed():
                    self._end()
                    break
        except Exception as error:  # noqa: BLE001 - run() raises it; the event loop would only log it
            self._failure = error
            self._end()

    def _is_closed(self) -> bool:
        return self._protocol.state is State.CLOSED

    def _deliver(self, frame: bytes, sink: Sink, received_us: int) -> None:
        self.received_bytes += len(frame)
        if self._recorder is not None:
            self._recorder.take_frame(frame, received_us)
        for message in decode(frame):
            if isinstance(message, Batch):
                sink.take_batch(message, received_us)
            elif isinstance(message, Undecodable):
                sink.take_undecodable(message)
            elif outcome := self._protocol.receive(message):
                sink.take_outcome(outcome)
                self._work.set()

    async def _write(self, sink: Sink) -> None:
        """Send the session's frames, and watch its deadlines and the silence."""
        while self._protocol.state is not State.CLOSED:
            self._work.clear()
            while (text := self._protocol.next_frame(self._monotonic())) is not None:
                if self._recorder is not None:
                    self._recorder.take_command(text, int(self._wall() * 1e6))
                try:
                    await self._socket.send(text)
                except ConnectionClosed:
                    return  # the reader raises it
            now = self._monotonic()
            limit_s = self._silence.limit_s
            silent_at = self.received_at + limit_s
            if now >= silent_at:
                self._silence.ended_a_session()
                raise SessionLost(f"nothing arrived from the streamer for {limit_s:g} s")
            deadline = min(silent_at, self._protocol.deadline or silent_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline - now):  # wait_for can lose a cancellation
                    await self._work.wait()
            if outcome := self._protocol.check(self._monotonic()):
                sink.take_outcome(outcome)
        await _close(self._socket)


class _Connect(connect):
    """The library's connect without redirects: the access token goes to the address in userPreference only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow no redirect."""
        return exc


@contextlib.asynccontextmanager
async def open_connection(
    protocol: StreamerProtocol,
    url: str,
    *,
    monotonic: Callable[[], float],
    wall: Callable[[], float],
    silence: Silence,
    recorder: Recorder | None = None,
) -> AsyncIterator[Connection]:
    """Open a connection to the streamer at ``url``; raises ``SessionLost`` when that fails.

    Raises ``ProtocolError`` when the address is invalid, or would send the access token without encryption.
    """
    try:
        address = urlsplit(url)
        plain = address.scheme == "ws"
        if plain and address.hostname not in LOOPBACK_HOSTS:
            raise ProtocolError(
                f"userPreference names a streamer address without encryption ({safe(url)}): nothing is sent there"
            )
        opening = _Connect(
            url,
            create_connection=FrameSocket,
            proxy=None if plain else True,
            compression=None,  # deflate through proxies causes protocol errors (trap T20)
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
        )
        socket = cast("FrameSocket", await opening)
    except (OSError, WebSocketException, ValueError) as error:
        raise _not_opened(url, error) from error
    except ImportError as error:
        raise ConfigurationError(
            f"the proxy in the environment cannot be used ({error}): unset or change it"
        ) from error
    try:
        yield Connection(socket, protocol, monotonic=monotonic, wall=wall, silence=silence, recorder=recorder)
    finally:
        await _close(socket)


async def _close(socket: FrameSocket) -> None:
    """Close within the limit: the library waits without a limit for a peer that does not read."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close()
    except TimeoutError:
        socket.transport.abort()
        await socket.wait_closed()


def _not_opened(url: str, error: Exception) -> SchwabStreamError:
    """The error for a connection that could not be opened."""
    # Invalid host names raise UnicodeError; untrusted certificates raise an error that is both OSError and ValueError.
    if isinstance(error, InvalidURI) or not isinstance(error, OSError | WebSocketException):
        return ProtocolError(
            f"userPreference names a streamer whose address cannot be used ({safe(url[:200])}): "
            "try again; if this persists, report it"
        )
    reason = safe(str(error)) or type(error).__name__
    if isinstance(error, InvalidStatus) and error.response.status_code // 100 == 3:
        reason = f"HTTP {error.response.status_code}, a redirect, which is not followed"
    return SessionLost(f"cannot connect to the streamer at {safe(url)}: {reason}")


def _lost(error: ConnectionClosed) -> SessionLost:
    """The error for a closed connection, with the code and reason of the side that closed it."""
    close = error.rcvd or error.sent
    if close is None:
        return SessionLost("the streamer closed the connection (no close frame)", unexplained=True)
    reason = f"code {close.code}{f', {safe(close.reason)}' if close.reason else ''}"
    if error.rcvd is None:
        return SessionLost(f"this side closed the connection to the streamer ({reason})")
    unexplained = close.code in (CloseCode.NORMAL_CLOSURE, CloseCode.NO_STATUS_RCVD)
    return SessionLost(f"the streamer closed the connection ({reason})", unexplained=unexplained)


def only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a task group, which ended its other tasks."""
    error = group.exceptions[0]
    return only_error(error) if isinstance(error, BaseExceptionGroup) else error
