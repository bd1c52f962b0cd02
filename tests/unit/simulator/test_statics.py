"""The fields that no trade moves, held to what Schwab was recorded to send for each asset."""

import datetime as dt
import re
from typing import Any

import pytest

from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.simulator.feed import numbered
from schwabstream.simulator.statics import EASTERN
from tests.support.simulated_market import quote_of


def snapshot(service: Service, key: str) -> dict[str, Any]:
    """Every field of a key's first entry, by number."""
    return numbered(service, quote_of(key).values, frozenset(str(field.number) for field in FIELDS[service]))


def midnight_eastern(*day: int) -> int:
    """Milliseconds since the epoch at the start of a day in New York."""
    return int(dt.datetime(*day, tzinfo=EASTERN).timestamp()) * 1000  # type: ignore[misc,arg-type]


def test_a_full_futures_snapshot_is_like_the_recorded_one() -> None:
    """All of 1 to 40, with the constants that the recorded snapshots of /ES and /CL have in common (protocol 4.2)."""
    entry = snapshot(Service.LEVELONE_FUTURES, "/MNQ")
    assert set(map(int, entry)) == set(range(1, 41))
    assert (entry["27"], entry["34"], entry["25"], entry["26"], entry["31"]) == ("/MNQ", "/MNQZ26", 0.25, 0.5, 2)
    assert (entry["6"], entry["7"], entry["15"], entry["17"]) == ("?", "?", "@", "?")
    assert (entry["30"], entry["32"], entry["36"], entry["39"]) == (False, True, "Unknown", True)
    assert entry["35"] == midnight_eastern(2026, 12, 18)
    assert entry["40"] % 86_400_000 == 0


def test_a_full_equity_snapshot_is_like_the_recorded_one() -> None:
    """All of 1 to 56, with regular-session, mark and post-market changes that agree with the prices (protocol 4.1)."""
    entry = snapshot(Service.LEVELONE_EQUITIES, "AAPL")
    assert set(map(int, entry)) == set(range(1, 57))
    assert [entry[number] for number in ("52", "54", "55", "56")] == [entry[number] for number in ("9", "8", "4", "5")]
    assert (entry["29"], entry["31"], entry["43"]) == (entry["3"], entry["18"], entry["42"])
    assert entry["44"] == pytest.approx(entry["33"] - entry["12"])
    assert entry["45"] == pytest.approx(100 * entry["44"] / entry["12"], abs=1e-6)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00\.0", entry["26"])


def test_a_full_option_snapshot_is_like_the_recorded_one() -> None:
    """All of 1 to 55 in the recorded forms, with greeks of the underlying's price (protocol 4.3)."""
    entry = snapshot(Service.LEVELONE_OPTIONS, "AAPL  261218C00270000")
    assert set(map(int, entry)) == set(range(1, 56))
    assert 0 < entry["28"] < 1
    assert [entry[number] > 0 for number in ("29", "30", "31", "32", "34")] == [True, False, True, True, True]
    assert (entry["1"], entry["24"], entry["40"], entry["41"]) == ("AAPL 12/18/2026 270.00 C", "100 AAPL", "O", "OPR")
    assert (entry["27"], entry["36"], entry["43"], entry["48"], entry["55"]) == (28, "S", "P", True, "A")
    assert entry["11"] == pytest.approx(entry["35"] - entry["20"])
    assert entry["25"] == pytest.approx(entry["4"] - entry["11"])
    # 20:00 Eastern in summer, 19:00 in winter: midnight in UTC at the end of the day.
    assert entry["42"] == int(dt.datetime(2026, 12, 19, tzinfo=dt.UTC).timestamp()) * 1000


def test_a_future_option_snapshot_is_like_the_recorded_one() -> None:
    """All of 1 to 31, the venue ids as character codes and the rest of the ids as texts (protocol 4.4)."""
    entry = snapshot(Service.LEVELONE_FUTURES_OPTIONS, "./E3DZ26P6500")
    assert set(map(int, entry)) == set(range(1, 32))
    assert (entry["6"], entry["7"], entry["15"]) == (63, 63, 63)
    assert (entry["28"], entry["29"], entry["30"], entry["31"]) == ("P", "Normal", "@", "XCME")
    assert (entry["16"], entry["24"], entry["27"]) == ("E-mini S&P 500 Options", "/ESZ26", "Weeklys")
    assert (entry["20"], entry["21"], entry["22"], entry["25"]) == (0.05, 2.5, 50, 6500)
    assert entry["26"] == midnight_eastern(2026, 12, 17)
    assert entry["23"] == entry["14"]


def test_a_forex_snapshot_is_like_the_recorded_one() -> None:
    """All of 1 to 29; what Schwab leaves empty is empty, and amounts are in millions (protocol 4.5)."""
    entry = snapshot(Service.LEVELONE_FOREX, "EUR/USD")
    assert set(map(int, entry)) == set(range(1, 30))
    assert {number: entry[number] for number in ("13", "17", "19", "20", "21", "22", "23", "24", "25", "26")} == {
        "13": "!", "17": 0, "19": 2, "20": "Unknown", "21": 0, "22": 0, "23": "", "24": "", "25": False, "26": "",
    }  # fmt: skip
    assert entry["4"] % 1_000_000 == entry["5"] % 1_000_000 == entry["7"] % 10_000 == 0
    assert min(entry["4"], entry["5"], entry["7"]) > 0
    assert 1_000_000 < entry["6"] < 100_000_000
