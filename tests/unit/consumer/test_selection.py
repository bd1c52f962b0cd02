"""Which channels carry the symbols that a reader named, and which events it gets for them."""

from datetime import date

import pytest

from schwabstream.consumer.selection import (
    LOOK_EVERY_S,
    SETTLE_S,
    ReportLooks,
    Selection,
    aliases_for,
    channel_names,
)
from schwabstream.events import Channel
from schwabstream.protocol.symbols import Symbol, parse_symbols
from schwabstream.report import StreamerReport, SymbolReport

TODAY = date(2026, 11, 21)


def wanted(*texts: str) -> Selection:
    """The selection for these texts."""
    return Selection.of(parse_symbols(texts, TODAY))


@pytest.mark.parametrize(
    ("text", "alias", "key"),
    [
        ("/MNQ", "/MNQ:XCME", "/MNQ"),
        ("/mnq:xcme", "/MNQ", "/MNQ"),
        ("aapl", "AAPL", "AAPL"),
        ("BRK.B", "BRK/B", "BRK/B"),
        ("SPX", "$SPX", "$SPX"),
        ("/MNQZ6", "/MNQZ26:XCME", "/MNQZ26"),
    ],
)
def test_a_symbol_is_found_under_any_alias(text: str, alias: str, key: str) -> None:
    """Spellings of the same key are the same symbol; another key never is."""
    assert wanted(text).takes(alias, key)
    assert not wanted(text).takes("NVDA", "NVDA")


def test_the_name_as_written_comes_before_other_names() -> None:
    """With two aliases of one key streamed, the one asked for comes alone from its first live event on."""
    reader = wanted("/MNQ:XCME")
    assert reader.takes("/MNQ", "/MNQ", live=False)
    assert reader.takes("/MNQ:XCME", "/MNQ")
    assert [reader.takes(alias, "/MNQ") for alias in ("/MNQ", "/MNQ:XCME") * 50] == [False, True] * 50


def test_a_name_that_is_gone_gives_way_to_the_others() -> None:
    """When the name asked for is not streamed any more, the key's events come under the name that is."""
    reader = wanted("/MNQ:XCME")
    assert reader.takes("/MNQ:XCME", "/MNQ")
    taken = [reader.takes("/MNQ", "/MNQ") for _ in range(100)]
    assert taken == sorted(taken)
    assert taken.count(True) > 50


def test_an_old_last_value_decides_nothing() -> None:
    """The hash of last values may hold an alias of an earlier configuration: live events under another still come."""
    reader = wanted("/MNQ:XCME")
    assert reader.takes("/MNQ:XCME", "/MNQ", live=False)
    assert all(reader.takes("/MNQ", "/MNQ") for _ in range(10))


def test_nothing_named_means_everything_and_no_symbol_concerns_everybody() -> None:
    """An empty selection takes all; an event of no symbol is taken by any."""
    assert Selection().takes("X", "X")
    assert wanted("AAPL").takes(None, None)
    assert Selection(["A"]).takes("A", "K")
    assert not Selection(["A"]).takes("B", "A")
    assert Selection(keys=["/K"]).takes("/K:X", "/K")


def symbols(*texts: str) -> list[Symbol]:
    """The symbols as a reader parses them."""
    return parse_symbols(texts, TODAY)


def report(*rows: tuple[str, str], symbol_channels: bool = True) -> StreamerReport:
    """The report of a streamer that publishes these aliases and keys."""
    lines = tuple(SymbolReport(symbol=alias, key=key, asset="FUTURE") for alias, key in rows)
    return StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=1, host="box", version="1", symbols=lines,
        symbol_channels=symbol_channels,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "aliases"),
    [
        ("/mnq", ("/MNQ:XCME",)),
        ("/MNQ:XCME", ("/MNQ:XCME",)),
        ("AAPL,/MNQ", ("AAPL", "/MNQ:XCME")),
        ("/ES", ("/ES:XCME", "/ESZ26:X")),
        ("NVDA", ("NVDA",)),
    ],
)
def test_a_symbol_is_heard_under_the_alias_that_the_streamer_publishes(text: str, aliases: tuple[str, ...]) -> None:
    """The alias as written if the streamer has it, else every alias of the key; not yet streamed: as written."""
    rows = ("/MNQ:XCME", "/MNQ"), ("AAPL", "AAPL"), ("/ES:XCME", "/ES"), ("/ESZ26:X", "/ES")
    assert aliases_for(symbols(text), report(*rows)) == aliases


def test_without_symbols_or_symbol_channels_the_shared_channels_are_heard() -> None:
    """A reader of everything, a streamer without symbol channels, a replay, and no streamer: shared channels."""
    row = ("AAPL", "AAPL")
    assert aliases_for((), report(row)) is None
    assert aliases_for(symbols("AAPL"), report(row, symbol_channels=False)) is None
    assert aliases_for(symbols("AAPL"), report()) is None
    assert aliases_for(symbols("AAPL"), None) is None


def test_only_market_data_has_symbol_channels() -> None:
    """Ticks, books and bars are heard by symbol, statuses on their one channel."""
    assert channel_names("md", [Channel.TICKS, Channel.STATUS], ["A", "/B:X"]) == {
        b"md:ticks:A": Channel.TICKS,
        b"md:ticks:/B:X": Channel.TICKS,
        b"md:status": Channel.STATUS,
    }
    assert channel_names("md", [Channel.BARS], None) == {b"md:bars": Channel.BARS}


def test_the_report_is_looked_at_when_the_streamer_streams_and_rarely_otherwise() -> None:
    """At once after such a status, again when it has settled, and then once a minute."""
    looks = ReportLooks(0.0)
    assert not looks.due(SETTLE_S - 0.1)
    assert looks.due(SETTLE_S)
    looks.take_status(b'{"state":"stale"}', 10.0)
    assert not looks.due(10.0)
    looks.take_status(b'{"state":"streaming"}', 11.0)
    assert [looks.due(time) for time in (11.0, 11.0, 11.0 + SETTLE_S, 12.0 + SETTLE_S)] == [True, False, True, False]
    assert looks.due(11.0 + SETTLE_S + LOOK_EVERY_S)
