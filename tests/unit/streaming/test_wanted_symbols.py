"""The symbols to stream: configured ones first, wishes by age, up to the limit; refusals and releases."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.symbols import parse_symbol, parse_symbols
from schwabstream.report import Source
from schwabstream.streaming.wanted_symbols import (
    GRACE_S,
    LIMIT,
    MOST_ALIASES,
    MOST_REPORTED,
    NEW_PER_CALL,
    NOT_A_SYMBOL,
    REFUSALS_PER_CALL,
    Change,
    WantedSymbols,
)

DAY = date(2026, 11, 21)
POOL = ("AAPL", "MSFT", "NVDA", "SPY", "/MNQ", "/MNQ:XCME", "$SPX", "not a symbol", "")
KEYS = {text: parse_symbol(text, DAY).key for text in POOL[:7]}


def wanted_of(*configured: str, limit: int = 500) -> WantedSymbols:
    """The wanted symbols of a run with these settings."""
    return WantedSymbols(parse_symbols(configured, DAY), limit)


class Following:
    """Wanted symbols with a clock that the test moves, and the wishes of the last step."""

    def __init__(self, *configured: str, limit: int = 500) -> None:
        self.wanted, self.now = wanted_of(*configured, limit=limit), 0.0

    def step(self, *texts: str, after_s: float = 1.0, source: Source = "wanted") -> Change:
        """Let time pass, and follow these wishes."""
        self.now += after_s
        return self.wanted.follow(dict.fromkeys(texts, source), self.now, DAY)

    @property
    def aliases(self) -> list[str]:
        """The symbols that are streamed."""
        return [symbol.alias for symbol in self.wanted.symbols]


Step = tuple[frozenset[str], float]
steps = st.lists(st.tuples(st.frozensets(st.sampled_from(POOL)), st.sampled_from((1.0, 20.0, 59.0, 61.0))), max_size=12)


@given(steps=steps, configured=st.lists(st.sampled_from(POOL[:7]), unique=True, max_size=4), limit=st.integers(1, 6))
def test_the_streamed_symbols_are_the_configured_ones_and_the_wishes_up_to_the_limit(
    steps: list[Step], configured: list[str], limit: int
) -> None:
    """Configured symbols come first and stay; changes add up to the streamed symbols; every wish is met or refused.

    The limit is one of keys, and it refuses nothing while there is room.
    """
    it = Following(*configured, limit=limit)
    first = it.aliases
    first_keys = list(dict.fromkeys(KEYS[text] for text in configured))[:limit]
    assert first == [text for text in configured if KEYS[text] in first_keys]
    streamed = dict.fromkeys(first)
    for texts, after_s in steps:
        change = it.step(*sorted(texts), after_s=after_s)
        for symbol in change.released:
            assert symbol.alias not in first
            del streamed[symbol.alias]
        for symbol in change.added:
            assert symbol.alias not in streamed
            streamed[symbol.alias] = None
        assert it.aliases == list(streamed)
        assert it.aliases[: len(first)] == first
        keys = {KEYS[alias] for alias in streamed}
        assert len(keys) <= limit
        assert texts <= streamed.keys() | it.wanted.refused.keys()
        assert it.wanted.refused.keys() <= texts | set(configured) - set(first)
        for text in it.wanted.refused.keys() & KEYS.keys():
            assert len(keys) == limit
            assert KEYS[text] not in keys


@given(steps=steps)
def test_a_wish_holds_its_symbol_for_a_minute_after_its_end(steps: list[Step]) -> None:
    """Without a limit a symbol is streamed exactly while its last wish is less than ``GRACE_S`` ago."""
    it = Following()
    last: dict[str, float] = {}
    for texts, after_s in steps:
        it.step(*texts, after_s=after_s)
        last.update(dict.fromkeys(texts & set(POOL[:7]), it.now))
        assert set(it.aliases) == {text for text, at in last.items() if it.now - at < GRACE_S or text in texts}


def test_a_new_wish_takes_the_place_of_one_that_ended_first() -> None:
    """At the limit, symbols whose wish has ended go early for new ones: those that ended first."""
    it = Following("AAPL", limit=3)
    it.step("MSFT", "NVDA")
    it.step("MSFT")
    it.step()
    change = it.step("SPY")
    assert [symbol.alias for symbol in change.released] == ["NVDA"]
    assert it.aliases == ["AAPL", "MSFT", "SPY"]


def test_wishes_above_the_limit_wait_for_room_by_age() -> None:
    """The limit refuses by name; when there is room, the oldest refused wish is met without another word."""
    it = Following("AAPL", limit=2)
    it.step("MSFT")
    change = it.step("MSFT", "NVDA")
    assert [(refusal.symbol, refusal.detail) for refusal in change.refused] == [("NVDA", LIMIT)]
    assert it.step("MSFT", "NVDA", "SPY").refused[0].symbol == "SPY"
    assert it.step("MSFT", "NVDA", "SPY") == Change()
    change = it.step("SPY", "NVDA")
    assert [symbol.alias for symbol in change.added] == ["NVDA"]
    assert list(it.wanted.refused) == ["SPY"]


def test_another_alias_of_a_streamed_key_needs_no_room() -> None:
    """The limit counts Schwab's keys: at the limit, another form of a streamed symbol is still streamed."""
    it = Following("/MNQ:XCME", "/MNQ", "AAPL", limit=2)
    assert it.aliases == ["/MNQ:XCME", "/MNQ", "AAPL"]
    change = it.step("aapl", "MSFT")
    assert [symbol.alias for symbol in change.added] == ["aapl"]
    assert [(refusal.symbol, refusal.key) for refusal in change.refused] == [("MSFT", "MSFT")]


