"""Which events a reader gets for the symbols it named."""

from datetime import date

import pytest

from schwabstream.consumer.selection import Selection
from schwabstream.protocol.symbols import parse_symbols

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
