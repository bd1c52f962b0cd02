"""Parses symbols as users write them into the keys that Schwab expects.

Understands equities, indices, options, futures, futures options and forex in Schwab's forms, in tastytrade's and in
some common ones (``BRK.B``, ``SPY 251219C600``), in upper or lower case (protocol 6). Rejects a text that cannot be a
symbol and names the nearest symbol that exists, if any. Pure: one-digit years need a date, which is an argument.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

from schwabstream.errors import SymbolError
from schwabstream.protocol.futures import FUTURE_ROOTS, MICS, FutureRoot
from schwabstream.protocol.notation import Notation, decimals_of
from schwabstream.protocol.suggestions import listed_root, proposals

MAX_LENGTH: Final = 48
MONTH_CODES: Final = "FGHJKMNQUVXZ"

# dxFeed writes these without $. None of them is the ticker of a listed stock, so they can only mean the index.
DXFEED_INDICES: Final = frozenset({"DJX", "NDX", "OEX", "RUT", "SPX", "VIX", "XSP"})

_CURRENCIES: Final = "AUD|CAD|CHF|CNH|CZK|DKK|EUR|GBP|HKD|HUF|ILS|JPY|MXN|NOK|NZD|PLN|SEK|SGD|THB|TRY|USD|ZAR"


class Asset(StrEnum):
    """The kind of instrument, which decides the services that are subscribed."""

    EQUITY = "EQUITY"
    INDEX = "INDEX"
    OPTION = "OPTION"
    FUTURE = "FUTURE"
    FUTURE_OPTION = "FUTURE_OPTION"
    FOREX = "FOREX"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol: ``alias`` as the user wrote it, ``key`` as Schwab expects it."""

    alias: str
    key: str
    asset: Asset

    @property
    def root(self) -> str:
        """The product: ``/MNQ`` of ``/MNQZ26``, ``./OG`` of ``./OGG26C4240``; the key where there is none."""
        if self.asset is Asset.OPTION:
            return self.key[:6].rstrip()
        pattern = {Asset.FUTURE: _FUTURE, Asset.FUTURE_OPTION: _FUTURE_OPTION}.get(self.asset)
        # A listed root may itself look like a contract, so the table comes first.
        if pattern is None or self.key[1:] in FUTURE_ROOTS or not (match := pattern.fullmatch(self.key)):
            return self.key
        return f"{'./' if self.asset is Asset.FUTURE_OPTION else '/'}{match['root']}"


def parse_symbol(text: str, today: date) -> Symbol:
    """The symbol that ``text`` means on the day ``today``.

    Raises ``SymbolError`` with the text, the reason and the nearest symbol that exists.
    """
    if not isinstance(text, str):  # programs without a type checker pass anything
        raise SymbolError(f"a value of type {type(text).__name__} cannot be a symbol: write a string like {_EXAMPLES}")
    alias = text.strip()
    try:
        key, asset = _read(alias, today)
    except _UnreadableError as problem:
        nearest = _nearest(alias, problem.nearest, today)
        hint = f"did you mean {nearest}?" if nearest else f"write it like {_EXAMPLES}"
        raise SymbolError(f"{_shown(text)} cannot be a symbol: {problem}; {hint}") from None
    return Symbol(alias, key, asset)


def parse_symbols(texts: Iterable[str], today: date) -> list[Symbol]:
    """The symbols in the given order, each alias once; two aliases of one key are two symbols.

    Each text may contain several symbols, separated by commas or blanks. Raises ``SymbolError`` for the first invalid
    one.
    """
    words = [word for text in texts for word in (isinstance(text, str) and _WORD.findall(text)) or [text]]
    return list({symbol.alias: symbol for symbol in (parse_symbol(word, today) for word in words)}.values())


def future_hints(symbols: Iterable[Symbol]) -> list[str]:
    """A hint for each equity symbol that may be meant as a future."""
    meant = [(symbol.alias, future_meant(symbol)) for symbol in symbols]
    return [f"{alias} is read as a stock: for the future write {future}" for alias, future in meant if future]


