"""The supervisor: authorize, connect, log in, subscribe, deliver, and go again; the only place that reconnects.

What to subscribe follows from the symbols that are wanted, never from what was once sent. Each change of state goes
through ``_enter``, which logs, counts and publishes it. Before the first subscribed session a failure that lasts
ends the run, so that a wrong setting is told within seconds; after it only a refusal does.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import structlog

from schwabstream.backoff import Backoff
from schwabstream.codec import Batch, Undecodable
from schwabstream.connection import Connection, open_connection
from schwabstream.errors import (
    Evicted,
    LoginDenied,
    LoginRequired,
    ProtocolError,
    Refused,
    SchwabUnavailable,
    SessionLost,
)
from schwabstream.events import VERSION, Channel
from schwabstream.fields import Service
from schwabstream.market import Market
from schwabstream.publisher import TradingEventPublisher
from schwabstream.session import (
    EVICTED,
    LOGIN_DENIED,
    STREAM_NOT_FOUND,
    Answered,
    Ended,
    LoggedIn,
    LoginFailed,
    Outcome,
    Session,
    StreamerLogin,
)
from schwabstream.subscriptions import plan, wanted
from schwabstream.symbols import Asset, Symbol

log = structlog.get_logger(__name__)

STARTUP_LIMIT_S = 9.0
LOGOUT_LIMIT_S = 2.0
EVICTION_PAUSE_S = 300.0


class Authorizer(Protocol):
    """What the supervisor needs of ``SchwabAuthClient``; both may raise LoginRequired or SchwabUnavailable."""

    async def fetch_streamer_login(self) -> StreamerLogin:
        """Fetch a login for the streamer with an access token that is valid now."""

    async def refresh_tokens(self, *, force: bool = False) -> object:
        """Get a new access token."""

    async def fetch_quotes(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Fetch the quotes endpoint's entries by key."""


