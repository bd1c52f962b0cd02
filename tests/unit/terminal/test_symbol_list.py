"""The list of a streamer's symbols, as a table and as JSON lines."""

from rich.console import Console

from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.symbol_list import listed, render_symbols

KNOWN = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}


def report(**changes: object) -> StreamerReport:
    """A streamer with a configured symbol, an added one, a wanted one that is new, and a refusal."""
    lines = [
        SymbolReport(
            symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", age_ms=400, fresh=True, services=("LEVELONE_FUTURES",)
        ),
        SymbolReport(
            symbol="NVDA",
            key="NVDA",
            asset="EQUITY",
            age_ms=12_000,
            fresh=True,
            source="added",
            services=("LEVELONE_EQUITIES", "NASDAQ_BOOK"),
            problem="NASDAQ_BOOK is silent\x1b",
        ),
        SymbolReport(symbol="aapl", key="AAPL", asset="EQUITY", source="wanted"),
    ]
    return StreamerReport.model_validate({**KNOWN, "symbols": lines, "refused": {"X\x1b": "the limit"}, **changes})


def test_the_table_shows_source_services_age_and_trouble() -> None:
    """Each symbol is a row; a refused one follows with its reason; nothing in it draws."""
    console = Console(width=120, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(render_symbols(report()))
    rows = [" ".join(row.split()) for row in capture.get().splitlines()]
    assert rows == [
        "Symbol Source Age Services Trouble",
        "/MNQ:XCME configured 0.4s level 1",
        r"NVDA added 12s level 1, book NASDAQ_BOOK is silent\u001b",
        "aapl wanted – no data yet",
        r"X\u001b refused – the limit",
    ]


def test_a_long_reason_is_cut_rather_than_left_out() -> None:
    """A narrow terminal still shows the services and the trouble of each symbol."""
    console = Console(width=80, force_terminal=False, no_color=True)
    refusal = "'NVDA ' cannot be a symbol: it begins or ends with a blank; write it like AAPL, BRK/B or $SPX"
    with console.capture() as capture:
        console.print(render_symbols(report(refused={"NVDA ": refusal})))
    rows = capture.get().splitlines()
    assert "'NVDA ' cannot be a symbol" in rows[-1]
    assert "no data yet" in rows[-2]
    assert "level 1, book" in rows[-3]


def test_a_symbol_that_schwab_refused_is_listed_once() -> None:
    """Its request is still there, so the report has it among the wanted symbols and among the refused ones."""
    refusal = "LEVELONE_EQUITIES refused: Symbol limit reached"
    line = SymbolReport(symbol="AMD", key="AMD", asset="EQUITY", source="added", problem=refusal)
    found = [
        (each.symbol, each.source, each.trouble) for each in listed(report(symbols=[line], refused={"AMD": refusal}))
    ]
    assert found == [("AMD", "added", refusal)]


def test_a_disconnected_streamer_is_the_trouble_of_each_symbol() -> None:
    """While the session is lost no symbol is current."""
    sources = {each.symbol: each.trouble for each in listed(report(state="waiting", refused={}))}
    assert sources == {"/MNQ:XCME": "disconnected", "NVDA": "NASDAQ_BOOK is silent\x1b", "aapl": "disconnected"}
