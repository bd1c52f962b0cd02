"""The supervisor: authorize, connect, log in, subscribe, deliver, and go again; the only place that reconnects.

What to subscribe follows from the symbols that are wanted, never from what was once sent. Before the first subscribed
session a failure that lasts ends the run, so that a wrong setting is told within seconds; after it nothing does but
being told to stop.
"""

import asyncio
import random
import time
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
from schwabstream.market.last_values import Market
from schwabstream.market.trading_hours import EQUITY_HOURS, Schedule
from schwabstream.protocol.endings import CutSessions
from schwabstream.protocol.session import Session, State, StreamerLogin
from schwabstream.protocol.symbols import Symbol
from schwabstream.protocol.user_preference import Entitlements
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.connection import Connection, Recorder, open_connection
from schwabstream.streaming.listings import find_listings
from schwabstream.streaming.liveness import Silence
from schwabstream.streaming.market_hours import keep_equity_hours
from schwabstream.streaming.meter import Meter
from schwabstream.streaming.session import Clock, Feed
from schwabstream.streaming.status import Announcer, Publisher, StreamState
from schwabstream.streaming.subscribing import Memory

log = structlog.get_logger(__name__)

STARTUP_LIMIT_S = 7.0  # with the program's own start and the end of the attempt it stays below 10
LOGOUT_LIMIT_S = 2.0
EVICTION_PAUSE_S = 300.0
LOGIN_LOOK_EVERY_S = 2.0


