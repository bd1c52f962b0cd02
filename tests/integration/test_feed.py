"""One streamer through its life on virtual time: quiet, dead, refused, evicted, logged out; and what it says of it."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, ClassVar

import pytest

from schwabstream.events import Channel
from schwabstream.reporter import Reporter
from schwabstream.schedule import Holidays, Schedule
from schwabstream.simulator import Faults
from schwabstream.streamer import EVICTION_PAUSE_S
from tests.stage import Stage, play

HALF_DAY = Schedule(chicago=Holidays(half=frozenset({date(2026, 11, 27)})))
CHRISTMAS = Schedule(chicago=Holidays(closed=frozenset({date(2026, 12, 25)})))
MARKETS = {
    "open": ("2026-11-24 16:00", True),
    "closed": ("2026-11-21 16:00", False),
    "daily break": ("2026-11-24 22:10", False),
    "halted": ("2026-11-24 16:00", False),
    "half day, morning": ("2026-11-27 17:00", True),
    "half day, afternoon": ("2026-11-27 18:30", False),
    "summer time begins, before 17:00": ("2026-03-08 21:30", False),
    "summer time begins, after 17:00": ("2026-03-08 22:30", True),
    "summer time ends, before 17:00": ("2026-11-01 22:30", False),
    "summer time ends, after 17:00": ("2026-11-01 23:30", True),
}


def at(text: str) -> float:
    """A time in UTC as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


async def moving(stage: Stage, seconds: float, every_s: float = 5.0) -> None:
    """Let the simulated market move now and then for some time."""
    for _ in range(int(seconds / every_s)):
        await asyncio.sleep(every_s)
        stage.simulator.step()


def report(stage: Stage) -> Any:
    """What the streamer's report says now."""
    reporter = Reporter(stage.client, _NoRedis(), wall=stage.time.wall)  # type: ignore[arg-type]  # no Redis on stage
    return reporter.report


class _NoRedis:
    """As much of a publisher as a report reads."""

    published = queued = dropped = 0
    refusing: ClassVar[dict[str, bytes | None]] = {}
    counts: ClassVar[Counter[str]] = Counter()
    round_trip_s = None


# -- quiet or dead


@pytest.mark.parametrize("signal", ["data", "heartbeat", "pong"])
@pytest.mark.parametrize("market", list(MARKETS))
def test_the_watchdogs_truth_table(market: str, signal: str) -> None:
    """Data is life; heartbeats alone are life while nothing must trade and cost one session otherwise; pongs never."""
    start, is_open = MARKETS[market]
    faults = Faults(market_status="Halted" if market == "halted" else "Normal")

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(1)
        assert stage.tape.ticks("/MNQ:XCME"), "the snapshot comes in any market"
        stage.simulator.faults.data = signal == "data"
        stage.simulator.faults.heartbeats = signal != "pong"
        if signal == "data" and is_open:
            await moving(stage, 600)
        else:
            await asyncio.sleep(600)
        connections = stage.simulator.connections_total
        if signal == "pong":
            # Silence is noticed after 30 s, whatever the market does; the backoff lies between the sessions.
            assert 7 <= connections <= 20
        elif signal == "heartbeat" and is_open:
            assert connections == 2
        else:
            assert connections == 1
            assert stage.tape.statuses[-1]["state"] == "streaming"

    play(story, faults=faults, start=at(start), schedule=HALF_DAY, pulse=False)