def future_meant(symbol: Symbol) -> str | None:
    """The future of the same name, when an equity symbol may be a future's root without its slash."""
    return f"/{symbol.key}" if symbol.asset is Asset.EQUITY and symbol.key in FUTURE_ROOTS else None


def future_root(symbol: Symbol) -> FutureRoot | None:
    """The contract specification of a future's root; None for other symbols and for roots that are not in the table."""
    return FUTURE_ROOTS.get(symbol.root[1:]) if symbol.asset is Asset.FUTURE else None


@lru_cache(1024)  # asked for each price of a screen
def notation_of(symbol: Symbol, tick: float | None = None) -> Notation:
    """How prices of this symbol are written; ``tick`` is the size from Schwab, for futures that the table lacks."""
    if root := future_root(symbol):
        return root.notation
    if symbol.asset is Asset.FOREX:
        return Notation(3 if symbol.key.endswith("/JPY") else 5)
    return Notation(decimals_of(tick)) if tick and symbol.asset is Asset.FUTURE else Notation()


def tick_size(symbol: Symbol) -> float | None:
    """The smallest price step, in price units; None when it is unknown."""
    if root := future_root(symbol):
        return root.tick
    return 0.01 if symbol.asset in (Asset.EQUITY, Asset.OPTION) else None


class _UnreadableError(Exception):
    """Why a text is not a symbol, and the right form when the reason suggests one."""

    def __init__(self, reason: str, nearest: str | None = None) -> None:
        super().__init__(reason)
        self.nearest = nearest


_MIC_SUFFIX = r"(?::(?P<mic>[A-Z0-9]*))?"
_FUTURE = re.compile(rf"/(?P<root>[A-Z0-9]{{1,4}}?)(?P<month>[{MONTH_CODES}])(?P<year>\d{{1,2}}){_MIC_SUFFIX}")
_FUTURE_ROOT = re.compile(rf"/(?P<root>(?=\d*[A-Z])[A-Z0-9]{{1,4}}){_MIC_SUFFIX}")
_STRIKE = r"(?P<side>[CP])(?P<strike>\d{1,8}(?:\.\d{1,6})?)"
_FUTURE_OPTION = re.compile(
    rf"\./(?P<root>[A-Z0-9]{{1,5}}?)(?P<month>[{MONTH_CODES}])(?P<year>\d{{1,2}}){_STRIKE}{_MIC_SUFFIX}"
)
# tastytrade's order form spells out the underlying contract and the expiry: ./ESZ2 E4AU2 220826C3800
_FUTURE_OPTION_ORDER = re.compile(
    rf"\./[A-Z0-9]+ +(?P<root>[A-Z0-9]{{1,5}}?)(?P<month>[{MONTH_CODES}])(?P<year>\d{{1,2}})"
    rf" +(?P<day>\d{{6}}){_STRIKE}"
)
_OCC = re.compile(r"(?P<root>[A-Z][A-Z0-9]{0,5}) *(?P<day>\d{6})(?P<side>[CP])(?P<strike>\d{8})")
_DXFEED_OPTION = re.compile(rf"\.(?P<root>[A-Z][A-Z0-9]{{0,5}})(?P<day>\d{{6}}){_STRIKE}")
# Eight digits without a point are OCC's thousandths; six or seven digits are ambiguous.
_PLAIN_OPTION = re.compile(
    r"(?P<root>[A-Z][A-Z0-9]{0,5}) *(?P<day>\d{6})(?P<side>[CP])(?P<strike>(?:[1-9]\d{0,4}|0)(?:\.\d{1,3})?)"
)
_INDEX = re.compile(r"\$(?P<name>[A-Z][A-Z0-9]{0,9})(?:\.X)?")
_DXFEED_INDEX = re.compile(rf"(?P<name>{'|'.join(sorted(DXFEED_INDICES))})")
_PAIR = re.compile(rf"(?P<base>{_CURRENCIES})/(?!(?P=base))(?:{_CURRENCIES})")
_EQUITY_WITH_DIGITS = re.compile(r"[A-Z][A-Z0-9]{1,4}")
_EQUITY = re.compile(r"(?P<ticker>[A-Z]{1,5})(?:[/.-](?P<share>[A-Z]|PR[A-Z]?|WS|WT|RT|UN|CL))?")

