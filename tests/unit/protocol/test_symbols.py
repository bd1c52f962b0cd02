"""The symbols that a user may write, and the keys that Schwab is asked for."""

import re
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schwabstream.errors import SymbolError
from schwabstream.protocol.symbols import (
    MAX_LENGTH,
    MONTH_CODES,
    Asset,
    Symbol,
    future_meant,
    future_root,
    notation_of,
    parse_symbol,
    parse_symbols,
    tick_size,
)

TODAY = date(2026, 11, 21)


def parse(text: str, today: date = TODAY) -> Symbol:
    """Parse as of a fixed day."""
    return parse_symbol(text, today)


@pytest.mark.parametrize(
    ("text", "key", "asset"),
    [
        ("/ES", "/ES", Asset.FUTURE),
        ("/MNQ:XCME", "/MNQ", Asset.FUTURE),
        ("/mnq:xcme", "/MNQ", Asset.FUTURE),
        ("/ESZ25", "/ESZ25", Asset.FUTURE),
        ("/ESZ25:XCME", "/ESZ25", Asset.FUTURE),
        ("/MNQZ6", "/MNQZ26", Asset.FUTURE),
        ("/MNQH7:XCME", "/MNQH27", Asset.FUTURE),
        ("/SR3", "/SR3", Asset.FUTURE),
        ("/SR3Z6", "/SR3Z26", Asset.FUTURE),
        ("/M2K", "/M2K", Asset.FUTURE),
        ("/10YZ6:XCBT", "/10YZ26", Asset.FUTURE),
        ("/6E:XCME", "/6E", Asset.FUTURE),
        ("/FOO", "/FOO", Asset.FUTURE),
        ("/FOOZ26:IFUS", "/FOOZ26", Asset.FUTURE),
        ("AAPL", "AAPL", Asset.EQUITY),
        (" aapl ", "AAPL", Asset.EQUITY),
        ("brk/b", "BRK/B", Asset.EQUITY),
        ("BAC/PRL", "BAC/PRL", Asset.EQUITY),
        ("$SPX", "$SPX", Asset.INDEX),
        ("$SPX.X", "$SPX", Asset.INDEX),
        ("SPX", "$SPX", Asset.INDEX),
        ("$compx", "$COMPX", Asset.INDEX),
        ("AAPL  251219C00200000", "AAPL  251219C00200000", Asset.OPTION),
        ("AAPL251219C00200000", "AAPL  251219C00200000", Asset.OPTION),
        ("AAPL 251219c00200000", "AAPL  251219C00200000", Asset.OPTION),
        ("AAPL1 251219P00200500", "AAPL1 251219P00200500", Asset.OPTION),
        (".SPXW251219C5000", "SPXW  251219C05000000", Asset.OPTION),
        (".AAPL251219P197.5", "AAPL  251219P00197500", Asset.OPTION),
        (".AAPL251219P0.50", "AAPL  251219P00000500", Asset.OPTION),
        ("./OGG26C4240", "./OGG26C4240", Asset.FUTURE_OPTION),
        ("./OZCZ23C565", "./OZCZ23C565", Asset.FUTURE_OPTION),
        ("./E4AU22C3800:XCME", "./E4AU22C3800", Asset.FUTURE_OPTION),
        ("./EW4Z6P6650.50", "./EW4Z26P6650.5", Asset.FUTURE_OPTION),
        ("./ESZ2 E4AU2 220826C3800", "./E4AU22C3800", Asset.FUTURE_OPTION),
        ("./CLF6 LOF6 251216P55.5", "./LOF26P55.5", Asset.FUTURE_OPTION),
        ("EUR/USD", "EUR/USD", Asset.FOREX),
        ("usd/jpy", "USD/JPY", Asset.FOREX),
        ("BRK.B", "BRK/B", Asset.EQUITY),
        ("brk-b", "BRK/B", Asset.EQUITY),
        ("BAC.PRL", "BAC/PRL", Asset.EQUITY),
        ("SPY 251219C600", "SPY   251219C00600000", Asset.OPTION),
        ("spy 251219p597.5", "SPY   251219P00597500", Asset.OPTION),
        ("SPXW261218C5000", "SPXW  261218C05000000", Asset.OPTION),
        ("F 261218C0.5", "F     261218C00000500", Asset.OPTION),
    ],
)
def test_forms_people_write(text: str, key: str, asset: Asset) -> None:
    """Each form gives Schwab's key, and the alias stays as it was written."""
    symbol = parse(text)
    assert (symbol.key, symbol.asset, symbol.alias) == (key, asset, text.strip())


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("", None),
        ("   ", None),
        ("MNQ:XCME", "/MNQ:XCME"),
        ("mnq:xcme", "/MNQ:XCME"),
        ("/MNQ:XCMEE", "/MNQ:XCME"),
        ("/MNQ:", "/MNQ:XCME"),
        ("/MNQ:XCBT", "/MNQ:XCME"),
        ("/GCZ26:XCME", "/GC:XCEC"),
        ("//MNQ", "/MNQ:XCME"),
        ("/MNQ26", "/MNQ:XCME"),
        ("/ES5", "/ES:XCME"),
        ("/ZN6", "/ZN:XCBT"),
        ("/MNQZ5", "/MNQ:XCME"),
        ("/FOOH6", None),
        ("/MNQX:XCME:", "/MNQ:XCME"),
        ("MNQZ26", "/MNQZ26"),
        ("/ESZ2026", "/ESZ26"),
        ("ESZ2026", "/ESZ26"),
        ("/ES_F", "/ES:XCME"),
        ("ES=F", "/ES:XCME"),
        ("ES1!", "/ES:XCME"),
        ("6E", "/6E:XCME"),
        ("BTC/USD", "/BTC:XCME"),
        ("BTC/USD:CXTALP", "/BTC:XCME"),
        ("BTCUSD", None),
        ("EURUSD", "EUR/USD"),
        ("EUR/EUR", "EUR/USD"),
        ("^SPX", "$SPX"),
        ("BRK B", None),
        ("AAPL&Q", None),
        ("AAPL!", None),
        ("MICROSOFT", None),
        ("foo bar baz", None),
        ("AAPL  251319C00200000", None),
        ("AAPL  251219C0020000", None),
        ("SPY 251219C600000", None),
        (".AAPL251219P197.1234", None),
        ("AAPL  251219C00000000", None),
        (".AAPL251219C0", None),
        (".AAPL251219C123456", None),
        ("./OGG26C4240:NASD", "./OGG26C4240"),
        ("./EW4Z5P6650", None),
        ("/ES\x1b[31m", "/ES:XCME"),
        ("ſpx", "$SPX"),
        ("/" * 100, None),
    ],
)
def test_nonsense_is_refused_with_the_nearest_symbol_that_exists(text: str, nearest: str | None) -> None:
    """A refusal names the text and the reason, and proposes a symbol only if there is such an instrument."""
    with pytest.raises(SymbolError) as caught:
        parse(text)
    assert proposal(str(caught.value)) == nearest
    assert nearest or "write it like AAPL, BRK/B, $SPX, /MNQ:XCME" in str(caught.value)


