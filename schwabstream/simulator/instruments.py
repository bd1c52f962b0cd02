"""What the simulated market trades: a catalogue of instruments, and the rules that turn a key into one of them.

Futures roots name the active contract of the clock's date; a contract key is a separate instrument. Every valid
ticker and every pair of currencies exists, at a price that is the same in every run. An invalid key (an expired
contract, a MIC suffix, lower case, a word) gives None: the streamer acknowledges it and stays silent.
"""

import datetime as dt
import random
import re
from dataclasses import dataclass, replace

from schwabstream.protocol.futures import FUTURE_ROOTS

MONTH_CODES = "FGHJKMNQUVXZ"
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUARTERS = (3, 6, 9, 12)
MONTHLY = tuple(range(1, 13))
METAL_MONTHS = (2, 4, 6, 8, 10, 12)

_CONTRACT = re.compile(r"^(?P<root>/[A-Z0-9]{1,4}?)(?P<month>[FGHJKMNQUVXZ])(?P<year>\d\d)$")
_OPTION = re.compile(r"^(?P<root>[A-Z]{1,5} *)(?P<expiry>\d{6})(?P<kind>[CP])(?P<strike>\d{8})$")
_FUTURE_OPTION = re.compile(
    r"^\./(?P<root>[A-Z0-9]{1,4}?)(?P<month>[FGHJKMNQUVXZ])(?P<year>\d\d)"
    r"(?P<kind>[CP])(?P<strike>(?:[1-9]\d{0,6}|0(?=\.))(?:\.\d{1,4})?)$"
)
_WEEKLY = re.compile(r"^(?P<product>[EQ])(?P<week>[1-5])(?P<day>[A-E])$")
_TICKER = re.compile(r"^(?P<stem>[A-Z]{1,5})(/([A-Z]|PR[A-Z]?|WS|WT|RT|UN|CL))?$")
_PAIR = re.compile(r"^(?P<base>[A-Z]{3})/(?P<quote>[A-Z]{3})$")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: its starting price, a typical displayed size, a typical day's volume."""

    key: str
    asset: str
    description: str
    price: float
    tick: float = 0.01
    size: int = 200
    volume: int = 20_000_000
    exchange: str = "NASDAQ"
    exchange_id: str = "Q"
    sub_type: str = "COE"
    cusip: str = ""
    product: str = ""
    multiplier: float = 1.0
    months: tuple[int, ...] = ()
    expiry: dt.date | None = None
    contract: str = ""
    underlying_price: float = 0.0
    strike: float = 0.0
    kind: str = ""
    """Of an option: C or P."""
    is_weekly: bool = False

    @property
    def decimals(self) -> int:
        """Decimal places that the tick needs."""
        return len(f"{self.tick:.10f}".rstrip("0").partition(".")[2])


def _future(key: str, name: str, price: float, volume: int, months: tuple[int, ...]) -> Instrument:
    root = FUTURE_ROOTS[key[1:]]
    return Instrument(
        key, "FUTURE", name, price, root.tick, 8, volume, root.mic, "@", "", "", key, root.multiplier, months
    )


def _equity(
    key: str, name: str, price: float, volume: int, cusip: str, listing: str = "NASDAQ", sub: str = "COE"
) -> Instrument:
    ident = {"NASDAQ": "Q", "NYSE": "N", "NYSE Arca": "P"}[listing]
    return Instrument(key, "EQUITY", name, price, 0.01, 200, volume, listing, ident, sub, cusip)


