"""The report a streamer gives of itself: filled from a market, and renewed while it runs."""

import asyncio
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from schwabstream import __version__
from schwabstream.auth.tokens import TokenSet
from schwabstream.clock import Clock
from schwabstream.errors import SessionLost, TokenFileError
from schwabstream.events import Channel, StatusEvent, parse_event
from schwabstream.monitoring.reporter import INSTRUMENTS_AT_ONCE, RAREST_S, Reporter
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.screeners import services_of
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.fence import LIFE_MS
from schwabstream.publishing.queue.instruments import InstrumentHash
from schwabstream.publishing.queue.symbol_channels import SymbolChannels
from schwabstream.report import RedisReport, StreamerReport, SymbolReport, parse_report
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.status import Status
from schwabstream.streaming.supervisor import Authorizer, SchwabStreamClient
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from schwabstream.publishing.publisher import TradingEventPublisher

START_S = 1_765_083_430.0
START_MS = 1_765_083_430_000


@dataclass
class Shelf:
    """A store for reports in place of Redis, with answers that the test sets."""

    published: int = 7
    queued: int = 2
    dropped: int = 0
    connected: bool = True
    round_trip_s: float | None = None
    redis: RedisReport = field(default_factory=RedisReport)
    refusing: dict[str, bytes | None] = field(default_factory=dict)
    symbol_channels: SymbolChannels = field(default_factory=lambda: SymbolChannels({}, wanted=True))
    counts: Counter[str] = field(default_factory=Counter)
    events: list[tuple[Channel, dict[str, Any]]] = field(default_factory=list)
    reports: list[StreamerReport] = field(default_factory=list)
    instruments: InstrumentHash = field(default_factory=lambda: InstrumentHash("market_data"))
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Keep a copy of an event."""
        self.events.append((channel, dict(event)))

    def publish_report(self, report: bytes) -> None:
        """Keep a report as its readers get it."""
        self.reports.append(parse_report(report))
        self.reported.set()


@dataclass
class Login:
    """A login in place of ``SchwabAuthClient``."""

    tokens: TokenSet | None
    unsaved: TokenFileError | None = None


class Desk:
    """A streamer that was never started, its reporter, and a clock to move."""

    def __init__(self, *symbols: str, **more: Any) -> None:
        self.now = START_S
        self.shelf = Shelf()
        clock = Clock(lambda: self.now, lambda: self.now, asyncio.sleep, lambda: 0.0)
        nobody = cast("Authorizer", object())  # a client that is never started asks nobody
        parsed = parse_symbols(symbols, date(2025, 12, 7))
        self.client = SchwabStreamClient(nobody, StreamState(parsed, self.shelf.publish, clock=clock))
        publisher = cast("TradingEventPublisher", self.shelf)
        self.reporter = Reporter(self.client, publisher, wall=lambda: self.now, **more)

    def receive(self, service: str, *content: dict[str, Any]) -> None:
        """A batch that arrives now."""
        self.client.market.apply(Batch(service, int(self.now * 1000), list(content)), int(self.now * 1e6))

    async def report_once(self) -> StreamerReport:
        """Let the reporter run for one turn, and read what it published."""
        self.shelf.reported.clear()
        running = asyncio.create_task(self.reporter.run())
        async with asyncio.timeout(DEADLINE_S):
            await self.shelf.reported.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return self.shelf.reports[-1]


def test_there_is_a_report_from_the_start() -> None:
    """Before anything arrived the report names every alias, and knows nothing of their values."""
    report = Desk("/MNQ:XCME", "/MNQ", "AAPL", simulated=True).reporter.report()
    assert [(symbol.symbol, symbol.key, symbol.asset) for symbol in report.symbols] == [
        ("/MNQ:XCME", "/MNQ", "FUTURE"),
        ("/MNQ", "/MNQ", "FUTURE"),
        ("AAPL", "AAPL", "EQUITY"),
    ]
    assert {(symbol.updates, symbol.age_ms, symbol.rate, symbol.fresh) for symbol in report.symbols} == {
        (0, None, 0.0, False)
    }
    assert (report.state, report.started, report.reported, report.since) == ("connecting", START_MS, START_MS, START_MS)
    assert (report.pid, report.version, report.simulated) == (os.getpid(), __version__, True)
    assert (report.sessions, report.reconnects, report.gaps) == (0, 0, 0)
    assert (report.lag.exchange_to_here_ms, report.lag.here_to_redis_ms, report.login_at) == (None, None, None)
    assert not report.healthy


async def test_what_the_market_knows_is_reported() -> None:
    """Contract, status, tick size, description, source of the book and age come from the symbol's last values."""
    desk = Desk("/MNQ:XCME", "AAPL")
    desk.client.market.use_top_of_book(["/MNQ"])
    desk.receive(
        "LEVELONE_FUTURES",
        {"key": "/MNQ", "1": 5.0, "3": 6.0, "16": "Micro Nasdaq", "22": "Normal", "25": 0.5, "34": "/MNQZ25"},
    )
    desk.now += 1.5
    future, equity = (await desk.report_once()).symbols
    assert (future.contract, future.security_status, future.description) == ("/MNQZ25", "Normal", "Micro Nasdaq")
    assert (future.tick_size, future.book, future.updates, future.age_ms) == (0.5, "top_of_book", 1, 1500)
    assert future.fresh
    assert (equity.contract, equity.tick_size, equity.book, equity.fresh) == (None, 0.01, None, False)