def test_a_closed_weekend_of_72_hours_costs_no_session() -> None:
    """From Christmas Eve to Sunday heartbeats are enough: no reconnect, no repeat, not a word."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(5)
        events = len(stage.tape.events)
        await asyncio.sleep(72 * 3600)
        assert stage.simulator.connections_total == 1
        assert len(stage.tape.events) == events
        assert len(stage.simulator.received.commands) == 4, "LOGIN and three subscriptions, and never a probe"

    play(story, start=at("2026-12-24 22:05"), schedule=CHRISTMAS, pulse=False, nap_s=10)


def test_one_silent_service_costs_one_session_and_then_leaves_the_others_alone() -> None:
    """Equities die while futures flow: asked again, one new session, then told by name and the futures stream on."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 20)
        stage.simulator.faults.muted_services.add("LEVELONE_EQUITIES")
        muted_at = stage.time.wall()
        await moving(stage, 90)
        assert stage.simulator.connections_total == 2
        again = stage.simulator.received.sent("LEVELONE_EQUITIES", "SUBS")
        assert len(again) == 3, "at the start, as the probe, in the new session"
        gaps = {tuple(gap["symbols"]): gap for gap in stage.tape.told("gap")}
        assert gaps["AAPL",]["lost_at"] / 1000 == pytest.approx(muted_at, abs=6)
        assert gaps["/MNQ:XCME",]["lost_at"] > gaps["AAPL",]["lost_at"] + 60_000
        await moving(stage, 3600)
        assert stage.simulator.connections_total == 2
        assert {told["symbol"] for told in stage.tape.told("stale")} == {"AAPL"}
        assert report(stage).symbol("AAPL").problem
        assert report(stage).symbol("/MNQ:XCME").problem is None
        stage.simulator.faults.muted_services.clear()
        await moving(stage, 400)
        assert report(stage).symbol("AAPL").problem is None
        assert stage.logged("data is back")
        assert stage.simulator.connections_total == 2

    play(story, "/MNQ:XCME", "AAPL", pulse=False)


def test_one_silent_symbol_among_living_ones_is_asked_for_again() -> None:
    """The silent symbol is subscribed anew by name; when that brings it back nobody else notices."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.silent_keys.add("/MES")
        await moving(stage, 290)
        stage.simulator.faults.silent_keys.clear()
        ticks = len(stage.tape.ticks("/MES:XCME"))
        await asyncio.sleep(15)
        (added,) = stage.simulator.received.sent("LEVELONE_FUTURES", "ADD")
        assert added["parameters"]["keys"] == "/MES"
        assert len(stage.tape.ticks("/MES:XCME")) > ticks
        assert stage.simulator.connections_total == 1
        assert not stage.tape.told("stale")

    play(story, "/MNQ:XCME", "/MES:XCME", pulse=False)


# -- first snapshots


@pytest.mark.parametrize(
    ("start", "faults", "reason"),
    [
        ("2026-11-24 16:00", Faults(), "Schwab does not know it, or this login has no entitlement for it"),
        ("2026-11-21 16:00", Faults(), "its market is closed, or Schwab does not know it"),
        ("2026-11-24 16:00", Faults(unknown_symbol_frame=True), "Schwab does not know this symbol"),
    ],
)
def test_a_symbol_that_never_comes_is_told_by_name_and_likely_reason(start: str, faults: Faults, reason: str) -> None:
    """Within 10 s of its acknowledgement, once, in a StatusEvent, in the log and in the report; the rest streams."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        acknowledged = stage.time.wall()
        await stage.until(lambda: bool(stage.tape.told("stale")), 10)
        assert stage.time.wall() - acknowledged <= 10
        await asyncio.sleep(60)
        (told,) = stage.tape.told("stale")
        assert (told["symbol"], told["key"]) == ("/ZZZ:XCME", "/ZZZ")
        assert reason in told["reason"]
        assert stage.logged("stale")[0]["log_level"] == "warning"
        assert reason in report(stage).symbol("/ZZZ:XCME").problem
        assert stage.simulator.connections_total == 1
        assert stage.tape.ticks("/MNQ:XCME")

    play(story, "/MNQ:XCME", "/ZZZ:XCME", faults=faults, start=at(start), pulse=False)