# One of several symbols; the forms with blanks in them come first.
_WORD = re.compile(
    r"\./[^\s,]+\s+[^\s,]+\s+\d{6}[CP][\d.]+(?![^\s,])|[A-Z][A-Z0-9]{0,5}\s+\d{6}[CP][\d.]+(?![^\s,])|[^\s,]+",
    re.IGNORECASE,
)
_EXAMPLES: Final = "AAPL, BRK/B, $SPX, /MNQ:XCME, EUR/USD or .SPXW261218C5000"


def _read(alias: str, today: date) -> tuple[str, Asset]:
    """The key and asset of a trimmed text; raises ``_UnreadableError``."""
    if not alias:
        raise _UnreadableError("it is empty")
    if len(alias) > MAX_LENGTH:
        raise _UnreadableError(f"it is longer than {MAX_LENGTH} characters")
    if not (alias.isascii() and alias.isprintable()):
        raise _UnreadableError("it contains characters that no symbol has")
    upper = alias.upper()
    for pattern, asset, key_of in _FORMS:
        if match := pattern.fullmatch(upper):
            return key_of(match, today), asset
    raise _UnreadableError("no instrument is written like this")


def _future_root_key(match: re.Match[str], _today: date) -> str:
    root = match["root"]
    _check_future_mic(root, match["mic"])
    stem = root.rstrip("0123456789")
    if root not in FUTURE_ROOTS and stem in FUTURE_ROOTS:
        raise _UnreadableError("the contract month is missing", listed_root(stem))
    return f"/{root}"


def _future_key(match: re.Match[str], today: date) -> str:
    root, month, year = match["root"], match["month"], match["year"]
    if root not in FUTURE_ROOTS and root + month in FUTURE_ROOTS:
        raise _UnreadableError("the contract month is missing", listed_root(root + month))
    _check_future_mic(root, match["mic"])
    if len(year) == 1:
        year = _full_year(root, month, int(year), today)
    return f"/{root}{month}{year}"


def _full_year(root: str, month: str, digit: int, today: date) -> str:
    """Two digits for one: from last year to eight years ahead, never a month that is over (protocol 6)."""
    year = next(year for year in range(today.year - 1, today.year + 9) if year % 10 == digit)
    if (year, MONTH_CODES.index(month) + 1) < (today.year, today.month):
        raise _UnreadableError(f"that contract ended in {year}", listed_root(root) if root in FUTURE_ROOTS else None)
    return f"{year % 100:02d}"


def _future_option_key(match: re.Match[str], today: date) -> str:
    _check_mic(match["mic"])
    year = match["year"]
    if len(year) == 1:
        year = _full_year(match["root"], match["month"], int(year), today)
    return f"./{match['root']}{match['month']}{year}{match['side']}{_plain(match['strike'])}"


def _future_option_order_key(match: re.Match[str], _today: date) -> str:
    expiry = _expiry(match["day"])
    # The month code names the underlying's delivery, which may be in the year after the option's expiry.
    digit = int(match["year"][-1])
    year = next(year for year in range(expiry.year, expiry.year + 10) if year % 10 == digit)
    return f"./{match['root']}{match['month']}{year % 100:02d}{match['side']}{_plain(match['strike'])}"


def _option_key(match: re.Match[str], _today: date) -> str:
    _expiry(match["day"])
    strike = match["strike"]
    if match.re is not _OCC:
        whole, _, fraction = _plain(strike).partition(".")
        if len(whole) > 5 or len(fraction) > 3:
            raise _UnreadableError("a strike has at most five digits and three decimals")
        strike = f"{whole:0>5}{fraction:0<3}"
    if not int(strike):
        raise _UnreadableError("a strike is more than zero")
    # Schwab acknowledges a trimmed root and then sends nothing (trap T22).
    return f"{match['root']:<6}{match['day']}{match['side']}{strike}"