def proposal(message: str) -> str | None:
    """The symbol a refusal proposes."""
    found = re.search(r"did you mean (.+)\?$", message)
    return found and found[1]


def test_a_refusal_shows_the_text_escaped_and_short() -> None:
    """No control character and no page of text reaches the terminal through a refusal."""
    with pytest.raises(SymbolError) as caught:
        parse("\x1b]0;owned\x07" + "é" * 500)
    message = str(caught.value)
    assert message.isascii() or "…" in message
    assert message.isprintable()
    assert len(message) < 200
    assert "\\x1b]0;owned\\x07" in message


@pytest.mark.parametrize(
    ("text", "today", "key"),
    [
        ("/ESZ6", date(2026, 12, 31), "/ESZ26"),
        ("/ESH6", date(2026, 3, 31), "/ESH26"),
        ("/ESF7", date(2026, 12, 31), "/ESF27"),
        ("/ESZ9", date(2029, 12, 1), "/ESZ29"),
        ("/ESH0", date(2029, 12, 1), "/ESH30"),
        ("/ESZ4", date(2026, 11, 21), "/ESZ34"),
        ("/ESZ5", date(2025, 12, 31), "/ESZ25"),
    ],
)
def test_one_digit_years_mean_the_nearest_year_not_over(text: str, today: date, key: str) -> None:
    """A one-digit year is the next year with that digit whose contract month is not over."""
    assert parse(text, today).key == key