def test_a_batch_that_wakes_only_a_part_is_completed_key_by_key() -> None:
    """Keys that one SUBS left asleep (protocol 3.6) are asked for by name, and come."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.batch_limit = None
        await stage.until(lambda: all(stage.tape.ticks(f"{root}:XCME") for root in ("/MES", "/MNQ", "/NQ")), 12)
        added = [each["parameters"]["keys"] for each in stage.simulator.received.sent("LEVELONE_FUTURES", "ADD")]
        assert added == ["/MNQ", "/NQ"]

    play(story, "/MES:XCME", "/MNQ:XCME", "/NQ:XCME", faults=Faults(batch_limit=1), pulse=False)


# -- keepalive


def test_in_an_open_market_a_quiet_symbol_ticks_at_least_once_a_minute() -> None:
    """Repeats are marked, carry no trade, and stop being repeats with the first real update."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        times: list[float] = []
        count = 0
        for _ in range(6000):
            await asyncio.sleep(0.1)
            if len(stage.tape.ticks("/MNQ:XCME")) > count:
                count = len(stage.tape.ticks("/MNQ:XCME"))
                times.append(stage.time.wall())
        assert max(after - before for before, after in itertools.pairwise(times)) <= 60
        repeats = [tick for tick in stage.tape.ticks("/MNQ:XCME") if tick["repeat"]]
        assert repeats
        assert not any(tick["is_trade"] for tick in repeats)
        stage.simulator.step()
        await asyncio.sleep(1)
        assert stage.tape.ticks("/MNQ:XCME")[-1]["repeat"] is False

    play(story, pulse=False)


@pytest.mark.parametrize(
    ("start", "keepalive_s", "faults"),
    [
        ("2026-11-21 16:00", 60.0, Faults()),
        ("2026-11-24 16:00", 0.0, Faults()),
        ("2026-11-24 16:00", 60.0, Faults(market_status="Halted")),
    ],
)
def test_nothing_is_repeated_in_a_closed_or_halted_market_or_when_switched_off(
    start: str, keepalive_s: float, faults: Faults
) -> None:
    """Repeats belong to open markets, and 0 means never."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(1200)
        assert not [tick for tick in stage.tape.ticks("/MNQ:XCME") if tick["repeat"]]

    play(story, start=at(start), keepalive_s=keepalive_s, faults=faults, pulse=False)


def test_what_this_session_never_confirmed_is_not_repeated() -> None:
    """A symbol that is dead since the reconnect must not look alive."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(57)  # a repeat would be due before anything is told of the new session
        stage.simulator.faults.silent_keys.add("/MES")
        await stage.simulator.drop_all()
        await stage.back()
        reconnected = stage.time.wall()
        await moving(stage, 600)
        late = [tick for tick in stage.tape.ticks("/MES:XCME") if tick["received_us"] > reconnected * 1e6]
        assert late == []
        repeats = [tick for tick in stage.tape.ticks("/MES:XCME") if tick["repeat"]]
        assert repeats == []

    play(story, "/MNQ:XCME", "/MES:XCME", pulse=False)


# -- refusals


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


def test_what_falls_to_the_symbol_limit_is_told_and_the_rest_streams() -> None:
    """Code 19 keeps the first keys: those stream and are watched, the others are told and asked again every 5 min."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 290)
        assert {told["symbol"] for told in stage.tape.told("stale")} == {"/NQ:XCME"}
        assert "limit" in stage.tape.told("stale")[0]["reason"]
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


@pytest.mark.parametrize("code", [9, 11, 22])
def test_what_was_refused_in_passing_is_asked_again_one_at_a_time(code: int) -> None:
    """A retryable refusal is told, sent again as ADD, alone, ever less often, and forgotten once it succeeds."""
    faults = Faults(command_codes={"CHART_FUTURES": code, "LEVELONE_EQUITIES": code}, serial_commands=True)

    async def story(stage: Stage) -> None:
        await stage.streaming()
        assert {told["symbol"] for told in stage.tape.told("stale")} == {"/MNQ:XCME", "AAPL"}
        assert report(stage).symbol("AAPL").problem.startswith("LEVELONE_EQUITIES refused")
        await asyncio.sleep(6)
        times = [each["command"] for each in stage.simulator.received.commands if "CHART_FUT" in each["service"]]
        assert times == ["SUBS", "ADD"]
        assert len(stage.tape.told("stale")) == 2, "a repeated refusal is not told again"
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


def test_what_a_refused_subscription_missed_after_a_reconnect_is_its_own_gap() -> None:
    """A symbol is restored when its own subscription is, and its gap says so."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        stage.simulator.faults.command_codes = {"LEVELONE_EQUITIES": 22}
        await stage.simulator.drop_all()
        await stage.back()
        await asyncio.sleep(2)
        assert [gap["symbols"] for gap in stage.tape.told("gap")] == [["/MNQ:XCME"]]
        stage.simulator.faults.command_codes = {}
        await asyncio.sleep(10)
        first, second = stage.tape.told("gap")
        assert second["symbols"] == ["AAPL"]
        assert second["lost_at"] == first["lost_at"]
        assert second["restored_at"] - first["restored_at"] >= 4000

    play(story, "/MNQ:XCME", "AAPL", pulse=False)