@pytest.mark.parametrize("sent", [{}, {"25": None}, {"25": 0}, {"25": "wide"}])
async def test_the_tick_size_of_the_table_stands_in(sent: dict[str, Any]) -> None:
    """Until Schwab names a tick size worth the name, our table's is reported."""
    desk = Desk("/MNQ")
    desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.0, **sent})
    assert (await desk.report_once()).symbols[0].tick_size == 0.25


async def test_rates_are_smoothed_updates_a_second() -> None:
    """A rate moves towards the latest measure by 0.3 of the way, and a standing clock divides nothing by zero."""
    desk = Desk("/MNQ")
    assert (await desk.report_once()).symbols[0].rate == 0
    for _ in range(10):
        desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.0})
    desk.now += 2
    assert (await desk.report_once()).symbols[0].rate == 1.5
    desk.now += 2
    assert (await desk.report_once()).symbols[0].rate == 1.05


async def test_a_clock_set_back_makes_no_negative_age() -> None:
    """An age is never below zero, whatever became of the clock."""
    desk = Desk("/MNQ")
    desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.0})
    desk.now -= 60
    assert (await desk.report_once()).symbols[0].age_ms == 0


async def test_lag_is_of_the_newest_update() -> None:
    """The lag is measured on the update that came last, of those the present session confirmed, in milliseconds."""
    desk = Desk("/MNQ", "/MES", "/NQ")
    desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.0, "10": START_MS - 9000})
    desk.now += 1
    desk.receive("LEVELONE_FUTURES", {"key": "/MES", "3": 6.0, "10": START_MS + 1000 - 40})
    desk.shelf.round_trip_s = 0.0025
    report = await desk.report_once()
    assert report.lag.exchange_to_here_ms == pytest.approx(40)
    assert report.lag.here_to_redis_ms == 2.5
    desk.client.market.begin_session()
    assert (await desk.report_once()).lag.exchange_to_here_ms is None


async def test_totals_come_from_client_and_publisher() -> None:
    """Sessions, reconnects and gaps are the streamer's; published, queued and dropped the publisher's."""
    desk = Desk("/MNQ", login=Login(TokenSet("access", "refresh", START_S + 60.0, START_S - 0.5)))
    desk.client.counts.update({"connections": 3, "entered streaming": 2, "gap": 1})
    report = await desk.report_once()
    assert (report.sessions, report.reconnects, report.gaps) == (2, 2, 1)
    assert (report.published, report.queued, report.dropped) == (7, 2, 0)
    assert (report.token_expires_at, report.login_at) == (START_MS + 60_000, START_MS - 500)
    assert report.login_due_at == START_MS - 500 + 7 * 86_400_000
    assert "access" not in report.model_dump_json()


