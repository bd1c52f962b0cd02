"""The supervisor: authorize, connect, log in, subscribe, deliver, repeat; the only place that reconnects.

Each session subscribes the wanted symbols, regardless of what earlier sessions sent. Before the first subscribed
session, a lasting failure ends the run, so that a wrong setting is reported within seconds; after it, only a request to
stop does.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Any, Protocol

import structlog

from schwabstream.backoff import Backoff
from schwabstream.errors import (
    ConfigurationError,
    Evicted,
    LeaseLost,
    LoginDenied,
    LoginRequired,
    SchwabStreamError,
    SchwabUnavailable,
    TokenFileError,
)
from schwabstream.market.trading_hours import EQUITY_HOURS
from schwabstream.protocol.session import CutSessions, StreamerLogin, StreamerProtocol
from schwabstream.protocol.symbols import Symbol
from schwabstream.protocol.user_preference import Entitlements
from schwabstream.report import Count
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.connection import Connection, Recorder, open_connection
from schwabstream.streaming.listings import find_listings
from schwabstream.streaming.market_hours import keep_equity_hours
from schwabstream.streaming.session import StreamSession
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.status import Status
from schwabstream.streaming.wanted_symbols import Wishes

log = structlog.get_logger(__name__)

STARTUP_LIMIT_S = 7.0  # below 10 with the program's start and the end of the attempt
LOGOUT_LIMIT_S = 2.0
EVICTION_PAUSE_S = 300.0
LOGIN_LOOK_EVERY_S = 2.0


class Authorizer(Protocol):
    """The part of ``SchwabAuthClient`` that is used here; calls may raise LoginRequired or SchwabUnavailable."""

    async def fetch_streamer_login(self) -> StreamerLogin:
        """Fetch a login for the streamer, with a valid access token."""

    async def refresh_tokens(self, *, force: bool = False) -> object:
        """Get a new access token."""

    async def fetch_quotes(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Fetch the quotes endpoint's entries by key."""

    async def fetch_market_hours(self, markets: Iterable[str], date: date | None = None) -> Mapping[str, Any]:
        """Fetch the markets endpoint's answer for one day."""

    @property
    def entitlements(self) -> Entitlements | None:
        """The account's entitlements at the last ``fetch_streamer_login``."""

    def login_mark(self) -> str | None:
        """A value from the token file that changes with each login; calls no server."""

    def refresh_paused(self) -> AbstractAsyncContextManager[None]:
        """Pause the background refresh for the duration of the block."""