_FUTURES = (
    _future("/ES", "E-mini S&P 500 Index Futures", 6880.25, 1_600_000, QUARTERS),
    _future("/MES", "Micro E-mini S&P 500 Index Futures", 6880.25, 1_200_000, QUARTERS),
    _future("/NQ", "E-mini Nasdaq-100 Index Futures", 25210.5, 600_000, QUARTERS),
    _future("/MNQ", "Micro E-mini Nasdaq-100 Index Futures", 25210.5, 1_800_000, QUARTERS),
    _future("/RTY", "E-mini Russell 2000 Index Futures", 2455.3, 200_000, QUARTERS),
    _future("/M2K", "Micro E-mini Russell 2000 Index Futures", 2455.3, 110_000, QUARTERS),
    _future("/YM", "E-mini Dow ($5) Futures", 47320, 160_000, QUARTERS),
    _future("/MYM", "Micro E-mini Dow ($0.50) Futures", 47320, 140_000, QUARTERS),
    _future("/6E", "Euro FX Futures", 1.1552, 220_000, QUARTERS),
    _future("/ZT", "2-Year U.S. Treasury Note Futures", 103.71875, 700_000, QUARTERS),
    _future("/ZF", "5-Year U.S. Treasury Note Futures", 108.8828125, 1_100_000, QUARTERS),
    _future("/ZN", "10-Year U.S. Treasury Note Futures", 113.015625, 1_500_000, QUARTERS),
    _future("/ZB", "U.S. Treasury Bond Futures", 117.375, 400_000, QUARTERS),
    _future("/CL", "Light Sweet Crude Oil Futures", 59.74, 350_000, MONTHLY),
    _future("/MCL", "Micro WTI Crude Oil Futures", 59.74, 120_000, MONTHLY),
    _future("/NG", "Henry Hub Natural Gas Futures", 4.58, 180_000, MONTHLY),
    _future("/GC", "Gold Futures", 4085.2, 220_000, METAL_MONTHS),
    _future("/MGC", "Micro Gold Futures", 4085.2, 160_000, METAL_MONTHS),
    _future("/SI", "Silver Futures", 50.46, 70_000, (3, 5, 7, 9, 12)),
)

_EQUITIES = (
    _equity("AAPL", "APPLE INC", 271.49, 46_000_000, "037833100"),
    _equity("MSFT", "MICROSOFT CORP", 472.12, 22_000_000, "594918104"),
    _equity("NVDA", "NVIDIA CORP", 178.88, 190_000_000, "67066G104"),
    _equity("AMD", "ADVANCED MICRO DEVICES", 203.78, 48_000_000, "007903107"),
    _equity("TSLA", "TESLA INC", 391.09, 90_000_000, "88160R101"),
    _equity("AMZN", "AMAZON.COM INC", 220.69, 41_000_000, "023135106"),
    _equity("META", "META PLATFORMS INC", 594.25, 14_000_000, "30303M102"),
    _equity("GOOGL", "ALPHABET INC CLASS A", 299.66, 36_000_000, "02079K305"),
    _equity("QQQ", "INVESCO QQQ TRUST", 590.07, 58_000_000, "46090E103", sub="ETF"),
    _equity("SPY", "SPDR S&P 500 ETF TRUST", 659.03, 80_000_000, "78462F103", "NYSE Arca", "ETF"),
    _equity("F", "FORD MOTOR CO", 12.86, 60_000_000, "345370860", "NYSE"),
    _equity("BAC", "BANK OF AMERICA CORP", 51.56, 38_000_000, "060505104", "NYSE"),
    _equity("JPM", "JPMORGAN CHASE & CO", 298.02, 9_000_000, "46625H100", "NYSE"),
    _equity("BRK/B", "BERKSHIRE HATHAWAY INC CLASS B", 504.04, 4_500_000, "084670702", "NYSE"),
)  # fmt: skip

_INDICES = (
    Instrument("$SPX", "INDEX", "S&P 500 INDEX", 6602.99, 0.01, 0, 0, "INDEX", "0", ""),
    Instrument("$COMPX", "INDEX", "NASDAQ COMPOSITE", 22273.08, 0.01, 0, 0, "INDEX", "0", ""),
    Instrument("$DJI", "INDEX", "DOW JONES INDUSTRIAL AVERAGE", 46245.41, 0.01, 0, 0, "INDEX", "0", ""),
)

_USD_VALUE = {
    "AUD": 0.6452, "CAD": 0.7093, "CHF": 1.2375, "CNH": 0.1407, "CZK": 0.04764, "DKK": 0.1541, "EUR": 1.15134,
    "GBP": 1.30974, "HKD": 0.12845, "HUF": 0.003007, "ILS": 0.3058, "JPY": 0.006394, "MXN": 0.05412, "NOK": 0.09763,
    "NZD": 0.5608, "PLN": 0.2716, "SEK": 0.1047, "SGD": 0.7649, "THB": 0.03083, "TRY": 0.02356, "USD": 1.0,
    "ZAR": 0.05754,
}  # fmt: skip
"""What one unit of each currency is worth in US dollars."""
_CURRENCY_NAMES = {"EUR": "Euro", "GBP": "GBPound", "USD": "USDollar"}
_INDEX_FUTURES = ("ES", "MES", "NQ", "MNQ", "RTY", "M2K")
_FUTURE_OF_OPTION = {
    **{root: f"/{root}" for root in _INDEX_FUTURES},
    "EUU": "/6E", "LN": "/NG", "LO": "/CL", "OG": "/GC", "OYM": "/YM", "OZN": "/ZN", "SO": "/SI",
}  # fmt: skip
"""Roots of options on futures, and their futures; the roots of weekly options follow a pattern."""
_OPTION_UNDERLYINGS = {"SPX": "$SPX", "SPXW": "$SPX"}
"""Option roots that differ from the ticker of the underlying."""