def test_a_one_digit_year_of_a_month_just_over_is_refused() -> None:
    """Last month's contract is named as ended rather than taken for one ten years away."""
    with pytest.raises(SymbolError, match=r"ended in 2026.*did you mean /ES:XCME"):
        parse("/ESU6", date(2026, 11, 1))


def test_aliases_are_kept_and_doubles_dropped() -> None:
    """Two aliases of one key both stay; the same alias twice is once; the order is the user's."""
    symbols = parse_symbols(["/MES:XCME", "/MES", "AAPL", "/MES:XCME"], TODAY)
    assert [(s.alias, s.key) for s in symbols] == [("/MES:XCME", "/MES"), ("/MES", "/MES"), ("AAPL", "AAPL")]


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("/MNQZ26", "/MNQ"),
        ("/MNQ", "/MNQ"),
        ("/SR3", "/SR3"),
        ("/FOO", "/FOO"),
        ("./OGG26C4240", "./OG"),
        (".SPXW251219C5000", "SPXW"),
        ("AAPL", "AAPL"),
        ("$SPX", "$SPX"),
        ("EUR/USD", "EUR/USD"),
    ],
)
def test_root(text: str, root: str) -> None:
    """The root is the product a symbol belongs to."""
    assert parse(text).root == root


@pytest.mark.parametrize(
    ("text", "tastytrade"),
    [
        ("/MNQZ6", "/MNQZ26:XCME"),
        ("/MES", "/MES:XCME"),
        ("./OGG26C4240", "./OGG26C4240:XCEC"),
        ("SPXW  251219C05000000", ".SPXW251219C5000"),
        ("AAPL  251219P00197500", ".AAPL251219P197.5"),
        ("$SPX", "SPX"),
        ("$TICK", "$TICK"),
        ("BRK/B", "BRK/B"),
        ("EUR/USD", "EUR/USD"),
    ],
)
def test_tastytrade_form_is_the_same_key(text: str, tastytrade: str) -> None:
    """A key in tastytrade's streamer form is read as the same key."""
    assert parse(tastytrade).key == parse(text).key


@pytest.mark.parametrize(
    ("text", "decimals", "tick"),
    [
        ("/MNQZ26", 2, 0.25),
        ("/ZN", 6, 1 / 64),
        ("/6J", 7, 0.0000005),
        ("/FOO", 2, None),
        ("AAPL", 2, 0.01),
        ("$SPX", 2, None),
        ("EUR/USD", 5, None),
        ("USD/JPY", 3, None),
        (".SPXW251219C5000", 2, 0.01),
        ("./OGG26C4240", 2, None),
    ],
)
def test_decimals_and_tick(text: str, decimals: int, tick: float | None) -> None:
    """Prices print with the instrument's own decimals; an unknown tick is None, not a guess."""
    assert (notation_of(parse(text)).decimals, tick_size(parse(text))) == (decimals, tick)


@pytest.mark.parametrize(
    ("text", "tick", "decimals"),
    [("/FOO", 0.005, 3), ("/FOO", 5.0, 0), ("/FOO", 1e-9, 0), ("/ES", 0.1, 2), ("AAPL", 0.0001, 2)],
)
def test_a_future_outside_the_table_has_the_decimals_of_schwabs_tick(text: str, tick: float, decimals: int) -> None:
    """The tick size from Schwab decides where no contract specification does."""
    assert notation_of(parse(text), tick).decimals == decimals