def _index_key(match: re.Match[str], _today: date) -> str:
    return f"${match['name']}"


def _digits_key(match: re.Match[str], today: date) -> str:
    """The key of an equity symbol with digits; a future without its slash is rejected."""
    future = _FUTURE.fullmatch(f"/{match[0]}")
    if future and future["root"] in FUTURE_ROOTS:
        raise _UnreadableError("a future begins with a slash", f"/{match[0]}")
    return _same_key(match, today)


def _equity_key(match: re.Match[str], _today: date) -> str:
    return f"{match['ticker']}/{match['share']}" if match["share"] else match["ticker"]


def _same_key(match: re.Match[str], _today: date) -> str:
    return match[0]


_FORMS: Final[tuple[tuple[re.Pattern[str], Asset, Callable[[re.Match[str], date], str]], ...]] = (
    (_FUTURE, Asset.FUTURE, _future_key),
    (_FUTURE_ROOT, Asset.FUTURE, _future_root_key),
    (_FUTURE_OPTION, Asset.FUTURE_OPTION, _future_option_key),
    (_FUTURE_OPTION_ORDER, Asset.FUTURE_OPTION, _future_option_order_key),
    (_OCC, Asset.OPTION, _option_key),
    (_DXFEED_OPTION, Asset.OPTION, _option_key),
    (_PLAIN_OPTION, Asset.OPTION, _option_key),
    (_INDEX, Asset.INDEX, _index_key),
    (_DXFEED_INDEX, Asset.INDEX, _index_key),
    (_PAIR, Asset.FOREX, _same_key),
    (_EQUITY, Asset.EQUITY, _equity_key),
    (_EQUITY_WITH_DIGITS, Asset.EQUITY, _digits_key),
)
"""The forms in the order in which they are tried; the first full match decides."""


def _check_future_mic(root: str, mic: str | None) -> None:
    """Reject a market at which a root of the table does not trade."""
    if root not in FUTURE_ROOTS:
        _check_mic(mic)
    elif mic not in (None, FUTURE_ROOTS[root].mic):
        raise _UnreadableError(f"{root} does not trade at {mic or 'an unnamed market'}", listed_root(root))


def _check_mic(mic: str | None) -> None:
    """Reject a text after the colon that is not the code of a market."""
    if mic is not None and mic not in MICS:
        raise _UnreadableError(f"{mic or 'nothing'} after the colon is not a futures market")


def _expiry(day: str) -> date:
    """The date of six digits yymmdd."""
    try:
        return date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        raise _UnreadableError(f"{day} is not an expiry date (yymmdd)") from None


def _plain(strike: str) -> str:
    """The strike without redundant zeros."""
    whole, _, fraction = strike.partition(".")
    fraction = fraction.rstrip("0")
    plain = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    if plain == "0":
        raise _UnreadableError("a strike is more than zero")
    return plain


def _shown(text: str) -> str:
    """The text, escaped and shortened for a message."""
    escaped = ascii(text[:MAX_LENGTH])[1:-1]
    return f"'{escaped[:40]}…'" if len(text) > MAX_LENGTH or len(escaped) > 40 else f"'{escaped}'"


def _nearest(alias: str, meant: str | None, today: date) -> str | None:
    """The existing symbol that is most like the text; ``meant`` is the one that the reason suggests."""
    for candidate in (*([meant] if meant else []), *proposals(alias[:MAX_LENGTH].upper())):
        try:
            key, asset = _read(candidate, today)
        except _UnreadableError:
            continue
        if _exists(Symbol(candidate, key, asset)):
            return candidate
    return None


def _exists(symbol: Symbol) -> bool:
    """Whether this instrument is certain to exist; no table lists the stocks."""
    if symbol.asset is Asset.INDEX:
        return symbol.key[1:] in DXFEED_INDICES
    return future_root(symbol) is not None or symbol.asset in (Asset.FOREX, Asset.FUTURE_OPTION)
