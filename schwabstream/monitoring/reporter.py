"""Makes the report of a running streamer, and renews it in Redis together with the instruments that have changed."""

import asyncio
import itertools
import operator
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from schwabstream import __version__
from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.tokens import TokenSet
from schwabstream.market.instruments import Instrument
from schwabstream.market.sessions import session_at
from schwabstream.protocol.futures import Hours
from schwabstream.protocol.subscriptions import LEVEL_ONE
from schwabstream.protocol.symbols import tick_size
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.report import REPORT_VERSION, Count, StreamerReport, parse_report, trouble_of
from schwabstream.streaming.supervisor import SchwabStreamClient
from schwabstream.streaming.wanted_symbols import MOST_REPORTED

INTERVAL_S = 1.0
RAREST_S = 4
_ROWS_AT_ONCE = 256
INSTRUMENTS_AT_ONCE = 250  # encoding them takes less than a millisecond, in which no frame is read
_RATE_WEIGHT = 0.3


class Reporter:
    """Reports on one streamer about once a second while :meth:`run` runs; ``rates``: updates a second by key."""

    def __init__(
        self,
        client: SchwabStreamClient,
        publisher: TradingEventPublisher,
        *,
        login: SchwabAuthClient | None = None,
        simulated: bool = False,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client, self._publisher = client, publisher
        self._login = login
        self._wall, self._sleep = wall, sleep
        self._measured_at = wall()
        self._updates: dict[str, int] = {}
        self._announced_drops = 0
        self._announced_due: float | None = None
        self.simulated = simulated
        self.started = int(wall() * 1000)
        self.rates: dict[str, float] = {}

    def report(self, keys: Iterable[str] | None = None) -> StreamerReport:
        """A new report as its readers get it; with ``keys``, only these and the keys with missing data."""
        return parse_report(self._encoded(keys))

    @property
    def trouble(self) -> str | None:
        """The problem of a streamer whose state is ``streaming``, as in its report; None when there is none."""
        source = self._client.stream.wanted.source
        instruments = self._client.market.instruments.values()
        fresh = [each.fresh for each in instruments for alias in each.aliases if source(alias) == "configured"]
        return trouble_of(self._publisher.refusing, fresh.count(False), len(fresh))

    async def run(self) -> None:
        """Renew and publish the report until cancelled.

        Each thousand symbols add a second to the interval, because encoding them takes time, but the interval stays
        short enough to renew the lease of a quiet stream (docs/adr/0007). A change of state is still reported within a
        second.
        """
        left, state = 0, self._client.state
        while True:
            self._publish_instruments(INSTRUMENTS_AT_ONCE)
            if not left or self._client.state is not state:
                left, state = min(len(self._client.market.instruments) // 1000, RAREST_S - 1), self._client.state
                self._measure()
                self._publisher.publish_report(self._encoded())
            else:
                left -= 1
            if self._publisher.connected:
                self.announce_dropped("Redis was away longer than the buffer lasts")
            self._announce_login_due()
            await self._sleep(INTERVAL_S)

    def report_now(self) -> None:
        """Publish every changed instrument and a report now, for example at the end of a run."""
        self._publish_instruments(sys.maxsize)
        self._publisher.publish_report(self._encoded())

    def _publish_instruments(self, most: int) -> None:
        self._publisher.instruments.add(self._client.market.take_changed(most))

    def _measure(self) -> None:
        """Update the smoothed rate of each key, in updates a second, and forget released keys."""
        now = self._wall()
        elapsed, self._measured_at = now - self._measured_at, now
        rates, updates = self.rates, self._updates
        instruments = self._client.market.instruments
        for key in updates.keys() - instruments.keys():
            del rates[key], updates[key]
        for key, instrument in instruments.items():
            rate = (instrument.updates - updates.get(key, 0)) / elapsed if elapsed > 0 else 0.0
            smoothed = rates.get(key, rate)
            rates[key] = smoothed + _RATE_WEIGHT * (rate - smoothed)
            updates[key] = instrument.updates

    def announce_dropped(self, reason: str) -> None:
        """Announce the number of events dropped since the last announcement, if any."""
        dropped = self._publisher.dropped
        if dropped > self._announced_drops:
            count, self._announced_drops = dropped - self._announced_drops, dropped
            self._client.announcer.announce("dropped", reason, count=count)

    @property
    def login_reminder(self) -> str | None:
        """What a person should do about the login now, None while nothing is due."""
        tokens = self._tokens()
        return tokens.login_reminder(self._wall()) if tokens else None

    def _announce_login_due(self) -> None:
        """Remind once per login, a day before the next one is due (protocol 1.3)."""
        tokens = self._tokens()
        if tokens and (reminder := self.login_reminder) and tokens.login_due_at != self._announced_due:
            self._announced_due = tokens.login_due_at
            self._client.announcer.remind(reminder, "login_due")

    def _tokens(self) -> TokenSet | None:
        return self._login.tokens if self._login else None

    def _encoded(self, keys: Iterable[str] | None = None) -> bytes:
        """The report as JSON without unset fields; encoding its model would take five times as long."""
        rows = self._rows(keys)
        written: list[bytes] = []
        while chunk := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            written.append(orjson.dumps(chunk)[1:-1])
        return b'%b,"symbols":[%b]}' % (orjson.dumps(_without_none(self._head()))[:-1], b",".join(written))

    def _head(self) -> dict[str, Any]:
        client, publisher, tokens = self._client, self._publisher, self._tokens()
        connections = client.counts[Count.CONNECTIONS]
        return {
            "v": REPORT_VERSION,
            "state": client.state.value,
            "reason": client.reason,
            "since": int(client.since * 1000),
            "reported": int(self._wall() * 1000),
            "started": self.started,
            "pid": os.getpid(),
            "host": platform.node(),
            "version": __version__,
            "simulated": self.simulated,
            "symbol_channels": publisher.symbol_channels.on,
            "sessions": client.counts[Count.ENTERED_STREAMING],
            "reconnects": max(0, connections - 1),
            "gaps": client.counts[Count.GAP],
            "published": publisher.published,
            "queued": publisher.queued,
            "dropped": publisher.dropped,
            "redis": publisher.redis.model_dump(exclude_none=True),
            "refusing": list(publisher.refusing),
            "services": self._other_services(),
            "refused": self._refused(),
            "counts": self._counts(),
            "lag": _without_none(self._lag()),
            "token_expires_at": _ms(tokens.expires_at if tokens else None),
            "token_unsaved": str(self._login.unsaved) if self._login and self._login.unsaved else None,
            "login_at": _ms(tokens.login_at if tokens else None),
            "login_due_at": _ms(tokens.login_due_at if tokens else None),
        }

    def _refused(self) -> dict[str, str]:
        """The reasons for screeners and wanted symbols that are not streamed, by the limit or by Schwab."""
        stream = self._client.stream
        refused = stream.wanted.refused
        if stream.refused:
            others = ((service, key) for service, keys in stream.services.items() for key in keys)
            refused = {each[1]: stream.refused[each] for each in others if each in stream.refused} | refused
            for symbol in stream.symbols:
                why = stream.refused.get((LEVEL_ONE[symbol.asset], symbol.key))
                if why and stream.wanted.source(symbol.alias) != "configured":
                    refused[symbol.alias] = why
        return dict(itertools.islice(refused.items(), MOST_REPORTED))

    def _other_services(self) -> dict[str, tuple[str, ...]]:
        """The keys that are streamed of each service that is not one of symbols."""
        kept = {
            service: tuple(key for key in keys if service in self._services(key))
            for service, keys in self._client.stream.services.items()
        }
        return {str(service): keys for service, keys in kept.items() if keys}

    def _counts(self) -> dict[str, int]:
        client = self._client
        counts = {str(name): count for name, count in (*client.counts.items(), *client.market.counts.items())}
        counts.update((f"lost: {kind.__name__}", count) for kind, count in client.losses.items())
        counts.update((f"redis {name}", count) for name, count in self._publisher.counts.items())
        return counts

    def _rows(self, keys: Iterable[str] | None) -> Iterator[dict[str, Any]]:
        """The fields of one :class:`SymbolReport` per symbol."""
        now_ms, troubles = int(self._wall() * 1000), self._client.troubles()
        instruments, wanted = self._client.market.instruments, self._client.stream.wanted
        sessions: dict[Hours, dict[str, Any]] = {}
        for key in instruments if keys is None else dict.fromkeys((*keys, *filter(instruments.get, troubles))):
            instrument = instruments[key]
            if instrument.hours not in sessions:
                sessions[instrument.hours] = self._session(instrument.hours)
            row = self._row(instrument, now_ms) | sessions[instrument.hours]
            if key in troubles:
                row["problem"] = "; ".join(troubles[key])
            for alias in instrument.aliases:
                row["symbol"], row["source"] = alias, wanted.source(alias)
                yield {**row, "services": ()} if wanted.is_pending(alias) else row.copy()

    def _row(self, instrument: Instrument, now_ms: int) -> dict[str, Any]:
        tick, info = instrument.tick, instrument.info
        row = {
            "symbol": "",
            "key": instrument.key,
            "asset": tick["asset"],
            "updates": instrument.updates,
            "rate": round(self.rates.get(instrument.key, 0.0), 2),
            "fresh": instrument.fresh,
            "services": self._services(instrument.key),
        }
        if tick["received_us"]:
            row["age_ms"] = max(0, now_ms - tick["received_us"] // 1000)
        optional = {
            "contract": tick["contract"],
            "security_status": tick["security_status"],
            "tick_size": info.get("tick") or tick_size(instrument.symbol),
            "expires": info.get("expiration_date") or None,
            "description": info.get("description"),
            "book": instrument.book,
        }
        return row | _without_none(optional)

    def _session(self, hours: Hours) -> dict[str, Any]:
        session = session_at(self._client.stream.schedule, hours, datetime.fromtimestamp(self._wall(), UTC))
        if session is None:
            return {}
        opens_at = session.opens_at and _ms(session.opens_at.timestamp())
        return _without_none({"session": session.state.value, "opens_at": opens_at})

    def _services(self, key: str) -> tuple[str, ...]:
        services, refused = self._client.stream.subscribed.get(key, ()), self._client.stream.refused
        return tuple(service for service in services if (service, key) not in refused) if refused else services

    def _lag(self) -> dict[str, float | None]:
        ticks = (instrument.tick for instrument in self._client.market.instruments.values() if instrument.fresh)
        newest = max(ticks, key=_received_us, default=None)
        round_trip_s = self._publisher.round_trip_s
        return {
            "exchange_to_here_ms": None if newest is None else newest["received_us"] / 1000 - newest["timestamp"],
            "here_to_redis_ms": None if round_trip_s is None else round_trip_s * 1000,
        }


_received_us = operator.itemgetter("received_us")


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