def test_future_root_is_for_futures_only() -> None:
    """An equity that is spelt like a future's root has no contract specification."""
    root = future_root(parse("/ES"))
    assert root is not None
    assert root.multiplier == 50
    assert future_root(parse("ES")) is None


symbolish = st.text(alphabet="/.$: ACESMNQZXUSD0123456789-\x1bé", max_size=MAX_LENGTH + 4)
contracts = st.builds(
    "/{}{}{}{}".format,
    st.sampled_from(["ES", "MNQ", "SR3", "FOO", "Q"]),
    st.sampled_from(MONTH_CODES),
    st.integers(0, 99).map(str) | st.integers(0, 99).map("{:02d}".format),
    st.sampled_from(["", ":XCME"]),
)
days = st.dates(date(2001, 1, 1), date(2080, 12, 31))


@given(text=st.text() | symbolish | contracts, today=days)
@example(text="/ESZ6", today=date(2027, 1, 1))
@example(text="ß", today=TODAY)
def test_any_text_is_a_symbol_or_a_refusal(text: str, today: date) -> None:
    """Any text gives a symbol whose key means itself, or a refusal whose proposal can be read and exists."""
    try:
        symbol = parse_symbol(text, today)
    except SymbolError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.isprintable()
        if (proposed := proposal(refusal)) is not None:
            meant = parse_symbol(proposed, today)
            assert future_root(meant) or meant.asset in (Asset.INDEX, Asset.FOREX, Asset.FUTURE_OPTION)
        return
    again = parse_symbol(symbol.key, today)
    assert (again.key, again.asset) == (symbol.key, symbol.asset)
    assert parse_symbol(text.lower(), today).key == symbol.key
    assert ":" not in symbol.key
    assert symbol.root
    assert notation_of(symbol).decimals >= 0


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["AAPL,NVDA"], ["AAPL", "NVDA"]),
        (["AAPL NVDA", "/mnq"], ["AAPL", "NVDA", "/MNQ"]),
        ([" AAPL ,, NVDA,"], ["AAPL", "NVDA"]),
        (["SPY 251219C600 AAPL"], ["SPY   251219C00600000", "AAPL"]),
        (["aapl  251219c00200000,spy 251219C600"], ["AAPL  251219C00200000", "SPY   251219C00600000"]),
        (["./ESZ2 E4AU2 220826C3800 /ES"], ["./E4AU22C3800", "/ES"]),
        (["AAPL\tNVDA\nF"], ["AAPL", "NVDA", "F"]),
    ],
)
def test_commas_or_blanks_stand_between_symbols(texts: list[str], keys: list[str]) -> None:
    """One text may hold several symbols; the blanks inside an option's symbol separate nothing."""
    assert [symbol.key for symbol in parse_symbols(texts, TODAY)] == keys


@pytest.mark.parametrize("text", ["", "  ", ",", " , "])
def test_a_text_without_a_symbol_is_refused(text: str) -> None:
    """A text of nothing but blanks and commas is an error, and not "all"."""
    with pytest.raises(SymbolError):
        parse_symbols([text], TODAY)


@pytest.mark.parametrize(
    ("text", "future"),
    [("mnq", "/MNQ"), ("MNQ", "/MNQ"), ("ES", "/ES"), ("M2K", "/M2K"), ("AAPL", None), ("/ES", None), ("$SPX", None)],
)
def test_a_stock_named_like_a_future_gets_a_hint(text: str, future: str | None) -> None:
    """A bare futures root is read as a stock, which it may be, and the future is named beside it."""
    assert future_meant(parse(text)) == future


def test_digits_in_an_equity_are_its_own_but_a_future_needs_its_slash() -> None:
    """An equity may hold digits; a known future's contract without its slash is refused with the right form."""
    assert parse_symbol("Z0042", date(2026, 11, 21)).asset is Asset.EQUITY
    with pytest.raises(SymbolError, match="did you mean /MNQZ6"):
        parse_symbol("MNQZ6", date(2026, 11, 21))
