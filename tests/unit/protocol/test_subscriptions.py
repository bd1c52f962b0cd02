"""The wanted subscriptions, and that the planned commands lead to them under the streamer's own rules."""

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.fields import Service
from schwabstream.protocol.subscriptions import (
    BOOK_SERVICES,
    LEVEL_ONE,
    MAX_KEYS_PER_COMMAND,
    Command,
    Verb,
    book_services,
    plan,
    wanted,
)
from schwabstream.protocol.symbols import Asset, Symbol, parse_symbol, parse_symbols

TODAY = date(2026, 11, 20)
LEVEL1, FUTURES_L1, NASDAQ, NYSE = (
    Service.LEVELONE_EQUITIES,
    Service.LEVELONE_FUTURES,
    Service.NASDAQ_BOOK,
    Service.NYSE_BOOK,
)

# Stretches of one long list: short and long ones, apart, overlapping and equal.
keys = st.builds(
    lambda first, length, step: tuple(f"K{number}" for number in range(first, first + length * step, step)),
    st.integers(0, 120),
    st.sampled_from([0, 1, 2, 49, 50, 51, 100, 120]),
    st.integers(1, 3),
)
subscriptions = st.dictionaries(st.sampled_from([LEVEL1, FUTURES_L1, NASDAQ]), keys)


def equity(key: str) -> Symbol:
    """An equity of this key."""
    return Symbol(key, key, Asset.EQUITY)


def carry_out(commands: list[Command], before: Mapping[Service, tuple[str, ...]]) -> dict[Service, set[str]]:
    """The subscriptions after these commands, by the streamer's rules (protocol 3.6)."""
    held = {service: set(kept) for service, kept in before.items()}
    for command in commands:
        mine = held.setdefault(command.service, set())
        match command.verb:
            case Verb.SUBS:
                held[command.service] = set(command.keys)
            case Verb.ADD:
                mine |= set(command.keys)
            case Verb.UNSUBS:
                mine -= set(command.keys)
    return {service: kept for service, kept in held.items() if kept}


@given(goal=subscriptions, before=subscriptions)
def test_the_plan_reaches_the_goal(
    goal: dict[Service, tuple[str, ...]], before: dict[Service, tuple[str, ...]]
) -> None:
    """From any two states, the commands lead to exactly the wanted one."""
    assert carry_out(plan(goal, before), before) == {service: set(kept) for service, kept in goal.items() if kept}


@given(goal=subscriptions, before=subscriptions)
def test_no_command_is_long_or_empty(
    goal: dict[Service, tuple[str, ...]], before: dict[Service, tuple[str, ...]]
) -> None:
    """Every command has between one and 50 keys: of a longer list some were never answered (protocol 3.6)."""
    assert all(1 <= len(command.keys) <= MAX_KEYS_PER_COMMAND == 50 for command in plan(goal, before))


@given(goal=subscriptions, before=subscriptions)
def test_keys_that_stay_are_never_sent_again(
    goal: dict[Service, tuple[str, ...]], before: dict[Service, tuple[str, ...]]
) -> None:
    """A service that has keys gets no SUBS, which would replace them, and no command names a key that stays."""
    for command in plan(goal, before):
        want, have = set(goal.get(command.service, ())), set(before.get(command.service, ()))
        assert not set(command.keys) & want & have
        assert not (have and command.verb is Verb.SUBS)


@given(goal=subscriptions)
def test_a_goal_already_reached_needs_nothing(goal: dict[Service, tuple[str, ...]]) -> None:
    """A subscribed key is not asked for again."""
    assert plan(goal, goal) == []


def test_the_first_command_of_a_service_is_subs() -> None:
    """With nothing subscribed SUBS comes first and ADD follows, in the order wanted."""
    names = tuple(f"K{number}" for number in range(101))
    assert plan({LEVEL1: names}, {}) == [
        Command(Verb.SUBS, LEVEL1, names[:50]),
        Command(Verb.ADD, LEVEL1, names[50:100]),
        Command(Verb.ADD, LEVEL1, names[100:]),
    ]


def test_additions_do_not_disturb_what_is_subscribed() -> None:
    """A key more is one ADD, a key less one UNSUBS, and both together are both."""
    assert plan({LEVEL1: ("A", "B")}, {LEVEL1: ("A",)}) == [Command(Verb.ADD, LEVEL1, ("B",))]
    assert plan({LEVEL1: ("A",)}, {LEVEL1: ("A", "B")}) == [Command(Verb.UNSUBS, LEVEL1, ("B",))]
    assert plan({LEVEL1: ("A", "C")}, {LEVEL1: ("A", "B")}) == [
        Command(Verb.UNSUBS, LEVEL1, ("B",)),
        Command(Verb.ADD, LEVEL1, ("C",)),
    ]


