"""Screeners and account activity in a session, on virtual time: they come and come back beside the symbols."""

import asyncio

from schwabstream.events import Channel
from schwabstream.protocol.screeners import services_of
from schwabstream.simulator import Faults
from tests.support.stage import Stage, play

SCREENERS = ["NYSE_VOLUME_5", "NASDAQ_TRADES_0", "OPTION_ALL_TRADES_60"]
SERVICES = services_of(SCREENERS, account_activity=True)


def test_screeners_and_account_activity_come_beside_the_symbols_and_come_back() -> None:
    """Every screener and the account deliver events, after a lost session too, each with one SUBS and no ADD."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        for session in (1, 2):
            stage.tape.events.clear()
            await asyncio.sleep(30)
            assert {event["symbol"] for event in stage.tape.on(Channel.SCREENERS)} == set(SCREENERS)
            assert {event["message_type"] for event in stage.tape.on(Channel.ACCOUNT)} >= {"OrderCreated"}
            assert stage.tape.ticks("AAPL")
            sent = [each for each in stage.simulator.received.commands if each["service"] in SERVICES]
            assert [(each["service"], each["command"]) for each in sent] == [
                ("SCREENER_EQUITY", "SUBS"),
                ("SCREENER_OPTION", "SUBS"),
                ("ACCT_ACTIVITY", "SUBS"),
            ] * session
            if session == 1:
                await stage.simulator.drop_all()
                await stage.back()
        assert stage.simulator.subscribed("SCREENER_EQUITY") == ["NYSE_VOLUME_5", "NASDAQ_TRADES_0"]
        assert stage.simulator.subscribed("ACCT_ACTIVITY") == ["Account Activity"]

    play(story, "AAPL", services=SERVICES)


def test_a_screener_beyond_schwabs_limit_is_reported_by_its_name() -> None:
    """Of eleven screeners ten deliver, the last is reported with Schwab's reason, and nothing else is affected."""
    names = [f"NYSE_VOLUME_{frequency}" for frequency in (0, 1, 5, 10, 30, 60)]
    names += [f"NASDAQ_VOLUME_{frequency}" for frequency in (0, 1, 5, 10, 30)]

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(30)
        (notice,) = stage.tape.announced("stale")
        assert (notice["symbol"], notice["key"], notice["detail"]) == ("NASDAQ_VOLUME_30",) * 2 + ("code 19",)
        assert notice["reason"].startswith("NASDAQ_VOLUME_30: SCREENER_EQUITY refused")
        assert {event["symbol"] for event in stage.tape.on(Channel.SCREENERS)} == set(names[:10])
        assert stage.tape.ticks("AAPL")
        assert stage.simulator.connections_total == 1

    play(story, "AAPL", services=services_of(names, account_activity=False))


def test_refused_account_activity_is_asked_for_again_with_subs() -> None:
    """The service has no ADD, so the retry of a passing refusal is a SUBS; the refusal is reported once."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        (notice,) = stage.tape.announced("stale")
        assert notice["symbol"] == "Account Activity"
        stage.simulator.faults.command_codes = {}
        await asyncio.sleep(15)
        sent = [each["command"] for each in stage.simulator.received.commands if each["service"] == "ACCT_ACTIVITY"]
        assert sent == ["SUBS", "SUBS"]
        assert stage.tape.on(Channel.ACCOUNT)

    faults = Faults(command_codes={"ACCT_ACTIVITY": 22})
    play(story, "AAPL", faults=faults, services=services_of([], account_activity=True))


def test_a_silent_screener_and_a_quiet_account_cost_no_session() -> None:
    """An account without orders is quiet for days: neither it nor a screener is ever probed or judged dead."""

    async def story(stage: Stage) -> None:
        stage.simulator.faults.muted_services |= {"SCREENER_EQUITY", "SCREENER_OPTION", "ACCT_ACTIVITY"}
        await stage.streaming()
        commands = len(stage.simulator.received.commands)
        await asyncio.sleep(1_200)
        assert stage.simulator.connections_total == 1
        assert len(stage.simulator.received.commands) == commands
        assert not stage.tape.announced("stale")

    play(story, "AAPL", services=SERVICES)
