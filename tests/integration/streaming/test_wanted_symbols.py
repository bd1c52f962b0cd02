"""Symbols that are wanted while a session runs, on virtual time and against what the simulator received."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from schwabstream.simulator import Faults
from tests.long.wanted_symbols import play_consumers
from tests.support.stage import Stage, moving, play, report

if TYPE_CHECKING:
    from schwabstream.report import Source


def keys_sent(stage: Stage, verb: str, service: str = "LEVELONE_EQUITIES") -> list[str]:
    """The keys of each command of this kind that the simulator received."""
    return [each["parameters"]["keys"] for each in stage.simulator.received.sent(service, verb)]


def test_a_wished_symbol_is_added_and_nothing_else_is_subscribed_again() -> None:
    """A wish sends ADD for its own key only; the other symbols keep their subscription and have no gap."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        before = len(stage.simulator.received.commands)
        stage.client.wish({"NVDA": "wanted"})
        took = await stage.until(lambda: bool(stage.tape.ticks("NVDA")), 2)
        assert took <= 2
        await moving(stage, 10)
        assert keys_sent(stage, "SUBS") == ["AAPL"]
        assert keys_sent(stage, "ADD") == ["NVDA"]
        sent = stage.simulator.received.commands[before:]
        assert all(each["parameters"]["keys"] == "NVDA" for each in sent), sent
        assert [event["symbol"] for event in stage.tape.announced("subscribed")] == ["NVDA"]
        assert not stage.tape.announced("gap")
        assert not stage.tape.announced("stale")
        row = report(stage).symbol("NVDA")
        assert (row.source, row.services[0]) == ("wanted", "LEVELONE_EQUITIES")
        assert report(stage).symbol("AAPL").source == "configured"

    play(story, "AAPL", pulse=False)


def test_the_reason_counts_the_symbols_that_are_streamed_now() -> None:
    """While it streams, the report's reason has the number of symbols of this moment, not that of the session start."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        assert report(stage).reason == "1 symbol subscribed"
        stage.client.wish({"NVDA": "added"})
        await stage.until(lambda: bool(stage.tape.announced("subscribed")), 5)
        assert report(stage).reason == "2 symbols subscribed"

    play(story, "AAPL", pulse=False)


def test_the_report_lists_no_service_of_a_wished_symbol_before_schwab_has_accepted_it() -> None:
    """While the answer to its ADD is out, the services of a wished symbol are empty; those of others are not."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.command_delay_s = 4.0
        stage.client.wish({"NVDA": "added"})
        await moving(stage, 2)
        assert report(stage).symbol("NVDA").services == ()
        assert report(stage).symbol("AAPL").services[0] == "LEVELONE_EQUITIES"
        await stage.until(lambda: bool(stage.tape.announced("subscribed")), 5)
        assert report(stage).symbol("NVDA").services[0] == "LEVELONE_EQUITIES"

    play(story, "AAPL", pulse=False)


def test_a_symbol_is_released_a_minute_after_its_last_wish() -> None:
    """A wish that returns within a minute costs no command; after a minute its key is unsubscribed without a trace."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.client.wish({"NVDA": "wanted"})
        await moving(stage, 10)
        stage.client.wish({})
        await moving(stage, 50)
        stage.client.wish({"NVDA": "wanted"})
        await moving(stage, 50)
        assert not stage.simulator.received.sent("LEVELONE_EQUITIES", "UNSUBS")
        stage.client.wish({})
        await moving(stage, 59)
        assert stage.simulator.subscribed("LEVELONE_EQUITIES") == ["AAPL", "NVDA"]
        await moving(stage, 10)
        assert keys_sent(stage, "UNSUBS") == ["NVDA"]
        for service in ("LEVELONE_EQUITIES", "CHART_EQUITY", "NASDAQ_BOOK"):
            assert stage.simulator.subscribed(service) == ["AAPL"]
        assert [event["symbol"] for event in stage.tape.announced("released")] == ["NVDA"]
        assert report(stage).symbol("NVDA") is None
        ticks = len(stage.tape.ticks("NVDA"))
        await moving(stage, 400)
        assert len(stage.tape.ticks("NVDA")) == ticks
        assert not stage.tape.announced("stale")
        await stage.simulator.drop_all()
        await stage.back()
        await moving(stage, 10)
        assert [gap["symbols"] for gap in stage.tape.announced("gap")] == [["AAPL"]]

    play(story, "AAPL", pulse=False)


def test_a_new_session_subscribes_the_same_set_with_the_configured_symbols_first() -> None:
    """After a reconnect the wished symbols are there again; they are not announced a second time, and share the gap."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.client.wish({"NVDA": "wanted", "SPY": "added"})
        await moving(stage, 10)
        await stage.simulator.drop_all()
        await stage.back()
        await moving(stage, 10)
        assert keys_sent(stage, "SUBS")[-1] == "AAPL,NVDA,SPY"
        assert len(stage.tape.announced("subscribed")) == 2
        assert sorted(stage.tape.announced("gap")[0]["symbols"]) == ["AAPL", "NVDA", "SPY"]
        assert report(stage).symbol("SPY").source == "added"

    play(story, "AAPL", pulse=False)