def test_level_one_comes_before_the_books() -> None:
    """Prices are asked for before depth, whatever order they are wanted in."""
    commands = plan({NASDAQ: ("A",), LEVEL1: ("A",), Service.CHART_EQUITY: ("A",)}, {})
    assert commands[0].service is LEVEL1


def test_what_each_asset_needs() -> None:
    """Level 1 for all; charts for equities and futures; books for equities, options and futures, none for an index."""
    texts = ["/MNQ:XCME", "AAPL", "$SPX", "AAPL  271217C00200000", "./OGG27C4240", "EUR/USD"]
    symbols = parse_symbols(texts, TODAY)
    found = wanted(symbols, {"AAPL": "Q"})
    assert list(found) == [service for service in Service if service in found], "level one first"
    assert found == {
        Service.LEVELONE_EQUITIES: ("AAPL", "$SPX"),
        Service.LEVELONE_OPTIONS: ("AAPL  271217C00200000",),
        Service.LEVELONE_FUTURES: ("/MNQ",),
        Service.LEVELONE_FUTURES_OPTIONS: ("./OGG27C4240",),
        Service.LEVELONE_FOREX: ("EUR/USD",),
        Service.NASDAQ_BOOK: ("AAPL",),
        Service.OPTIONS_BOOK: ("AAPL  271217C00200000",),
        Service.FUTURES_BOOK: ("/MNQ",),
        Service.CHART_EQUITY: ("AAPL",),
        Service.CHART_FUTURES: ("/MNQ",),
    }


def test_every_asset_has_a_level_one_service() -> None:
    """No asset that can be wanted is without level 1."""
    assert set(LEVEL_ONE) == set(Asset)


def test_aliases_of_one_key_are_asked_for_once() -> None:
    """Two ways to write one instrument make one key, at the place of the first."""
    symbols = parse_symbols(["/MNQ:XCME", "/MES", "/MNQ", "/mnq"], TODAY)
    assert wanted(symbols)[Service.LEVELONE_FUTURES] == ("/MNQ", "/MES")


@pytest.mark.parametrize(
    ("exchange", "services"),
    [
        *[("Q", {NASDAQ}), ("N", {NYSE}), ("P", {NYSE}), ("A", {NYSE}), ("U", {NYSE})],
        *[("9", {NASDAQ, NYSE}), ("", {NASDAQ, NYSE}), ("QN", {NASDAQ, NYSE})],
    ],
)
def test_the_listing_decides_the_book(exchange: str, services: set[Service]) -> None:
    """Nasdaq listings are asked of NASDAQ_BOOK, those of NYSE and its kin of NYSE_BOOK, any other of both."""
    assert set(book_services(equity("X"), {"X": exchange})) == services


def test_an_unknown_listing_is_asked_of_both() -> None:
    """When the quotes endpoint omits an equity, or does not answer, both books are asked."""
    assert wanted([equity("X"), equity("Y")], {"Y": "N"}) == {
        Service.LEVELONE_EQUITIES: ("X", "Y"),
        Service.NYSE_BOOK: ("X", "Y"),
        Service.NASDAQ_BOOK: ("X",),
        Service.CHART_EQUITY: ("X", "Y"),
    }
    assert wanted([equity("X")])[Service.NYSE_BOOK] == ("X",)


def test_a_listing_of_another_kind_of_symbol_is_ignored() -> None:
    """A future is asked of its own book service, for any exchange in its quote."""
    assert book_services(parse_symbol("/ES", TODAY), {"/ES": "Q"}) == (Service.FUTURES_BOOK,)


def test_book_services_are_known_as_such() -> None:
    """Every service ``wanted`` can ask for depth is in ``BOOK_SERVICES``."""
    assert {service for service in Service if service.endswith("_BOOK")} >= BOOK_SERVICES
    assert {NYSE, NASDAQ, Service.OPTIONS_BOOK, Service.FUTURES_BOOK} == BOOK_SERVICES


def test_nothing_wanted_is_nothing_asked() -> None:
    """No symbols, no commands; and dropping all leaves no service behind."""
    assert wanted([]) == {}
    assert plan({}, {}) == []
    assert plan({}, {LEVEL1: ("A",), NYSE: ("B",)}) == [
        Command(Verb.UNSUBS, LEVEL1, ("A",)),
        Command(Verb.UNSUBS, NYSE, ("B",)),
    ]