class Authorizer(Protocol):
    """What the supervisor needs of ``SchwabAuthClient``; both may raise LoginRequired or SchwabUnavailable."""

    async def fetch_streamer_login(self) -> StreamerLogin:
        """Fetch a login for the streamer with an access token that is valid now."""

    async def refresh_tokens(self, *, force: bool = False) -> object:
        """Get a new access token."""

    async def fetch_quotes(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Fetch the quotes endpoint's entries by key."""

    async def fetch_market_hours(self, markets: Iterable[str], date: date | None = None) -> Mapping[str, Any]:
        """Fetch the markets endpoint's answer for one day."""

    @property
    def entitlements(self) -> Entitlements | None:
        """What the account may see, as of the last ``fetch_streamer_login``."""

    def login_mark(self) -> str | None:
        """Look at the token file without calling anybody: what changes when somebody logs in."""

    def refresh_paused(self) -> AbstractAsyncContextManager[None]:
        """Within the block nothing is refreshed in the background."""


LOST = "lost: "
LIVE_CLOCK = Clock(time.time, time.monotonic, asyncio.sleep, random.random)


class SchwabStreamClient:
    """Streams ``symbols`` into ``publisher`` until told to stop; await :meth:`run` once.

    ``market`` holds the last values; ``state``, ``reason`` and ``since`` (seconds since the epoch) say what is going
    on; ``ready`` is set by the first subscribed session. ``keepalive_s`` 0 never repeats a tick. ``recorder`` gets all
    that goes over the wire. ``permit`` is awaited before each session and ends the run by raising ``LeaseLost``:
    whoever lost the account must not log in and so evict whoever has it.
    """

    def __init__(
        self,
        auth: Authorizer,
        publisher: Publisher,
        symbols: Sequence[Symbol],
        *,
        heartbeat_timeout_s: float = 30.0,
        keepalive_s: float = 60.0,
        schedule: Schedule | None = None,
        clock: Clock = LIVE_CLOCK,
        recorder: Recorder | None = None,
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._auth, self._clock, self._permit = auth, clock, permit
        self._recorder = recorder
        self._keepalive_s = keepalive_s
        self._backoff = Backoff(clock.random)
        self._announcer = Announcer(publisher.publish, clock.wall)
        self._memory = Memory(Silence(heartbeat_timeout_s))
        self._connection: Connection | None = None
        self._denied = self._must_refresh = False
        self._login_mark: str | None = None
        self._cut_sessions = CutSessions()
        self._logged_in_s: float | None = None
        self._stop = asyncio.Event()
        self.symbols = tuple(symbols)
        self.market = Market(symbols, publisher.publish)
        self.schedule = schedule or Schedule()
        self.ready = asyncio.Event()

    @property
    def state(self) -> StreamState:
        """Where it is in its life."""
        return self._announcer.state

    @property
    def reason(self) -> str:
        """Why it is in this state."""
        return self._announcer.reason

    @property
    def since(self) -> float:
        """When the state began, in seconds since the epoch."""
        return self._announcer.since

    @property
    def counts(self) -> Counter[str]:
        """What was counted in this run, by name."""
        return self._announcer.counts

    def troubles(self) -> dict[str, list[str]]:
        """Why data is missing, refused subscriptions or silence, for each key of which it is."""
        return self._memory.troubles()

    @property
    def meter(self) -> Meter:
        """What arrived in this run, over all sessions."""
        return self._memory.meter

    @property
    def announcer(self) -> Announcer:
        """For those who listen to StatusEvents, or have something to tell that the state does not show."""
        return self._announcer

    def hold(self, held: bool) -> None:
        """Let the session take nothing from the socket for a moment, or go on; without a session nothing happens."""
        if self._connection is not None:
            self._connection.hold(held)

    def stop(self) -> None:
        """Log out and let :meth:`run` return; a second call changes nothing."""
        self._stop.set()

    async def run(self) -> None:
        """Stream until :meth:`stop`.

        Raises ``LoginRequired`` when Schwab refuses the credentials, ``Refused`` when it subscribes nothing, and
        ``SchwabUnavailable`` when no session was subscribed within ``STARTUP_LIMIT_S`` of the start.
        """
        story = asyncio.create_task(self._supervise(), name="stream")
        told = asyncio.create_task(self._told_to_stop(), name="stop")
        hours = start_beside(self._keep_hours(), "market hours")
        hours.add_done_callback(self._report_crash)
        try:
            await asyncio.wait({story, told}, return_when=asyncio.FIRST_COMPLETED)
            if not story.done():
                await self._log_out(story)
            for task in (told, story):
                if task.done() and not task.cancelled():
                    task.result()
            self._announcer.enter(StreamState.STOPPED, "asked to stop")
        finally:
            await end(story, told, hours)

    async def _told_to_stop(self) -> None:
        """Wait for :meth:`stop`; raises when nothing is subscribed by the end of the start-up."""
        limit = asyncio.ensure_future(self._clock.sleep(STARTUP_LIMIT_S))
        told = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({limit, told}, return_when=asyncio.FIRST_COMPLETED)
            if not told.done() and not self.ready.is_set():
                raise SchwabUnavailable(
                    f"Schwab did not get as far as streaming within {STARTUP_LIMIT_S:g} s ({self.reason}): "
                    "check the network and SCHWAB_API_BASE_URL, then try again"
                )
            await told
        finally:
            limit.cancel()
            told.cancel()

    async def _log_out(self, story: "asyncio.Task[None]") -> None:
        if self._connection is not None and self._connection.session.state is State.READY:
            self._connection.session.logout()
            self._connection.wake()
            await asyncio.wait({story}, timeout=LOGOUT_LIMIT_S)
        story.cancel()
        await asyncio.wait({story})

    async def _supervise(self) -> None:
        """The story: one session after the other, with a pause between them that fits how the last one ended."""
        self._announcer.enter(StreamState.CONNECTING, "starting")
        while not self._stop.is_set():
            try:
                await self._stream_once()
            except SchwabStreamError as error:
                if self._stop.is_set():
                    return  # however it came, it is the end that was asked for
                await self._go_on_after(self._cut_sessions.judge(error, self._logged_in_s))

    async def _go_on_after(self, error: SchwabStreamError) -> None:
        """Pause as this error calls for; raises what going on cannot help, and at the start what waiting cannot."""
        self.counts[f"{LOST}{type(error).__name__}"] += 1
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
        """One session from authorization to its end; every end but our own LOGOUT raises."""
        if self._permit is not None:
            await self._permit()
        self._login_mark = self._logged_in_s = None
        if self._must_refresh:
            await self._auth.refresh_tokens(force=True)
            self._must_refresh = False
        login = await self._auth.fetch_streamer_login()
        self._login_mark = self._look_for_login()
        if self._memory.listings is None:
            self._memory.listings = await find_listings(self.symbols, self._auth.fetch_quotes)
        opening = open_connection(
            Session(login),
            login.socket_url,
            monotonic=self._clock.monotonic,
            wall=self._clock.wall,
            silence=self._memory.silence,
            recorder=self._recorder,
        )
        async with opening as connection:
            self._connection = connection
            self.counts["connections"] += 1
            feed = self._feed(connection)
            try:
                await feed.run()
            finally:
                self._connection = None
                if feed.logged_in_at is not None:
                    self._logged_in_s = self._clock.monotonic() - feed.logged_in_at
                if feed.subscribed_at is not None:
                    self._backoff.streamed(self._clock.monotonic() - feed.subscribed_at)

    def _feed(self, connection: Connection) -> Feed:
        return Feed(
            connection,
            self.symbols,
            self.market,
            self._announcer,
            self._memory,
            self.schedule,
            self._clock,
            keepalive_s=self._keepalive_s,
            on_subscribed=self._subscribed,
        )

    def _subscribed(self) -> None:
        first, self._denied = not self.ready.is_set(), False
        self.ready.set()
        self._announcer.enter(StreamState.STREAMING, f"{len(self.symbols)} symbols subscribed")
        if first and self._auth.entitlements:
            for detail, reason in self._auth.entitlements.missing().items():
                self._announcer.remind(reason, detail)

    async def _wait(self, error: SchwabStreamError) -> None:
        """Back off, and go again; a refusal or broken protocol at the start is told instead."""
        if not self.ready.is_set() and not isinstance(error, SchwabUnavailable):
            raise error
        asked_s = error.retry_after_s if isinstance(error, SchwabUnavailable) else None
        delay = self._backoff.next_delay(asked_s)
        self._announcer.enter(StreamState.WAITING, str(error), retry_in_s=round(delay, 1))
        await self._clock.sleep(delay)
        self._announcer.enter(StreamState.CONNECTING, str(error))

    async def _stand_back(self, error: Evicted) -> None:
        """Leave the connection to whoever took it for a while: two streamers must not evict each other for ever."""
        if not self.ready.is_set():
            raise error
        self._announcer.enter(StreamState.EVICTED, str(error), retry_in_s=EVICTION_PAUSE_S)
        await self._clock.sleep(EVICTION_PAUSE_S)
        self._announcer.enter(StreamState.CONNECTING, "trying again after an eviction")

    async def _wait_for_login(self, error: LoginRequired) -> None:
        """Watch the token file, and call Schwab not once, until somebody has logged in."""
        if not self.ready.is_set():
            raise error
        # What this attempt used, when it got that far: a login that came meanwhile is not missed.
        mark = self._login_mark or self._look_for_login()
        self._announcer.enter(StreamState.LOGIN_REQUIRED, str(error))
        async with self._auth.refresh_paused():
            while self._look_for_login() == mark:
                await self._clock.sleep(LOGIN_LOOK_EVERY_S)
        self._denied, self._must_refresh = False, True
        self._announcer.enter(StreamState.CONNECTING, "somebody logged in")

    def _look_for_login(self) -> str | None:
        """What stands for the stored login; as before while the token file cannot be read."""
        try:
            return self._auth.login_mark()
        except TokenFileError as error:
            log.debug("the token file cannot be read", reason=str(error))
            return self._login_mark

    async def _keep_hours(self) -> None:
        if any(symbol.asset in EQUITY_HOURS for symbol in self.symbols):
            fetch = self._auth.fetch_market_hours
            await keep_equity_hours(
                self.schedule, fetch, self._clock, self.ready, lambda: self.state is StreamState.STREAMING
            )

    def _report_crash(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._announcer.remind(f"{task.get_name()} failed; the stream goes on, the log says why", "part_failed")
