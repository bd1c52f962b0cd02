"""Keeps the wanted symbols subscribed and alive over one connection; used once.

Delivers incoming data, probes silent symbols, repeats the last tick of quiet symbols, and reports each outage as a gap
when data is back. Raises when only a new session can help.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog

from schwabstream.errors import Refused, SchwabStreamError, SessionLost
from schwabstream.market.instruments import Instrument
from schwabstream.market.trading_hours import hours_of
from schwabstream.protocol.codec import Batch, Undecodable
from schwabstream.protocol.session import Answered, Ended, LoggedIn, LoginFailed, Outcome, error_of
from schwabstream.protocol.subscriptions import LEVEL_ONE
from schwabstream.protocol.symbols import Asset, Symbol
from schwabstream.protocol.user_preference import SIGN
from schwabstream.report import Count
from schwabstream.streaming.connection import Connection, only_error
from schwabstream.streaming.listings import FetchQuotes, find_listings
from schwabstream.streaming.liveness import (
    UNKNOWN_SYMBOL,
    Dead,
    Finding,
    Limits,
    Liveness,
    NeverCame,
    Probe,
    Recovered,
    Silent,
)
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.subscribing import Subscriptions
from schwabstream.streaming.wanted_symbols import Change

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
LISTINGS_PAUSE_S = 2.0
"""Between two calls for listings: REST allows 120 requests a minute (protocol 2.4)."""
_NAMED = 10
GATHER_S = 2.0
"""Symbols that return within this time of each other share a gap: subscribing hundreds takes several commands."""
_NOT_TRADING = frozenset({"Halted", "Closed"})


class StreamSession:
    """One session.

    ``logged_in_at`` and ``subscribed_at``, when all commands were answered, are monotonic seconds, None until then.
    """

    def __init__(
        self,
        connection: Connection,
        stream: StreamState,
        *,
        keepalive_s: float,
        on_subscribed: Callable[[], None],
        fetch_quotes: FetchQuotes,
    ) -> None:
        self._connection, self._stream, self._clock = connection, stream, stream.clock
        self._market, self._meter, self._announcer = stream.market, stream.meter, stream.announcer
        # Checked once a second, so repeat a second early rather than late.
        self._keepalive_us = int(max(keepalive_s - LOOK_EVERY_S, keepalive_s / 2) * 1e6)
        self._on_subscribed, self._fetch_quotes = on_subscribed, fetch_quotes
        self._liveness = Liveness(Limits(), stream.liveness_history)
        self._subscriptions = Subscriptions(connection, stream, self._liveness)
        self._heard: set[str] = set()
        self._followed = stream.wishes
        self._has_unlisted, self._has_new_listings = asyncio.Event(), False
        self._dead_since: dict[str, float] = {}
        self._repeated_us: dict[str, int] = {}
        self._hours = {symbol.key: hours_of(symbol) for symbol in stream.symbols}
        self._open = dict.fromkeys(self._hours.values(), False)
        self.logged_in_at: float | None = None
        self.subscribed_at: float | None = None

    async def run(self) -> None:
        """Log in, subscribe and deliver until our own LOGOUT; raises at any other end."""
        self._market.begin_session()
        self._meter.begin_session()
        self._stream.stale.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(self._watch()), tasks.create_task(self._keep_listings())]
                await self._connection.run(self)
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as group:
            error = only_error(group)
            raise error from error.__cause__
        finally:
            self._announcer.counts.update(self._connection.counts)
            self._report_gaps(gather_s=0.0)
            self._note_losses()

    def take_batch(self, batch: Batch, received_us: int) -> None:
        """Merge and publish."""
        self._heard.add(batch.service)
        self._market.apply(batch, received_us)
        self._meter.note(batch, self._market.instruments, received_us, self._connection.received_bytes)

    def take_undecodable(self, part: Undecodable) -> None:
        """Count a part that could not be decoded, and log the first of each kind."""
        counts = self._announcer.counts
        if not counts[part.reason]:
            log.warning("a frame could not be decoded; the stream continues", reason=part.reason, sample=part.sample)
        counts[part.reason] += 1
        counts[Count.UNDECODABLE] += 1

    def take_outcome(self, outcome: Outcome) -> None:
        """Subscribe after the login and note each answer; the session is complete when every command is answered."""
        match outcome:
            case LoggedIn():
                self.logged_in_at = self._clock.monotonic()
                self._take_wishes()
                self._subscriptions.begin()
            case Answered():
                self._subscriptions.take_answer(outcome)
            case LoginFailed() | Ended():
                if error := error_of(outcome):
                    raise error
                return
        if self.subscribed_at is None and self._connection.idle:
            self._complete()
        elif self._followed is not self._stream.wishes or self._has_new_listings:
            self.follow_wishes()

    def follow_wishes(self) -> None:
        """Subscribe and release what the wishes ask for, once the commands before are answered."""
        if self.subscribed_at is None or not self._connection.idle:
            return
        change = self._take_wishes()
        equities = {symbol.key for symbol in change.added if symbol.asset is Asset.EQUITY}
        if new := equities - (self._stream.listings or {}).keys() - self._stream.subscribed.keys():
            self._subscriptions.unlisted |= new
            self._has_unlisted.set()
        if change.added or change.released or self._has_new_listings:
            self._has_new_listings = False
            self._subscriptions.aim()
            confirmed = self._subscriptions.confirmed
            self._stream.announce_accepted(symbol.key for symbol in change.added if symbol.key in confirmed)

    def _take_wishes(self) -> Change:
        self._followed = self._stream.wishes
        change = self._stream.follow_wishes()
        for symbol in change.released:
            if (key := symbol.key) not in self._market.instruments:
                self._subscriptions.confirmed.discard(key)
                self._liveness.forget(key)
                for times in (self._hours, self._repeated_us, self._dead_since):
                    times.pop(key, None)
        for symbol in change.added:
            self._learn_hours(symbol)
        if change.added or change.released:
            self._connection.note_symbols(symbol.alias for symbol in self._stream.symbols)
        return change

    async def _keep_listings(self) -> None:
        """Ask Schwab where newly wanted equities are listed, and then subscribe their books."""
        while True:
            await self._has_unlisted.wait()
            self._has_unlisted.clear()
            unlisted = self._subscriptions.unlisted
            asked = [symbol for symbol in self._stream.symbols if symbol.key in unlisted]
            with contextlib.suppress(SchwabStreamError):  # without an answer, both book services are subscribed
                found = await find_listings(asked, self._fetch_quotes)
                self._stream.listings = {**(self._stream.listings or {}), **(found or {})}
            unlisted -= {symbol.key for symbol in asked} | (unlisted - self._market.instruments.keys())
            self._has_new_listings = True
            self.follow_wishes()
            await self._clock.sleep(LISTINGS_PAUSE_S)

    def _learn_hours(self, symbol: Symbol) -> None:
        hours = self._hours[symbol.key] = hours_of(symbol)
        if hours not in self._open:
            self._open[hours] = self._stream.schedule.is_open(hours, datetime.fromtimestamp(self._clock.wall(), UTC))

    def _complete(self) -> None:
        if not self._subscriptions.accepted:
            reasons = "; ".join(dict.fromkeys(self._stream.refused.values()))
            keys = ", ".join(dict.fromkeys(key for _, key in self._stream.refused))
            raise Refused(f"Schwab subscribed none of {keys} ({reasons})")
        self.subscribed_at = self._clock.monotonic()
        self._on_subscribed()

    def _report_gaps(self, gather_s: float = GATHER_S) -> None:
        """Report the gaps that have ended: at once when all symbols are back, else after ``gather_s``."""
        gaps, instruments = self._stream.gaps, self._market.instruments
        lost = [instrument for key, instrument in instruments.items() if key in gaps.lost] if gaps.lost else ()
        back = {instrument.key: instrument.first_us / 1e6 for instrument in lost if instrument.fresh}
        if not back or (len(back) < len(lost) and 0 <= self._clock.wall() - min(back.values()) < gather_s):
            return
        for gap in gaps.restore(back):
            symbols = [alias for key in gap.keys for alias in instruments[key].aliases]
            lost_at, restored_at = int(gap.lost_at * 1000), int(gap.restored_at * 1000)
            self._announcer.announce("gap", "data is back", lost_at=lost_at, restored_at=restored_at, symbols=symbols)

    def _note_losses(self) -> None:
        """Record since when data is missing: since the last frame, or earlier for symbols that were dead before it."""
        epoch = self._clock.wall() - self._clock.monotonic()
        for key, instrument in self._market.instruments.items():
            # A key can deliver without an acknowledgement.
            if instrument.fresh or key in self._subscriptions.confirmed:
                self._stream.gaps.lose(key, epoch + self._dead_since.get(key, self._connection.received_at))

    async def _watch(self) -> None:
        """Check the subscriptions about once a second."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            self._report_gaps()
            if self.subscribed_at is None:
                continue
            self.follow_wishes()
            self._subscriptions.retry_one()
            self._subscriptions.settle_listings()
            at = datetime.fromtimestamp(self._clock.wall(), UTC)
            self._open = {hours: self._stream.schedule.is_open(hours, at) for hours in self._open}
            if any(map(self._is_trading, self._market.instruments.values())):
                self._connection.expect_data()
            heard, self._heard = self._heard, set()
            now = self._clock.monotonic()
            for finding in self._liveness.check(self._market.instruments, self._is_trading, now, heard):
                self._act(finding)
            self._repeat_quiet()
            self._remind_of_delay()

    def _remind_of_delay(self) -> None:
        """Report each symbol once whose data Schwab delays."""
        found = [each for each in self._market.instruments.values() if each.tick["delayed"]]
        if new := [each for each in found if each.key not in self._stream.delayed]:
            self._stream.delayed.update(each.key for each in new)
            aliases = [alias for each in new for alias in each.aliases]
            more = f" and {len(aliases) - _NAMED} more" if len(aliases) > _NAMED else ""
            names = ", ".join(aliases[:_NAMED]) + more
            self._announcer.remind(f"Schwab sends delayed data for {names}: {SIGN}", "delayed")

    def _act(self, finding: Finding) -> None:
        match finding:
            case Dead(service, keys, since):
                self._dead_since = dict.fromkeys(keys, since)
                self._report_silent(service, keys)
                raise SessionLost(f"{service} stayed silent although its subscription was sent again")
            case Probe():
                self._probe(finding)
            case NeverCame(service, key):
                instrument = self._market.instruments[key]
                self._report_stale(service, key, self._why_never(instrument))
                if not instrument.fresh:
                    self._subscriptions.ask_again(service, (key,))
            case Silent(service, keys):
                self._report_silent(service, keys)
            case Recovered(service, keys):
                for key in keys:
                    if self._stream.stale.pop((service, key), None):
                        log.info("data is back", service=service, key=key)

    def _probe(self, probe: Probe) -> None:
        """Subscribe again without a report: a symbol that answers was only quiet."""
        self._announcer.counts[Count.PROBES] += 1
        log.debug("subscribing silent keys again", service=probe.service, keys=probe.keys)
        if probe.whole:
            self._subscriptions.ask_all_again(probe.service)
        else:
            self._subscriptions.ask_again(probe.service, probe.keys)

    def _report_silent(self, service: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._report_stale(service, key, f"{service} is silent although its subscription was sent again")

    def _report_stale(self, service: str, key: str, reason: str) -> None:
        self._stream.stale[service, key] = reason
        for alias in self._market.instruments[key].aliases:
            self._announcer.announce("stale", f"{alias}: {reason}", symbol=alias, key=key, detail=service)

    def _repeat_quiet(self) -> None:
        """Publish the last tick of quiet symbols in open markets again, which distinguishes quiet from dead."""
        if not self._keepalive_us:
            return
        now_us = int(self._clock.wall() * 1e6)
        for key, instrument in self._market.instruments.items():
            last_us = max(instrument.tick["received_us"], self._repeated_us.get(key, 0))
            if now_us - last_us >= self._keepalive_us and self._is_quiet(instrument):
                self._repeated_us[key] = now_us
                self._market.repeat(instrument)

    def _is_quiet(self, instrument: Instrument) -> bool:
        """Whether its market is open, this session confirmed it, and its silence was not reported as stale."""
        service = LEVEL_ONE[instrument.symbol.asset]
        reported = (service, instrument.key) in self._stream.stale
        return instrument.fresh and not reported and self._is_trading(instrument)

    def _is_trading(self, instrument: Instrument) -> bool:
        """Whether data must be flowing, by the calendar and by the instrument's own status fields."""
        info = instrument.info
        return (
            self._open[self._hours[instrument.key]]
            and instrument.tick["security_status"] not in _NOT_TRADING
            and info.get("is_quoted_in_session") is not False
        )

    def _why_never(self, instrument: Instrument) -> str:
        if instrument.info.get("description") == UNKNOWN_SYMBOL:
            return "Schwab does not know this symbol"
        if not self._open[self._hours[instrument.key]]:
            return "no data since it was subscribed: its market is closed, or Schwab does not know it"
        return "no data since it was subscribed: Schwab does not know it, or this login has no entitlement for it"