# -- the table


def states(stage: Stage) -> list[str]:
    """The lasting states told so far."""
    return [told["state"] for told in stage.tape.statuses if told["state"] not in ("stale", "gap", "dropped")]


LOST: dict[str, tuple[Callable[[Stage], object], str]] = {
    "no close frame": (lambda stage: stage.simulator.close_all(), "no close frame"),
    "close 1011": (lambda stage: stage.simulator.close_all(1011), "code 1011"),
    "code 30": (lambda stage: stage.simulator.stop_all(), "code 30: Stop streaming"),
}


@pytest.mark.parametrize("name", list(LOST))
def test_a_lost_session_is_waited_out_and_told(name: str) -> None:
    """Waiting, connecting, streaming, one gap: each an event, a logged reason, a count, a line of the report."""
    lose, reason = LOST[name]

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        lost_at = stage.time.wall()
        lose(stage)
        await stage.back()
        assert states(stage) == ["connecting", "streaming", "waiting", "connecting", "streaming"]
        (waiting,) = stage.tape.told("waiting")
        assert reason in waiting["reason"]
        assert waiting["retry_in_s"] == 0.0
        (gap,) = stage.tape.told("gap")
        assert gap["lost_at"] / 1000 == pytest.approx(lost_at, abs=6)
        assert gap["lost_at"] <= gap["restored_at"]
        assert gap["symbols"] == ["/MNQ:XCME"]
        assert [line["event"] for line in stage.logs if line["event"] in ("waiting", "gap")] == ["waiting", "gap"]
        assert reason in stage.logged("waiting")[0]["reason"]
        assert stage.client.counts["entered waiting"] == stage.client.counts["gap"] == 1
        assert (report(stage).state, report(stage).reconnects, report(stage).gaps) == ("streaming", 1, 1)

    play(story, pulse=False)


def test_a_login_denied_twice_waits_for_a_person_without_a_call() -> None:
    """Code 3: one refresh, one more try, then login_required: Schwab hears nothing until somebody has logged in."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.login_code = 3
        await stage.simulator.drop_all()
        await stage.until_state("login_required", 30)
        assert stage.simulator.received.refreshes == 1
        assert "schwabstream auth login" in stage.tape.told("login_required")[0]["reason"]
        assert (report(stage).state, report(stage).healthy) == ("login_required", False)
        seen = len(stage.simulator.received.requests), stage.simulator.connections_total
        await asyncio.sleep(8 * 3600)
        assert (len(stage.simulator.received.requests), stage.simulator.connections_total) == seen
        stage.simulator.faults.login_code = None
        stage.log_in()
        await stage.back(30)
        assert len(stage.tape.told("gap")) == 1
        assert [line["log_level"] for line in stage.logged("login_required")] == ["warning"]

    play(story, pulse=False, auto_refresh=True, nap_s=10)


def test_a_refused_refresh_waits_for_a_person_without_a_call() -> None:
    """The seven days are over: login_required, silence towards Schwab, and on by itself after a new login."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.oauth.revoke_refresh()
        await asyncio.sleep(1800)
        await stage.simulator.drop_all()
        await stage.until_state("login_required", 60)
        seen = len(stage.simulator.received.requests), stage.simulator.connections_total
        await asyncio.sleep(24 * 3600)
        assert (len(stage.simulator.received.requests), stage.simulator.connections_total) == seen
        stage.log_in()
        await stage.back(30)

    play(story, pulse=False, auto_refresh=True, nap_s=10)