async def test_a_login_that_is_in_memory_only_is_reported() -> None:
    """While the token file cannot be written the report has the reason, beside the expiry of the tokens in use."""
    login = Login(TokenSet("access", "refresh", START_S + 60.0), TokenFileError("cannot write it: disk full"))
    desk = Desk("/MNQ", login=login)
    report = await desk.report_once()
    assert (report.token_expires_at, report.token_unsaved) == (START_MS + 60_000, "cannot write it: disk full")
    login.unsaved = None
    assert (await desk.report_once()).token_unsaved is None


async def test_names_that_redis_refuses_are_reported_while_it_does() -> None:
    """A streamer whose streams cannot be written reports it, and is not healthy until they can."""
    desk = Desk("/MNQ")
    desk.shelf.refusing["market_data:stream:ticks"] = None
    report = await desk.report_once()
    assert report.refusing == ("market_data:stream:ticks",)
    assert not report.healthy
    desk.shelf.refusing.clear()
    assert (await desk.report_once()).refusing == ()


async def test_no_count_hides_another() -> None:
    """The report has every count of client, market and publisher, also where two share a name."""
    desk = Desk("/MNQ")
    desk.client.counts["refused commands"] = 2
    desk.client.losses[SessionLost] = 3
    desk.receive("LEVELONE_FUTURES", {"key": "/ZZ"})
    desk.shelf.counts.update({"refused commands": 30, "outages": 4})
    counts = (await desk.report_once()).counts
    assert counts["refused commands"] == 2
    assert counts["lost: SessionLost"] == 3
    assert counts["unknown entries"] == 1
    assert (counts["redis refused commands"], counts["redis outages"]) == (30, 4)


async def test_a_loss_is_announced_once() -> None:
    """Each loss is announced on the status channel with its count, once, and only when Redis accepts events again."""
    desk = Desk("/MNQ")
    desk.shelf.dropped, desk.shelf.connected = 5, False
    await desk.report_once()
    assert desk.shelf.events == []
    desk.shelf.connected = True
    await desk.report_once()
    await desk.report_once()
    desk.shelf.dropped = 8
    await desk.report_once()
    announced = [parse_event(orjson.dumps(event)) for channel, event in desk.shelf.events if channel is Channel.STATUS]
    assert [(event.state, event.count) for event in announced if isinstance(event, StatusEvent)] == [
        ("dropped", 5),
        ("dropped", 3),
    ]
    assert (await desk.report_once()).dropped == 8


async def test_a_login_due_within_a_day_is_announced_once_per_login() -> None:
    """A status event reminds of the next login a day before it is due, once for each login, and not earlier."""
    login = TokenSet("access", "refresh", START_S + 60.0, START_S)
    desk = Desk("/MNQ", login=Login(login))
    desk.now = START_S + 6 * 86_400 - 1
    await desk.report_once()
    assert desk.shelf.events == []
    desk.now += 3_600
    await desk.report_once()
    await desk.report_once()
    ((channel, event),) = desk.shelf.events
    reminder = parse_event(orjson.dumps(event))
    assert isinstance(reminder, StatusEvent)
    assert (channel, reminder.state, reminder.detail) == (Channel.STATUS, "connecting", "login_due")
    assert reminder.reason == "a new login is due in 23 h 0 min: schwabstream auth login"


def test_the_report_is_what_its_model_would_write() -> None:
    """The report that is built without the model has every known field of the model, under the same name."""
    tokens = TokenSet("access", "refresh", START_S + 60.0, START_S)
    desk = Desk("/MNQ:XCME", "AAPL", login=Login(tokens, TokenFileError("cannot write the token file: disk full")))
    desk.client.market.use_top_of_book(["/MNQ"])
    entry = {
        "key": "/MNQ",
        "1": 5.0,
        "3": 6.0,
        "10": START_MS,
        "16": "Micro",
        "22": "Normal",
        "25": 0.5,
        "34": "/MNQZ25",
    }
    desk.receive("LEVELONE_FUTURES", entry | {"10": START_MS})
    desk.client.stream.refused["NASDAQ_BOOK", "AAPL"] = "NASDAQ_BOOK refused"
    desk.client.stream.stale["LEVELONE_EQUITIES", "AAPL"] = "silent"
    desk.shelf.round_trip_s = 0.002
    written = orjson.loads(desk.reporter._encoded())
    assert written == orjson.loads(parse_report(orjson.dumps(written)).model_dump_json(exclude_none=True))
    assert set(written) == set(StreamerReport.model_fields)
    assert {name for row in written["symbols"] for name in row} == set(SymbolReport.model_fields)
    assert written["symbols"][1]["problem"] == "NASDAQ_BOOK refused; silent"