class StreamState(StrEnum):
    """Where the streamer is in its life; the states of ``StatusEvent`` that last."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    LOGIN_REQUIRED = "login_required"
    EVICTED = "evicted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and the chance that the supervisor lives by; tests bring their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


class SchwabStreamClient:
    """Streams ``symbols`` into ``publisher`` until told to stop; await :meth:`run` once.

    ``market`` holds the last values; ``state``, ``reason`` and ``since`` (seconds since the epoch) say what is going
    on; ``ready`` is set by the first subscribed session; ``refused`` maps what Schwab would not subscribe to why.
    """

    def __init__(
        self,
        auth: Authorizer,
        publisher: TradingEventPublisher,
        symbols: Sequence[Symbol],
        *,
        heartbeat_timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self._auth = auth
        self._publisher = publisher
        self._clock = clock or Clock()
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._backoff = Backoff(self._clock.random)
        self._listings: dict[str, str] | None = None
        self._without_depth: set[Service] = set()
        self._connection: Connection | None = None
        self._end: LoginFailed | Ended | None = None
        self._denials = 0
        self._streaming_from: float | None = None
        self._lost_at: float | None = None
        self._stop = asyncio.Event()
        self.symbols = tuple(symbols)
        self.market = Market(symbols, publisher.publish)
        self.state = StreamState.CONNECTING
        self.reason = "starting"
        self.since = self._clock.wall()
        self.refused: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.ready = asyncio.Event()

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
        try:
            await asyncio.wait({story, told}, return_when=asyncio.FIRST_COMPLETED)
            if not story.done():
                await self._log_out(story)
            for task in (told, story):
                if task.done() and not task.cancelled():
                    task.result()
            self._enter(StreamState.STOPPED, "asked to stop")
        finally:
            for task in (story, told):
                task.cancel()
            await asyncio.wait({story, told})

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
        if self._connection is not None:
            self._connection.session.logout()
            self._connection.wake()
            await asyncio.wait({story}, timeout=LOGOUT_LIMIT_S)
        story.cancel()
        await asyncio.wait({story})

    async def _supervise(self) -> None:
        """The story: one session after the other, with a pause between them that fits how the last one ended."""
        self._enter(StreamState.CONNECTING, "starting")
        while not self._stop.is_set():
            try:
                await self._stream_once()
            except Evicted as error:
                self._enter(StreamState.EVICTED, str(error), retry_in_s=EVICTION_PAUSE_S)
                await self._clock.sleep(EVICTION_PAUSE_S)
                self._enter(StreamState.CONNECTING, "trying again after an eviction")
            except SchwabUnavailable as error:
                delay = self._backoff.next_delay(error.retry_after_s)
                self._enter(StreamState.WAITING, str(error), retry_in_s=round(delay, 1))
                await self._clock.sleep(delay)
                self._enter(StreamState.CONNECTING, str(error))

    async def _stream_once(self) -> None:
        """One session from authorization to its end; every end but our own LOGOUT raises."""
        if self._denials:
            await self._auth.refresh_tokens(force=True)
        login = await self._auth.fetch_streamer_login()
        await self._find_listings()
        opening = open_connection(
            Session(login),
            login.socket_url,
            monotonic=self._clock.monotonic,
            wall=self._clock.wall,
            silence_limit_s=self._heartbeat_timeout_s,
        )
        async with opening as connection:
            self._connection, self._end = connection, None
            self.counts["connections"] += 1
            self.market.begin_session()
            try:
                await connection.run(self)
            finally:
                self._connection = None
                self._note_end()
        self._explain_end()

    def take_batch(self, batch: Batch, received_us: int) -> None:
        """Merge and publish; called by the connection for each batch."""
        self.market.apply(batch, received_us)

    def take_undecodable(self, part: Undecodable) -> None:
        """Count what could not be understood, and show the first of its kind."""
        if not self.counts[part.reason]:
            log.warning("a frame could not be understood; the stream goes on", reason=part.reason, sample=part.sample)
        self.counts[part.reason] += 1
        self.counts["undecodable"] += 1

    def take_outcome(self, outcome: Outcome) -> None:
        """Follow the session: subscribe after the login, note refusals, be ready when every command is answered."""
        match outcome:
            case LoggedIn():
                self._denials = 0
                self._subscribe()
            case Answered():
                self._note_answer(outcome)
            case _:
                self._end = outcome
                return
        if self._connection is not None and self._connection.session.idle:
            self._subscribed()

    def _subscribe(self) -> None:
        goal = wanted(self.symbols, self._listings)
        goal = {service: keys for service, keys in goal.items() if service not in self._without_depth}
        self.refused.clear()
        if self._connection is not None:
            self._connection.session.request(*plan(goal, {}))

    def _note_answer(self, answer: Answered) -> None:
        service, keys = answer.command.service, answer.command.keys
        if answer.ok:
            self.counts["accepted commands"] += 1
        elif service is Service.FUTURES_BOOK:
            self._without_depth.add(service)
            self.market.use_top_of_book(keys)
            log.info("no futures depth at Schwab; books are the top of book", answer=answer.message)
        elif answer.code == STREAM_NOT_FOUND:
            raise SessionLost(f"the streamer does not know this session (code {answer.code}: {answer.message})")
        else:
            self.refused.update(dict.fromkeys(keys, f"{service}: {answer.message}"))
            self.counts["refused commands"] += 1
            log.warning("subscription refused", service=service, keys=keys, code=answer.code, answer=answer.message)

    def _subscribed(self) -> None:
        if not self.counts["accepted commands"]:
            reasons = "; ".join(dict.fromkeys(self.refused.values()))
            raise Refused(f"Schwab subscribed none of {', '.join(self.refused)}: {reasons}")
        self._streaming_from = self._clock.monotonic()
        self.ready.set()
        self._enter(StreamState.STREAMING, f"{len(self.symbols)} symbols subscribed")
        if self._lost_at is not None:
            lost_at, self._lost_at = int(self._lost_at * 1000), None
            symbols = [symbol.alias for symbol in self.symbols]
            self.counts["gaps"] += 1
            self._publish_status("gap", "reconnected", lost_at=lost_at, restored_at=self._now_ms(), symbols=symbols)

    def _note_end(self) -> None:
        """Remember when a stream ended, and whether it had been healthy for long."""
        if self._streaming_from is None:
            return
        self._backoff.streamed(self._clock.monotonic() - self._streaming_from)
        self._streaming_from = None
        self._lost_at = self._lost_at or self._clock.wall()

    def _explain_end(self) -> None:
        """Raise what the session's end means for the next one; nothing after our own LOGOUT."""
        match self._end:
            case LoginFailed(code=code, message=message) if code == LOGIN_DENIED:
                self._denials += 1
                if self._denials > 1:
                    raise LoginRequired(
                        f"the streamer denied the login even with a new access token ({message}): "
                        "run schwabstream auth login"
                    )
                raise LoginDenied(f"the streamer denied the login ({message})")
            case LoginFailed(code=code, message=message) | Ended(code=code, message=message) if code == EVICTED:
                raise Evicted(
                    f"another session took the one streamer connection Schwab allows ({message}): "
                    "stop the other program, or leave it to it"
                )
            case LoginFailed(code=code, message=message):
                raise SessionLost(f"the streamer did not take the login (code {code}: {message})")
            case Ended(code=int(code), message=message):
                raise SessionLost(f"the streamer ended the session (code {code}: {message})")

    async def _find_listings(self) -> None:
        """Ask once where each equity is listed; without an answer both book services are asked."""
        keys = [symbol.key for symbol in self.symbols if symbol.asset is Asset.EQUITY]
        if self._listings is not None or not keys:
            return
        try:
            quotes = await self._auth.fetch_quotes(list(dict.fromkeys(keys)))
        except (SchwabUnavailable, ProtocolError) as error:
            log.warning("listings unknown; both equity book services are asked", reason=str(error))
            return
        self._listings = {}
        for key in keys:
            reference = quotes.get(key, {}).get("reference", {})
            if exchange := reference.get("exchange"):
                self._listings[key] = exchange

    def _enter(self, state: StreamState, reason: str, *, retry_in_s: float | None = None) -> None:
        """Change the state; the one place that logs, counts and publishes it."""
        if state is not self.state:
            self.since = self._clock.wall()
        self.state, self.reason = state, reason
        self.counts[f"entered {state}"] += 1
        level = log.warning if state in (StreamState.WAITING, StreamState.EVICTED) else log.info
        level(state, reason=reason, **({} if retry_in_s is None else {"retry_in_s": retry_in_s}))
        self._publish_status(state, reason, retry_in_s=retry_in_s)

    def _publish_status(self, state: str, reason: str, **more: Any) -> None:  # noqa: ANN401 - fields of StatusEvent
        now_ms = self._now_ms()
        event = {
            "v": VERSION,
            "type": "status",
            "symbol": None,
            "key": None,
            "seq": 0,
            "timestamp": now_ms,
            "received_us": now_ms * 1000,
            "state": state,
            "reason": reason,
            "since": int(self.since * 1000),
        }
        self._publisher.publish(
            Channel.STATUS, event | {name: value for name, value in more.items() if value is not None}
        )

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)