def test_a_login_that_comes_while_the_old_one_is_being_denied_is_not_missed() -> None:
    """Somebody logs in between the refresh and the second denial: the stream comes back by itself."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.login_code = 3
        stage.simulator.faults.login_delay_s = 1.0
        await stage.simulator.drop_all()
        await stage.until(lambda: len(stage.simulator.received.sent("ADMIN", "LOGIN")) == 3, 30)
        stage.simulator.faults.login_code = None
        stage.log_in()
        stage.simulator.faults.login_code = 3
        await stage.until(lambda: bool(stage.tape.told("login_required")), 5)
        stage.simulator.faults.login_code = None
        await stage.back(10)

    play(story, pulse=False)


def test_an_unreadable_token_file_is_waited_out() -> None:
    """Once it streams, trouble with the file is weather: it backs off, and goes on when the file can be read again."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        path = stage.store.path
        kept = path.with_name("kept")
        path.rename(kept)
        path.mkdir()
        stage.simulator.oauth.revoke_access()
        await stage.simulator.drop_all()
        await asyncio.sleep(120)
        assert stage.client.state in ("waiting", "connecting")
        assert stage.simulator.received.refreshes == 0
        path.rmdir()
        kept.rename(path)
        await stage.back(70)

    play(story, pulse=False)


def test_an_eviction_is_stood_back_from_for_five_minutes() -> None:
    """Evicted names the command that takes the connection back, waits 5 min without a call, then tries again."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.evict_all()
        await stage.until_state("evicted", 5)
        (told,) = stage.tape.told("evicted")
        assert told["retry_in_s"] == EVICTION_PAUSE_S == 300
        assert "stream run --take-over" in told["reason"]
        assert report(stage).state == "evicted"
        seen = len(stage.simulator.received.requests), stage.simulator.connections_total
        await asyncio.sleep(295)
        assert (len(stage.simulator.received.requests), stage.simulator.connections_total) == seen
        await stage.back(10)
        assert len(stage.tape.told("gap")) == 1
        assert stage.logged("evicted")[0]["log_level"] == "warning"

    play(story, pulse=False)


@pytest.mark.parametrize("code", [12, 3, 20, 30])
def test_a_command_answered_with_a_code_that_ends_the_session_does(code: int) -> None:
    """What Schwab says as an answer counts as much as what it says unasked."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.command_codes = {"LEVELONE_FUTURES": code}
        await stage.simulator.drop_all()
        expected = "evicted" if code == 12 else "waiting"
        await stage.until(lambda: bool(stage.tape.told(expected)), 20)
        stage.simulator.faults.command_codes = {}
        await stage.back(320)
        assert stage.simulator.connections_total <= 4

    play(story, pulse=False)


def test_bars_books_and_ticks_arrive_beside_each_other() -> None:
    """An hour of ordinary life: every channel flows, nothing is told, nothing is counted as odd."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 600, every_s=1.0)
        kinds = Counter(channel for channel, _ in stage.tape.events)
        assert kinds[Channel.TICKS] >= 600
        assert kinds[Channel.LEVEL2] >= 590
        assert kinds[Channel.BARS] >= 9
        assert states(stage) == ["connecting", "streaming"]
        assert not [line for line in stage.logs if line["log_level"] == "warning"]

    play(story, pulse=False)


def test_the_hours_of_each_day_are_learned_once() -> None:
    """With equities among the symbols the markets endpoint is asked once a day, and its closed day is believed."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(60)
        assert stage.client.schedule.knows_equity_hours(date(2026, 11, 24))
        await asyncio.sleep(2 * 3600)
        assert stage.client.schedule.knows_equity_hours(date(2026, 11, 25))
        asked = [seen for seen in stage.simulator.received.requests if "markets" in seen.path]
        assert len(asked) == 2

    play(story, "AAPL", pulse=False, start=at("2026-11-25 03:30"))