def test_a_refused_screener_is_in_the_report() -> None:
    """Screeners and account activity are listed by service while they are streamed, else among the refused."""
    desk = Desk("AAPL")
    stream = desk.client.stream
    stream.also_subscribe(services_of(["NYSE_VOLUME_5", "NYSE_TRADES_5"], account_activity=True))
    assert desk.reporter.report().services == {}
    for service, keys in stream.services.items():
        stream.subscribed |= dict.fromkeys(keys, (str(service),))
    stream.refused["SCREENER_EQUITY", "NYSE_TRADES_5"] = "SCREENER_EQUITY refused: too many"
    report = desk.reporter.report()
    assert report.services == {"SCREENER_EQUITY": ("NYSE_VOLUME_5",), "ACCT_ACTIVITY": ("Account Activity",)}
    assert report.refused == {"NYSE_TRADES_5": "SCREENER_EQUITY refused: too many"}


async def test_a_changed_instrument_is_handed_over_once() -> None:
    """Each turn of the reporter queues the instruments that have changed since the one before."""
    desk = Desk("/MNQ:XCME", "AAPL")
    desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.0, "25": 0.5})
    await desk.report_once()
    (written,) = desk.shelf.instruments.load()
    assert written.count(b'"type":"instrument"') == 1
    assert b'"symbol":"/MNQ:XCME"' in written
    desk.shelf.instruments.written()
    desk.receive("LEVELONE_FUTURES", {"key": "/MNQ", "3": 6.25})
    await desk.report_once()
    assert desk.shelf.instruments.load() == []


async def test_many_changed_instruments_are_handed_over_in_parts() -> None:
    """One turn encodes only so many that no frame is delayed; the report at the end of a run takes all the rest."""
    names = [f"Z{number:04d}" for number in range(INSTRUMENTS_AT_ONCE + 2)]
    desk = Desk(*names)
    desk.receive("LEVELONE_EQUITIES", *({"key": name, "15": "a share"} for name in names))
    await desk.report_once()
    (written,) = desk.shelf.instruments.load()
    assert written.count(b'"type":"instrument"') == INSTRUMENTS_AT_ONCE
    desk.shelf.instruments.written()
    desk.reporter.report_now()
    (written,) = desk.shelf.instruments.load()
    assert written.count(b'"type":"instrument"') == 2


async def _reports(symbols: int, looks: int, change_at: int = 0) -> list[str]:
    """The states reported within that many looks, with a change of state before one of them."""
    waits: list[float] = []
    desk = Desk(*(f"Z{number:04d}" for number in range(symbols)))

    async def turn(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == change_at - 1:
            desk.client.announcer.enter(Status.WAITING, "because")
        if len(waits) == looks:
            raise asyncio.CancelledError

    desk.reporter = Reporter(desk.client, cast("TradingEventPublisher", desk.shelf), wall=lambda: desk.now, sleep=turn)
    with suppress(asyncio.CancelledError):
        await desk.reporter.run()
    assert {len(report.symbols) for report in desk.shelf.reports} == {symbols}
    return [report.state for report in desk.shelf.reports]


async def test_thousands_of_symbols_are_reported_less_often() -> None:
    """Each thousand symbols make reports rarer by a second, but a change of state is reported at the next look."""
    assert await _reports(999, 3) == ["connecting"] * 3
    assert await _reports(2000, 6, change_at=6) == ["connecting", "connecting", "waiting"]


async def test_no_number_of_symbols_lets_the_lease_of_a_quiet_stream_run_out() -> None:
    """A report comes every four seconds at the least, twice in the life of a lease."""
    assert await _reports(9000, 8) == ["connecting"] * 2
    assert 2 * RAREST_S * 1000 <= LIFE_MS