def test_a_new_alias_of_a_streamed_key_sends_schwab_nothing_and_has_its_tick_at_once() -> None:
    """The last tick is published under the new alias; after the alias is released, the other one streams on."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 5)
        before = len(stage.simulator.received.commands)
        stage.client.wish({"/MNQ": "wanted"})
        assert [tick["repeat"] for tick in stage.tape.ticks("/MNQ")] == [True]
        assert [event["symbol"] for event in stage.tape.announced("subscribed")] == ["/MNQ"]
        await moving(stage, 5)
        assert len(stage.tape.ticks("/MNQ")) > 1
        stage.client.wish({})
        await moving(stage, 70)
        ticks = len(stage.tape.ticks("/MNQ:XCME")), len(stage.tape.ticks("/MNQ"))
        await moving(stage, 20)
        assert len(stage.tape.ticks("/MNQ:XCME")) > ticks[0]
        assert len(stage.tape.ticks("/MNQ")) == ticks[1]
        assert stage.simulator.received.commands[before:] == []

    play(story, "/MNQ:XCME", pulse=False)


def test_what_schwab_refuses_is_refused_by_name() -> None:
    """Schwab's symbol limit refuses the wished key that it discarded, with its code, and the report names it."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.client.wish({"NVDA": "wanted", "SPY": "wanted"})
        await moving(stage, 10)
        (refusal,) = stage.tape.announced("refused")
        assert (refusal["symbol"], refusal["key"], refusal["detail"]) == ("SPY", "SPY", "code 19")
        assert set(report(stage).refused) == {"SPY"}
        assert [event["symbol"] for event in stage.tape.announced("subscribed")] == ["NVDA"]
        stage.simulator.faults.max_keys = 500
        await moving(stage, 310)
        assert [event["symbol"] for event in stage.tape.announced("subscribed")] == ["NVDA", "SPY"]
        assert report(stage).refused == {}

    play(story, "AAPL", faults=Faults(max_keys=2), pulse=False)


def test_a_flood_of_wishes_reaches_schwab_one_command_at_a_time() -> None:
    """Wishes that change while a command is in flight wait for its answer, and only the newest ones count."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        names = [f"{chr(65 + n // 26)}{chr(65 + n % 26)}X" for n in range(400)]
        for n in range(400):
            stage.client.wish({names[n]: "wanted"})
            await asyncio.sleep(0.001)
        stage.client.wish(dict.fromkeys(names[:5], "wanted"))
        await moving(stage, 90)
        assert len(keys_sent(stage, "ADD")) < 20, "many wishes share a command"
        assert set(stage.simulator.subscribed("LEVELONE_EQUITIES")) == {"AAPL", *names[:5]}
        assert stage.simulator.connections_total == 1

    play(story, "AAPL", faults=Faults(command_delay_s=0.2, serial_commands=True), pulse=False)


def test_a_wish_during_commands_is_followed_as_soon_as_they_are_answered() -> None:
    """A wish that comes while Schwab answers another one is sent after the last answer, not with the next look."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        wishes: dict[str, Source] = {}
        for first, second in (("AAX", "ABX"), ("BAX", "BBX"), ("CAX", "CBX"), ("DAX", "DBX"), ("EAX", "EBX")):
            await asyncio.sleep(5.15)  # each time at another moment of a second
            wishes = {**wishes, first: "wanted"}
            stage.client.wish(wishes)
            await asyncio.sleep(0.05)
            wishes = {**wishes, second: "wanted"}
            stage.client.wish(wishes)
            await asyncio.sleep(0.7)
            assert second in keys_sent(stage, "ADD")

    play(story, "AAPL", faults=Faults(command_delay_s=0.1, serial_commands=True), pulse=False)


def test_a_wished_future_has_the_top_of_book_where_schwab_has_no_depth() -> None:
    """A futures book that Schwab refused before is not requested again; level 1 makes it."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.client.wish({"/MES": "wanted"})
        await moving(stage, 10)
        assert stage.tape.books("/MES")[-1]["source"] == "top_of_book"
        assert keys_sent(stage, "SUBS", "FUTURES_BOOK") == ["/MNQ"]
        assert not keys_sent(stage, "ADD", "FUTURES_BOOK")
        assert report(stage).symbol("/MES").services == ("LEVELONE_FUTURES", "CHART_FUTURES")

    play(story, "/MNQ:XCME", pulse=False)


def test_a_wished_equity_gets_its_book_from_where_it_is_listed() -> None:
    """Level 1 is subscribed at once; the quotes endpoint names the listing, and only that book service is asked."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.client.wish({"NVDA": "wanted", "F": "wanted"})
        await moving(stage, 10)
        assert keys_sent(stage, "ADD") == ["NVDA,F"]
        assert keys_sent(stage, "ADD", "NASDAQ_BOOK") == ["NVDA"]
        assert keys_sent(stage, "SUBS", "NYSE_BOOK") == ["F"]
        assert stage.tape.books("NVDA")
        assert stage.tape.books("F")

    play(story, "AAPL", pulse=False)


def test_without_a_listing_both_book_services_are_asked() -> None:
    """When the quotes endpoint does not answer, the service that delivers decides, and the other one is released."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.rest_error = "server_error"
        stage.client.wish({"NVDA": "wanted"})
        await moving(stage, 60)
        assert stage.simulator.subscribed("NASDAQ_BOOK") == ["AAPL", "NVDA"]
        assert keys_sent(stage, "UNSUBS", "NYSE_BOOK") == ["NVDA"]
        assert stage.simulator.connections_total == 1

    play(story, "AAPL", pulse=False)


@pytest.mark.parametrize("drops", [False, True])
def test_consumers_that_come_and_go_have_what_they_want_at_every_moment(drops: bool) -> None:
    """Ten consumers change their wishes at random for three minutes: Schwab's list follows, nothing is left over."""
    assert play_consumers(3, seed=7, drops=drops) > 100
