"""Subscriptions of a session on virtual time: a refusal is reported by symbol, retried alone and costs nothing else."""

import asyncio

import pytest

from schwabstream.simulator import Faults
from tests.support.stage import Stage, moving, play, report


def test_both_book_services_are_asked_when_the_listing_is_unknown_and_the_silent_one_is_dropped() -> None:
    """Without the quotes endpoint each equity is asked of both; where its book comes from decides."""
    faults = Faults(rest_error="server_error", rest_error_path="quotes")

    async def story(stage: Stage) -> None:
        await stage.streaming()
        assert stage.simulator.subscribed("NASDAQ_BOOK") == stage.simulator.subscribed("NYSE_BOOK") == ["AAPL", "SPY"]
        await moving(stage, 10)
        assert stage.simulator.subscribed("NASDAQ_BOOK") == ["AAPL"]
        assert stage.simulator.subscribed("NYSE_BOOK") == ["SPY"]
        assert {book["service"] for book in stage.tape.books("AAPL")} == {"NASDAQ_BOOK"}
        await stage.simulator.drop_all()
        await stage.back()
        assert stage.simulator.subscribed("NASDAQ_BOOK") == ["AAPL"], "it is remembered"

    play(story, "AAPL", "SPY", faults=faults, pulse=False)


def test_keys_beyond_the_symbol_limit_are_reported_and_the_rest_streams() -> None:
    """Code 19 keeps the first keys: those stream and are watched, the others are reported and requested every 5 min."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 290)
        assert {notice["symbol"] for notice in stage.tape.announced("stale")} == {"/NQ:XCME"}
        assert "limit" in stage.tape.announced("stale")[0]["reason"]
        assert "limit" in report(stage).symbol("/NQ:XCME").problem
        assert stage.tape.ticks("/MNQ:XCME")[-1]["received_us"] > (stage.time.wall() - 10) * 1e6
        assert not stage.simulator.received.sent("LEVELONE_FUTURES", "ADD")
        assert stage.simulator.connections_total == 1
        stage.simulator.faults.max_keys = 500
        await moving(stage, 20)
        assert stage.simulator.subscribed("LEVELONE_FUTURES") == ["/MES", "/MNQ", "/NQ"]
        assert report(stage).symbol("/NQ:XCME").problem is None
        stage.simulator.faults.muted_services.add("LEVELONE_FUTURES")
        await asyncio.sleep(90)
        assert stage.simulator.connections_total == 2, "what was kept is watched"

    play(story, "/MES:XCME", "/MNQ:XCME", "/NQ:XCME", faults=Faults(max_keys=2), pulse=False)


def test_a_symbol_limit_that_names_no_number_is_asked_again_every_five_minutes() -> None:
    """Code 19 without a count of discarded keys may mean any of them: all are reported, and all are asked for again."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        assert {notice["symbol"] for notice in stage.tape.announced("stale")} == {"/MES:XCME", "/MNQ:XCME"}
        await asyncio.sleep(310)
        added = [each["parameters"]["keys"] for each in stage.simulator.received.sent("LEVELONE_FUTURES", "ADD")]
        assert added == ["/MES,/MNQ"]
        assert len(stage.tape.announced("stale")) == 2, "a repeated refusal is not reported again"
        stage.simulator.faults.command_codes = {}
        await asyncio.sleep(300)
        assert stage.simulator.subscribed("LEVELONE_FUTURES") == ["/MES", "/MNQ"]
        assert report(stage).symbol("/MES:XCME").problem is None
        assert stage.tape.ticks("/MES:XCME")
        assert stage.simulator.connections_total == 1

    play(story, "/MES:XCME", "/MNQ:XCME", faults=Faults(command_codes={"LEVELONE_FUTURES": 19}), pulse=False)


def test_futures_depth_beyond_the_symbol_limit_is_the_top_of_book_meanwhile() -> None:
    """Where the limit leaves no room for a book, level 1 replaces it until there is room."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(1)
        assert stage.tape.books("/MNQ:XCME")[-1]["source"] == "top_of_book"
        assert not stage.tape.announced("stale")
        stage.simulator.faults.command_codes = {}
        await asyncio.sleep(310)
        assert stage.tape.books("/MNQ:XCME")[-1]["source"] == "book"

    play(story, faults=Faults(futures_depth=True, command_codes={"FUTURES_BOOK": 19}), pulse=False)


@pytest.mark.parametrize("code", [9, 11, 22])
def test_what_was_refused_in_passing_is_asked_again_one_at_a_time(code: int) -> None:
    """A retryable refusal is reported, sent again as ADD, alone and ever less often, and forgotten once it succeeds."""
    faults = Faults(command_codes={"CHART_FUTURES": code, "LEVELONE_EQUITIES": code}, serial_commands=True)

    async def story(stage: Stage) -> None:
        await stage.streaming()
        assert {notice["symbol"] for notice in stage.tape.announced("stale")} == {"/MNQ:XCME", "AAPL"}
        assert report(stage).symbol("AAPL").problem.startswith("LEVELONE_EQUITIES refused")
        await asyncio.sleep(6)
        times = [each["command"] for each in stage.simulator.received.commands if "CHART_FUT" in each["service"]]
        assert times == ["SUBS", "ADD"]
        assert len(stage.tape.announced("stale")) == 2, "a repeated refusal is not reported again"
        stage.simulator.faults.command_codes = {}
        stage.simulator.faults.command_delay_s = 0.5  # crossing commands would be refused
        await asyncio.sleep(40)
        assert stage.simulator.subscribed("LEVELONE_EQUITIES") == ["AAPL"]
        assert stage.simulator.subscribed("CHART_FUTURES") == ["/MNQ"]
        assert report(stage).symbol("AAPL").problem is None
        commands = len(stage.simulator.received.commands)
        await moving(stage, 600)
        assert len(stage.simulator.received.commands) == commands
        assert stage.simulator.connections_total == 1

    play(story, "/MNQ:XCME", "AAPL", faults=faults, pulse=False)


def test_a_retried_batch_does_not_replace_what_came_after_it() -> None:
    """SUBS replaces a service's keys: the refused first fifty come back beside the accepted rest."""
    symbols = [f"A{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(60)]

    async def story(stage: Stage) -> None:
        refused = stage.simulator.faults.command_codes
        refused["LEVELONE_EQUITIES SUBS"] = 22
        await stage.streaming()
        assert len(stage.simulator.subscribed("LEVELONE_EQUITIES")) == 10
        refused.clear()
        await asyncio.sleep(10)
        assert sorted(stage.simulator.subscribed("LEVELONE_EQUITIES")) == symbols

    play(story, *symbols, pulse=False)
