"""Moves the market at the rates that the switches set, however often the event loop wakes up."""

import asyncio
from typing import TYPE_CHECKING, Any

from schwabstream.protocol.fields import Service
from schwabstream.protocol.screeners import SCREENER_SERVICES
from schwabstream.simulator.feed import BOOKS, CHARTS, LEVELONE
from schwabstream.simulator.market import Quote
from schwabstream.simulator.streamer import Session

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator

# After a stall the market does not catch up by more than this.
_LONGEST_PULSE_S = 0.5
_FOLLOWED = (*LEVELONE, *CHARTS)
_INTERVALS = {Service.SCREENER_EQUITY: 10, Service.SCREENER_OPTION: 5, Service.ACCT_ACTIVITY: 5}
"""How many level-1 changes of a key go by between two updates: seconds, at one change a second (protocol 3.5)."""


class Pulse:
    """Owns the one task of the simulator."""

    def __init__(self, simulator: "SchwabSimulator") -> None:
        self._simulator = simulator
        self._credits: dict[Quote, float] = {}
        self._book_credits: dict[Quote, float] = {}
        self._since_update = dict.fromkeys(_INTERVALS, 0.0)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to move the market."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop, and wait for the end; raises the error that ended the task."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            faults = self._simulator.faults
            fastest = max(faults.changes_per_s, faults.books_per_s, 1.0)
            await asyncio.sleep(min(0.05, max(0.002, 0.5 / fastest)))
            now = loop.time()
            self._advance(min(now - before, _LONGEST_PULSE_S))
            before = now

    def _advance(self, elapsed_s: float) -> None:
        faults, sessions = self._simulator.faults, self._simulator.live_sessions()
        self._send_roll(sessions)
        followed = self._simulator.feed.quotes(sessions, _FOLLOWED)
        due = _due(self._credits, followed, faults.changes_per_s * elapsed_s)
        while due:
            self._move(sessions, list(due))
            due = {quote: count - 1 for quote, count in due.items() if count > 1}
        if faults.changes_per_s > 0:
            self._send_bars(sessions)
        self._send_due_books(sessions, faults.books_per_s * elapsed_s)
        self._send_due_updates(sessions, faults.changes_per_s * elapsed_s)

    def _send_due_updates(self, sessions: list[Session], credit: float) -> None:
        """Screeners and account activity: at most one update each, however fast the market moves."""
        for service, interval in _INTERVALS.items():
            self._since_update[service] += credit
            if self._since_update[service] >= interval:
                self._since_update[service] = 0.0
                self._send_update(sessions, service)

    def _send_update(self, sessions: list[Session], service: Service) -> None:
        feed, now_ms = self._simulator.feed, self._simulator.market.now_ms()
        if not any(each.subscriptions.get(service) for each in sessions):
            return
        if service not in SCREENER_SERVICES:
            feed.send_activity(sessions)
            return
        followed = feed.quotes(sessions, (*_FOLLOWED, *BOOKS))
        for quote in feed.screened(sessions, service):
            # A quote that nobody follows would keep its place in the list.
            if quote not in followed:
                quote.advance(now_ms)
        feed.send_screeners(sessions, service)

    def _send_due_books(self, sessions: list[Session], credit: float) -> None:
        feed, now_ms = self._simulator.feed, self._simulator.market.now_ms()
        due = _due(self._book_credits, feed.quotes(sessions, BOOKS), credit)
        while due:
            for quote in due:
                # The book of a quote that nobody follows at level 1 would not move.
                if quote not in self._credits:
                    quote.advance(now_ms)
            feed.send_books(sessions, due)
            due = {quote: count - 1 for quote, count in due.items() if count > 1}

    def step(self) -> None:
        """Move everything followed once, now."""
        sessions = self._simulator.live_sessions()
        self._send_roll(sessions)
        feed = self._simulator.feed
        self._move(sessions, list(feed.quotes(sessions, (*_FOLLOWED, *BOOKS))))
        feed.send_books(sessions, feed.quotes(sessions, BOOKS))
        self._send_bars(sessions)
        for service in _INTERVALS:
            self._send_update(sessions, service)

    def _move(self, sessions: list[Session], quotes: list[Quote]) -> None:
        now_ms = self._simulator.market.now_ms()
        changes: dict[Quote, dict[str, Any]] = {quote: quote.advance(now_ms) for quote in quotes}
        self._simulator.feed.send_changes(sessions, changes)

    def _send_bars(self, sessions: list[Session]) -> None:
        now_ms = self._simulator.market.now_ms()
        followed = self._simulator.feed.quotes(sessions, CHARTS)
        bars = {quote: bar for quote in followed if (bar := quote.take_bar(now_ms)) is not None}
        if bars:
            self._simulator.feed.send_bars(sessions, bars)

    def _send_roll(self, sessions: list[Session]) -> None:
        if rolled := self._simulator.market.roll():
            self._simulator.feed.send_changes(sessions, rolled)


def _due(owed_to: dict[Quote, float], followed: dict[Quote, None], credit: float) -> dict[Quote, int]:
    """How often each followed quote moves now; the rest of its credit is kept for the next pulse."""
    for gone in [quote for quote in owed_to if quote not in followed]:
        del owed_to[gone]
    due = {}
    for quote in followed:
        # A random first share keeps instruments from moving in step.
        owed = owed_to.get(quote, quote.phase) + credit
        due[quote] = int(owed)
        owed_to[quote] = owed - int(owed)
    return {quote: count for quote, count in due.items() if count > 0}