def test_an_alias_waits_no_longer_once_its_key_is_streamed() -> None:
    """A refused wish is met as soon as its key is streamed for another wish."""
    it = Following("AAPL", limit=2)
    it.step("MSFT")
    it.step("MSFT", "NVDA", "nvda")
    assert it.aliases == ["AAPL", "MSFT"]
    it.step("NVDA", "nvda")
    assert it.aliases == ["AAPL", "NVDA", "nvda"]
    assert it.wanted.refused == {}


def test_only_a_key_without_any_wish_makes_room() -> None:
    """At the limit, a key goes early with all its aliases, but not while one of them is wished."""
    it = Following(limit=2)
    it.step("/MNQ", "/MNQ:XCME", "MSFT")
    assert it.step("/MNQ", "MSFT", "SPY").released == ()
    it.step("MSFT")
    change = it.step("MSFT", "SPY")
    assert [symbol.alias for symbol in change.released] == ["/MNQ:XCME", "/MNQ"]
    assert it.aliases == ["MSFT", "SPY"]


def test_a_new_alias_keeps_a_key_whose_wish_has_ended() -> None:
    """A key that is wished again under another alias does not make room for the wishes after it."""
    it = Following(limit=2)
    it.step("NVDA", "MSFT")
    change = it.step("nvda", "MSFT", "SPY")
    assert (change.released, it.aliases) == ((), ["NVDA", "MSFT", "nvda"])


def test_a_key_has_a_limited_number_of_aliases() -> None:
    """Thousands of forms of one symbol cannot multiply its events: those above the limit of aliases are refused."""
    forms = [f"{'aA'[bits & 1]}{'aA'[bits >> 1 & 1]}{'pP'[bits >> 2 & 1]}{'lL'[bits >> 3 & 1]}" for bits in range(16)]
    it = Following()
    change = it.step(*forms)
    assert it.aliases == forms[:MOST_ALIASES]
    assert {refusal.detail for refusal in change.refused} == {LIMIT}
    assert "AAPL is streamed under 10 other names" in change.refused[0].reason
    it.step(*forms[1:])
    it.step(*forms[1:], after_s=GRACE_S)
    assert it.aliases == forms[1 : MOST_ALIASES + 1]


def test_configured_symbols_above_the_limit_are_refused_by_name() -> None:
    """The first ones are streamed; the others are announced once, and stay in the report."""
    it = Following("AAPL", "MSFT", "NVDA", limit=2)
    assert it.aliases == ["AAPL", "MSFT"]
    assert [(refusal.symbol, refusal.detail) for refusal in it.step().refused] == [("NVDA", LIMIT)]
    assert it.step("NVDA") == Change()
    assert list(it.wanted.refused) == ["NVDA"]


@pytest.mark.parametrize("text", ["", " AAPL", "AAPL,MSFT", "é", "A" * 49, "\x1b[2J", "123"])
def test_a_text_that_is_no_symbol_is_refused_once_while_it_is_wished(text: str) -> None:
    """A wish that cannot be a symbol is announced with a reason; again only after it has ended."""
    it = Following()
    (refusal,) = it.step(text).refused
    assert (refusal.symbol, refusal.detail) == (text, NOT_A_SYMBOL)
    assert refusal.reason.isprintable()
    assert it.step(text) == Change()
    it.step()
    assert it.step(text).refused == (refusal,)


def test_a_flood_of_wishes_is_decided_in_parts() -> None:
    """One call decides on a limited number of wishes and announces fewer; the streamed symbols do not suffer."""
    flood = [f"bad {number}" for number in range(3 * NEW_PER_CALL)]
    it = Following("AAPL")
    it.step("MSFT")
    announced = [len(it.step("MSFT", *flood).refused) for _ in range(40)]
    assert set(announced) == {REFUSALS_PER_CALL, 0}
    assert sum(announced) == len(flood)
    assert it.aliases == ["AAPL", "MSFT"]
    assert len(it.wanted.refused) == MOST_REPORTED


def test_an_acceptance_is_announced_once_until_schwab_refuses() -> None:
    """Only wished symbols announce that Schwab accepted them, once; after a refusal by Schwab once more."""
    it = Following("AAPL")
    it.step("MSFT")
    asked = it.wanted.needs_announcement
    assert [asked("AAPL"), asked("MSFT"), asked("MSFT")] == [False, True, False]
    assert [it.wanted.refuse("AAPL"), it.wanted.refuse("MSFT")] == [False, True]
    assert asked("MSFT")


def test_the_source_of_a_symbol_follows_its_wish() -> None:
    """A configured symbol stays so; a wish that becomes a lasting one changes the source."""
    it = Following("AAPL")
    it.step("AAPL", "MSFT")
    assert [it.wanted.source(alias) for alias in ("AAPL", "MSFT")] == ["configured", "wanted"]
    it.step("AAPL", "MSFT", source="added")
    assert [it.wanted.source(alias) for alias in ("AAPL", "MSFT")] == ["configured", "added"]


def test_a_removed_symbol_is_no_longer_added() -> None:
    """In the minute before its release the source of a removed symbol is ``wanted``, because it will not stay."""
    it = Following("AAPL")
    it.step("MSFT", source="added")
    it.step()
    assert (it.aliases, it.wanted.source("MSFT")) == (["AAPL", "MSFT"], "wanted")