CATALOGUE: dict[str, Instrument] = {each.key: each for each in (*_FUTURES, *_EQUITIES, *_INDICES)}


def third_friday(year: int, month: int) -> dt.date:
    """The third Friday of a month: the last trading day of an index future."""
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14)


def _contract_end(root: Instrument, year: int, month: int) -> dt.date:
    if root.months == QUARTERS:
        return third_friday(year, month)
    if root.exchange == "XCEC":
        return _weekdays_before(dt.date(year + month // 12, month % 12 + 1, 1), 3)
    # Energy stops around the 20th of the month before; the exact exchange calendar is not simulated.
    return dt.date(year, month, 1) - dt.timedelta(days=11)


def _weekdays_before(day: dt.date, number: int) -> dt.date:
    """The day that is ``number`` weekdays, one to five, before another."""
    before = (day - dt.timedelta(days=days) for days in range(1, 8))
    return [each for each in before if each.weekday() < 5][number - 1]


def contract_key(root: str, year: int, month: int) -> str:
    """``/MNQ``, 2026, 12 → ``/MNQZ26``."""
    return f"{root}{MONTH_CODES[month - 1]}{year % 100:02d}"


def active_contract(root: Instrument, today: dt.date) -> Instrument:
    """The contract that a root refers to today.

    Index futures roll on the Thursday eight days before expiry, metals before the month of their delivery.
    """
    roll_days = 8 if root.months == QUARTERS else 28 if root.exchange == "XCEC" else 2
    year, month = today.year, 1
    while True:
        if month in root.months:
            end = _contract_end(root, year, month)
            if today < end - dt.timedelta(days=roll_days):
                return _as_contract(root, year, month, end)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _as_contract(root: Instrument, year: int, month: int, end: dt.date) -> Instrument:
    name = f"{root.description},{MONTH_NAMES[month - 1]}-{year},ETH"
    return replace(root, description=name, expiry=end, contract=contract_key(root.product, year, month))


def _contract(key: str, today: dt.date) -> Instrument | None:
    found = _CONTRACT.match(key)
    root = CATALOGUE.get(found["root"]) if found else None
    if not found or root is None:
        return None
    year, month = 2000 + int(found["year"]), MONTH_CODES.index(found["month"]) + 1
    if month not in root.months or (end := _contract_end(root, year, month)) < today:
        return None
    return replace(_as_contract(root, year, month, end), key=key)


def _option(key: str, today: dt.date) -> Instrument | None:
    """An option on a share or an index, keyed with the root padded to six (trap T22)."""
    found = _OPTION.match(key) if len(key) == 21 else None
    root = found["root"].strip() if found else ""
    underlying = _catalogued(_OPTION_UNDERLYINGS.get(root, root))
    if not found or underlying is None:
        return None
    try:
        expiry = dt.datetime.strptime(found["expiry"], "%y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None
    if expiry < today:
        return None
    strike = int(found["strike"]) / 1000
    price = _premium(found["kind"], strike, underlying.price, 0.05)
    kind = "Call" if found["kind"] == "C" else "Put"
    name = f"{underlying.description} {expiry:%m/%d/%Y} ${strike:g} {kind}"
    return Instrument(
        key, "OPTION", name, price, 0.05, 20, 4000, "OPR", "o", "", "", underlying.key, 100,
        expiry=expiry, underlying_price=underlying.price, strike=strike, kind=found["kind"],
    )  # fmt: skip


def _premium(kind: str, strike: float, underlying: float, tick: float) -> float:
    """A plausible price of an option, in whole ticks."""
    intrinsic = max(0.0, underlying - strike if kind == "C" else strike - underlying)
    time_value = 0.02 * underlying / (1 + 8 * abs(strike / underlying - 1))
    return round(max(1, round((intrinsic + time_value) / tick)) * tick, 8)


def _future_option(key: str, today: dt.date) -> Instrument | None:
    """An option on a future of the catalogue, monthly or weekly."""
    found = _FUTURE_OPTION.match(key)
    if not found:
        return None
    year, month = 2000 + int(found["year"]), MONTH_CODES.index(found["month"]) + 1
    weekly = _WEEKLY.match(found["root"])
    future = {"E": "/ES", "Q": "/NQ"}[weekly["product"]] if weekly else _FUTURE_OF_OPTION.get(found["root"], "")
    root = CATALOGUE.get(future)
    if root is None:
        return None
    expiry = _weekly_expiry(weekly, year, month) if weekly else _option_expiry(root, year, month)
    if expiry is None or expiry < today:
        return None
    delivery = next((each for each in root.months if each >= month), root.months[0] + 12)
    contract = contract_key(root.key, year + (delivery - 1) // 12, (delivery - 1) % 12 + 1)
    tick = 0.05 if root.key[1:] in _INDEX_FUTURES else root.tick
    strike = float(found["strike"])
    name = root.description.removesuffix(" Futures").removesuffix(" Index") + " Options"
    price = _premium(found["kind"], strike, root.price, tick)
    return Instrument(
        key, "FUTURE_OPTION", name, price, tick, 20, 4000, root.exchange, "@", "", "", root.key, root.multiplier,
        expiry=expiry, contract=contract, underlying_price=root.price, strike=strike, kind=found["kind"],
        is_weekly=weekly is not None,
    )  # fmt: skip


def _weekly_expiry(weekly: re.Match[str], year: int, month: int) -> dt.date | None:
    """The day of a weekly option's root: ``E3D`` is the third Thursday; None for a fifth that the month lacks."""
    first = dt.date(year, month, 1)
    weekday = "ABCDE".index(weekly["day"])
    day = first + dt.timedelta(days=(weekday - first.weekday()) % 7 + 7 * (int(weekly["week"]) - 1))
    return day if day.month == month else None


def _option_expiry(root: Instrument, year: int, month: int) -> dt.date:
    """The last day of a monthly option; except for index options close to the exchange's calendar, not exact."""
    if root.months == QUARTERS:
        return third_friday(year, month)
    if root.exchange == "XCEC":
        return _weekdays_before(dt.date(year, month, 1), 4)
    return _weekdays_before(_contract_end(root, year, month), 3)


def _catalogued(key: str) -> Instrument | None:
    """The catalogue's instrument of a key, otherwise the share of that ticker."""
    return CATALOGUE.get(key) or _share(key)


def _share(key: str) -> Instrument | None:
    """A share outside the catalogue; short tickers are listed in New York, as most of them are."""
    found = _TICKER.match(key)
    if not found:
        return None
    price = round(6 * 60 ** random.Random(key).random(), 2)
    listing = "NYSE" if len(found["stem"]) <= 3 else "NASDAQ"
    return _equity(key, f"{key} COMMON STOCK", price, 3_000_000, "000000000", listing)


def _pair(key: str) -> Instrument | None:
    """Two currencies at their cross rate."""
    found = _PAIR.match(key)
    if not found or found["base"] == found["quote"] or not {found["base"], found["quote"]} <= _USD_VALUE.keys():
        return None
    tick, decimals = (0.001, 3) if found["quote"] == "JPY" else (0.00001, 5)
    price = round(_USD_VALUE[found["base"]] / _USD_VALUE[found["quote"]], decimals)
    name = "/".join(_CURRENCY_NAMES.get(each, each) for each in key.split("/"))
    return Instrument(key, "FOREX", f"{name} Spot", price, tick, 2_000_000, 30_000_000, "GFT", "!", "")


def find_instrument(key: str, today: dt.date) -> Instrument | None:
    """The instrument that a key names on that day, or None."""
    found = CATALOGUE.get(key)
    if found is not None and found.asset == "FUTURE":
        return replace(active_contract(found, today), key=key)
    return found or _outside_the_catalogue(key, today)


def _outside_the_catalogue(key: str, today: dt.date) -> Instrument | None:
    """The instrument that a key names by its form."""
    if key.startswith("./"):
        return _future_option(key, today)
    return _contract(key, today) or _option(key, today) or _pair(key) or _share(key)