class SchwabStreamClient:
    """Streams the symbols of ``stream`` until :meth:`stop`; await :meth:`run` once.

    ``market`` has the last values, ``meter`` the counts of each service and ``counts`` those of the run; ``troubles()``
    returns the reasons for missing data by key; ``ready`` is set by the first subscribed session. With ``keepalive_s``
    0, ticks are never repeated. ``recorder`` gets all frames. ``permit`` is awaited before each session and ends the
    run by raising ``LeaseLost``: a streamer without the lease must not log in and evict its holder.
    """

    def __init__(
        self,
        auth: Authorizer,
        stream: StreamState,
        *,
        keepalive_s: float = 60.0,
        recorder: Recorder | None = None,
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._auth, self.stream, self._permit = auth, stream, permit
        self._clock, self._recorder, self._keepalive_s = stream.clock, recorder, keepalive_s
        self._backoff = Backoff(stream.clock.random)
        self._connection: Connection | None = None
        self._session: StreamSession | None = None
        self._denied = self._must_refresh = False
        self._login_mark: str | None = None
        self._cut_sessions = CutSessions()
        self._logged_in_s: float | None = None
        self._stop = asyncio.Event()
        self.market, self.schedule = stream.market, stream.schedule
        self.announcer, self.counts = stream.announcer, stream.announcer.counts
        self.meter, self.troubles = stream.meter, stream.troubles
        self.ready = asyncio.Event()
        self.losses: Counter[type[SchwabStreamError]] = Counter()

    @property
    def state(self) -> Status:
        """The current state."""
        return self.announcer.state

    @property
    def reason(self) -> str:
        """The reason for the state; while it streams, how many symbols it streams now."""
        return self._subscribed_reason() if self.state is Status.STREAMING else self.announcer.reason

    @property
    def since(self) -> float:
        """When the state began, in seconds since the epoch."""
        return self.announcer.since

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbols to stream, the configured ones first."""
        return self.stream.symbols

    def wish(self, wishes: Wishes) -> None:
        """Stream these symbols too, in place of those of the last call; at once if a session is ready for it."""
        if wishes != self.stream.wishes:
            self.stream.wishes = wishes
            if self._session is not None:
                self._session.follow_wishes()

    def hold(self, held: bool) -> None:
        """Pause or resume reading the socket, if there is a session."""
        if self._connection is not None:
            self._connection.hold(held)

    def stop(self) -> None:
        """Log out and let :meth:`run` return; further calls change nothing."""
        self._stop.set()

    async def run(self) -> None:
        """Stream until :meth:`stop`.

        Raises ``LoginRequired`` when Schwab refuses the credentials, ``Refused`` when it accepts no subscription, and
        ``SchwabUnavailable`` when no session is subscribed within ``STARTUP_LIMIT_S`` of the start.
        """
        streaming = asyncio.create_task(self._supervise(), name="stream")
        stopping = asyncio.create_task(self._until_stopped(), name="stop")
        hours = start_beside(self._keep_hours(), "market hours")
        hours.add_done_callback(self._report_crash)
        try:
            await asyncio.wait({streaming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not streaming.done():
                await self._log_out(streaming)
            for task in (stopping, streaming):
                if task.done() and not task.cancelled():
                    task.result()
            self.announcer.enter(Status.STOPPED, "asked to stop")
        finally:
            await end(streaming, stopping, hours)

    async def _until_stopped(self) -> None:
        """Wait for :meth:`stop`; raises when no session is subscribed within ``STARTUP_LIMIT_S``."""
        limit = asyncio.ensure_future(self._clock.sleep(STARTUP_LIMIT_S))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({limit, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done() and not self.ready.is_set():
                raise SchwabUnavailable(
                    f"no session with Schwab within {STARTUP_LIMIT_S:g} s of the start ({self.reason}): "
                    "check the network and SCHWAB_API_BASE_URL, then try again"
                )
            await stop
        finally:
            limit.cancel()
            stop.cancel()

    async def _log_out(self, streaming: "asyncio.Task[None]") -> None:
        if self._connection is not None and self._connection.logout():
            await asyncio.wait({streaming}, timeout=LOGOUT_LIMIT_S)
        streaming.cancel()
        await asyncio.wait({streaming})

    async def _supervise(self) -> None:
        """Run one session after the other; how each ends decides the pause after it."""
        self.announcer.begin()
        while not self._stop.is_set():
            try:
                await self._stream_once()
            except SchwabStreamError as error:
                if self._stop.is_set():
                    return  # the requested end
                await self._pause_after(self._cut_sessions.judge(error, self._logged_in_s))

    async def _pause_after(self, error: SchwabStreamError) -> None:
        """Pause as this error requires; raises it when neither another session nor a pause can help."""
        self.losses[type(error)] += 1
        match error:
            case LeaseLost() | ConfigurationError():
                raise error
            case LoginDenied() if self._denied:
                message = f"{error}, even with a new access token: run schwabstream auth login"
                await self._wait_for_login(LoginRequired(message))
            case LoginDenied():
                self._denied = self._must_refresh = True
                await self._wait(error)
            case LoginRequired():
                await self._wait_for_login(error)
            case Evicted():
                await self._stand_back(error)
            case _:
                await self._wait(error)

    async def _stream_once(self) -> None:
        """Run one session from authorization to its end; raises at any end but our own LOGOUT."""
        if self._permit is not None:
            await self._permit()
        self._login_mark = self._logged_in_s = None
        if self._must_refresh:
            await self._auth.refresh_tokens(force=True)
            self._must_refresh = False
        login = await self._auth.fetch_streamer_login()
        self._login_mark = self._look_for_login()
        if self.stream.listings is None:
            self.stream.listings = await find_listings(self.symbols, self._auth.fetch_quotes)
        opening = open_connection(
            StreamerProtocol(login),
            login.socket_url,
            monotonic=self._clock.monotonic,
            wall=self._clock.wall,
            silence=self.stream.silence,
            recorder=self._recorder,
        )
        async with opening as connection:
            self._connection = connection
            self.counts[Count.CONNECTIONS] += 1
            session = self._session = StreamSession(
                connection,
                self.stream,
                keepalive_s=self._keepalive_s,
                on_subscribed=self._subscribed,
                fetch_quotes=self._auth.fetch_quotes,
            )
            try:
                await session.run()
            finally:
                self._connection = self._session = None
                if session.logged_in_at is not None:
                    self._logged_in_s = self._clock.monotonic() - session.logged_in_at
                if session.subscribed_at is not None:
                    self._backoff.streamed(self._clock.monotonic() - session.subscribed_at)

    def _subscribed(self) -> None:
        first, self._denied = not self.ready.is_set(), False
        self.ready.set()
        self.announcer.enter(Status.STREAMING, self._subscribed_reason())
        if first and self._auth.entitlements:
            for detail, reason in self._auth.entitlements.missing().items():
                self.announcer.remind(reason, detail)

    def _subscribed_reason(self) -> str:
        count = len(self.symbols)
        return f"{count} symbol{'s' if count != 1 else ''} subscribed"

    async def _wait(self, error: SchwabStreamError) -> None:
        """Back off; at the start, a refusal or a protocol error ends the run instead."""
        if not self.ready.is_set() and not isinstance(error, SchwabUnavailable):
            raise error
        asked_s = error.retry_after_s if isinstance(error, SchwabUnavailable) else None
        delay = self._backoff.next_delay(asked_s)
        self.announcer.enter(Status.WAITING, str(error), retry_in_s=round(delay, 1))
        await self._clock.sleep(delay)
        self.announcer.enter(Status.CONNECTING, str(error))

    async def _stand_back(self, error: Evicted) -> None:
        """Leave the connection to the program that took it, so that the two do not evict each other forever."""
        if not self.ready.is_set():
            raise error
        self.announcer.enter(Status.EVICTED, str(error), retry_in_s=EVICTION_PAUSE_S)
        await self._clock.sleep(EVICTION_PAUSE_S)
        self.announcer.enter(Status.CONNECTING, "trying again after an eviction")

    async def _wait_for_login(self, error: LoginRequired) -> None:
        """Watch the token file, without calls to Schwab, until someone has logged in."""
        if not self.ready.is_set():
            raise error
        # The login that this attempt used, if any, so that a login since then is not missed.
        mark = self._login_mark or self._look_for_login()
        self.announcer.enter(Status.LOGIN_REQUIRED, str(error))
        async with self._auth.refresh_paused():
            while self._look_for_login() == mark:
                await self._clock.sleep(LOGIN_LOOK_EVERY_S)
        self._denied, self._must_refresh = False, True
        self.announcer.enter(Status.CONNECTING, "a new login was stored")

    def _look_for_login(self) -> str | None:
        """The mark of the stored login; the previous one while the token file cannot be read."""
        try:
            return self._auth.login_mark()
        except TokenFileError as error:
            log.debug("the token file cannot be read", reason=str(error))
            return self._login_mark

    async def _keep_hours(self) -> None:
        def due() -> bool:
            return self.state is Status.STREAMING and any(symbol.asset in EQUITY_HOURS for symbol in self.symbols)

        await keep_equity_hours(self.schedule, self._auth.fetch_market_hours, self._clock, self.ready, due)

    def _report_crash(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.announcer.remind(f"{task.get_name()} failed; the stream continues, see the log", "part_failed")
