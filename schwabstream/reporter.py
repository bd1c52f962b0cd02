"""Turns what a running streamer knows of itself into its report, and keeps the report in Redis alive."""

import asyncio
import os
import platform
import time
from collections.abc import Callable

from schwabstream import __version__
from schwabstream.market import Instrument
from schwabstream.publisher import TradingEventPublisher
from schwabstream.report import LagReport, StreamerReport, SymbolReport
from schwabstream.streamer import SchwabStreamClient
from schwabstream.symbols import tick_size
from schwabstream.tokens import LOGIN_WARNING_S, TokenSet

INTERVAL_S = 1.0
_RATE_WEIGHT = 0.3


class Reporter:
    """Reports on one streamer; ``report`` is the latest, renewed every ``INTERVAL_S`` while :meth:`run` runs."""

    def __init__(
        self,
        client: SchwabStreamClient,
        publisher: TradingEventPublisher,
        *,
        tokens: Callable[[], TokenSet | None] = lambda: None,
        simulated: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._publisher = client, publisher
        self._tokens = tokens
        self._simulated = simulated
        self._wall = wall
        self._started = int(wall() * 1000)
        self._measured_at = wall()
        self._updates: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._dropped_told = 0
        self._due_told: int | None = None
        self.report = self._compose()

    async def run(self) -> None:
        """Renew and publish the report until cancelled."""
        while True:
            self._measure()
            self.report = self._compose()
            self._publisher.publish_report(self.report.model_dump_json(exclude_none=True).encode())
            self._tell_dropped()
            self._tell_login_due()
            await asyncio.sleep(INTERVAL_S)

    def _measure(self) -> None:
        """Update the smoothed rate of each key, in updates a second."""
        now = self._wall()
        elapsed, self._measured_at = now - self._measured_at, now
        for key, instrument in self._client.market.instruments.items():
            rate = (instrument.updates - self._updates.get(key, 0)) / elapsed if elapsed > 0 else 0.0
            known = self._rates.get(key)
            self._rates[key] = rate if known is None else known + _RATE_WEIGHT * (rate - known)
            self._updates[key] = instrument.updates

    def _tell_dropped(self) -> None:
        dropped = self._publisher.dropped
        if dropped > self._dropped_told and self._publisher.connected:
            count, self._dropped_told = dropped - self._dropped_told, dropped
            self._client.announcer.tell("dropped", "Redis was away longer than the buffer lasts", count=count)

    def _tell_login_due(self) -> None:
        """Remind once per login, a day before the next one is due (protocol 1.3)."""
        due_at = self.report.login_due_at
        if due_at is not None and due_at != self._due_told and self.login_due_s is not None:
            self._due_told = due_at
            self._client.announcer.remind(f"{login_due_words(self.login_due_s)}: schwabstream auth login", "login_due")

    @property
    def login_due_s(self) -> float | None:
        """Seconds until a new login is due, once that is less than a day; negative when it is overdue."""
        due_at = self.report.login_due_at
        left_s = None if due_at is None else due_at / 1000 - self._wall()
        return left_s if left_s is not None and left_s <= LOGIN_WARNING_S else None

    def _compose(self) -> StreamerReport:
        client, publisher = self._client, self._publisher
        connections = client.counts["connections"]
        tokens = self._tokens()
        return StreamerReport(
            state=client.state.value,
            reason=client.reason,
            since=int(client.since * 1000),
            reported=int(self._wall() * 1000),
            started=self._started,
            pid=os.getpid(),
            host=platform.node(),
            version=__version__,
            simulated=self._simulated,
            symbols=tuple(
                self._symbol(instrument, alias)
                for instrument in client.market.instruments.values()
                for alias in instrument.aliases
            ),
            sessions=client.counts["entered streaming"],
            reconnects=max(0, connections - 1),
            gaps=client.counts["gap"],
            published=publisher.published,
            queued=publisher.queued,
            dropped=publisher.dropped,
            counts={
                **client.counts,
                **client.market.counts,
                **{f"redis {name}": count for name, count in publisher.counts.items()},
            },
            lag=self._lag(),
            token_expires_at=_ms(tokens.expires_at if tokens else None),
            login_at=_ms(tokens.login_at if tokens else None),
            login_due_at=_ms(tokens.login_due_at if tokens else None),
        )

    def _symbol(self, instrument: Instrument, alias: str) -> SymbolReport:
        tick = instrument.tick
        received_us = tick["received_us"]
        return SymbolReport(
            symbol=alias,
            key=instrument.key,
            asset=tick["asset"],
            contract=tick["contract"],
            updates=instrument.updates,
            age_ms=max(0, int(self._wall() * 1000) - received_us // 1000) if received_us else None,
            rate=round(self._rates.get(instrument.key, 0.0), 2),
            fresh=instrument.fresh,
            security_status=instrument.info.get("security_status"),
            tick_size=instrument.info.get("tick") or tick_size(instrument.symbol),
            description=instrument.info.get("description"),
            problem="; ".join(self._client.problems(instrument.key)) or None,
            book=instrument.book,
        )

    def _lag(self) -> LagReport:
        ticks = [instrument.tick for instrument in self._client.market.instruments.values() if instrument.fresh]
        newest = max(ticks, key=lambda tick: tick["received_us"], default=None)
        round_trip_s = self._publisher.round_trip_s
        return LagReport(
            exchange_to_here_ms=newest and newest["received_us"] / 1000 - newest["timestamp"],
            here_to_redis_ms=None if round_trip_s is None else round_trip_s * 1000,
        )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def login_due_words(left_s: float) -> str:
    """How long there is until a new login, in words."""
    if left_s <= 0:
        return "a new login is overdue"
    hours, minutes = divmod(int(left_s / 60), 60)
    return f"a new login is due in {hours} h {minutes} min"
