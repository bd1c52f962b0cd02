"""One streamer through its life on virtual time: quiet, dead, refused, evicted, logged out; and its reports."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from schwabstream.events import Channel
from schwabstream.market.trading_hours import Holidays, Schedule
from schwabstream.simulator import Faults
from schwabstream.streaming.supervisor import EVICTION_PAUSE_S
from tests.support.cases import only
from tests.support.stage import Stage, moving, play, report

HALF_DAY = Schedule(
    chicago=Holidays(closed=frozenset({date(2026, 11, 26)}), half=frozenset({date(2026, 11, 27)})),
)
CHRISTMAS = Schedule(chicago=Holidays(closed=frozenset({date(2026, 12, 25)})))
MARKETS = {
    "open": ("2026-11-24 16:00", True),
    "closed": ("2026-11-21 16:00", False),
    "daily break": ("2026-11-24 22:10", False),
    "halted": ("2026-11-24 16:00", False),
    "Thanksgiving, morning": ("2026-11-26 16:00", True),
    "Thanksgiving, afternoon": ("2026-11-26 18:30", False),
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
            # Noticed after 30 s where data is owed, ever later where it is not; the backoff lies between the sessions.
            assert (7 <= connections <= 20) if is_open else (4 <= connections <= 6)
        elif signal == "heartbeat" and is_open:
            assert connections == 2
        else:
            assert connections == 1
            assert stage.tape.statuses[-1]["state"] == "streaming"

    play(story, faults=faults, start=at(start), schedule=HALF_DAY, pulse=False)


@pytest.mark.parametrize("hours", only([12], [12, 72]))
def test_a_closed_weekend_costs_no_session(hours: int) -> None:
    """From Christmas Eve to Sunday heartbeats are enough: no reconnect, no repeat, not a word."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(5)
        events = len(stage.tape.events)
        await asyncio.sleep(hours * 3600)
        assert stage.simulator.connections_total == 1
        assert len(stage.tape.events) == events
        assert len(stage.simulator.received.commands) == 4, "LOGIN and three subscriptions, and never a probe"

    play(story, start=at("2026-12-24 22:05"), schedule=CHRISTMAS, pulse=False, nap_s=10)


@pytest.mark.parametrize("period_s", only([60.0], [35.0, 60.0, 240.0]))
def test_heartbeats_rarer_than_the_limit_cost_a_closed_market_a_few_sessions(period_s: float) -> None:
    """Nobody knows Schwab's heartbeat period: each session that ended by silence alone lets the next be silent longer.

    Once data is owed again the limit is the configured one: a dead connection is noticed as soon as ever.
    """

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(12 * 3600)
        assert stage.client.state == "streaming"
        assert stage.simulator.connections_total <= 5
        assert len(stage.tape.announced("gap")) <= 4
        await asyncio.sleep(52 * 60)
        await moving(stage, 600)  # the market opens in the middle of it
        assert stage.simulator.connections_total <= 5
        lost = stage.client.counts["entered waiting"]
        stage.simulator.faults.black_hole = True
        await stage.until(lambda: stage.client.counts["entered waiting"] > lost, 31)

    faults = Faults(heartbeat_interval_s=period_s)
    play(story, faults=faults, start=at("2026-11-22 10:05"), pulse=False, nap_s=2)


def test_one_silent_service_costs_one_session_and_then_leaves_the_others_alone() -> None:
    """Equities that die while futures flow are asked for again, cost one new session, and are reported by name."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 20)
        stage.simulator.faults.muted_services.add("LEVELONE_EQUITIES")
        muted_at = stage.time.wall()
        await moving(stage, 90)
        assert stage.simulator.connections_total == 2
        again = stage.simulator.received.sent("LEVELONE_EQUITIES", "SUBS")
        assert len(again) == 3, "at the start, as the probe, in the new session"
        (future,) = stage.tape.announced("gap")
        assert future["symbols"] == ["/MNQ:XCME"]
        assert future["lost_at"] / 1000 > muted_at + 60
        await moving(stage, 3600)
        assert stage.simulator.connections_total == 2
        assert {notice["symbol"] for notice in stage.tape.announced("stale")} == {"AAPL"}
        assert report(stage).symbol("AAPL").problem
        assert report(stage).symbol("/MNQ:XCME").problem is None
        stage.simulator.faults.muted_services.clear()
        back_at = stage.time.wall()
        await moving(stage, 400)
        _, equity = stage.tape.announced("gap")
        assert equity["symbols"] == ["AAPL"]
        assert equity["lost_at"] / 1000 == pytest.approx(muted_at, abs=6)
        assert equity["restored_at"] / 1000 == pytest.approx(back_at, abs=6)
        assert report(stage).symbol("AAPL").problem is None
        assert stage.logged("data is back")
        assert stage.simulator.connections_total == 2

    play(story, "/MNQ:XCME", "AAPL", pulse=False)


def test_one_silent_symbol_among_living_ones_is_asked_for_again() -> None:
    """The silent symbol is subscribed anew by name; when that brings it back there is no other trace."""

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
        assert not stage.tape.announced("stale")

    play(story, "/MNQ:XCME", "/MES:XCME", pulse=False)


@pytest.mark.parametrize(
    ("symbols", "busy"),
    [
        (("SPY   261218C00600000",), ()),
        pytest.param(("/CL",), (), marks=pytest.mark.slow),
        pytest.param(("SPY   261218C00600000", "AAPL"), ("AAPL",), marks=pytest.mark.slow),
        (("SPY   261218C00600000", "SPY   261218P00600000"), ("SPY   261218P00600000",)),
    ],
)
def test_where_asking_again_brings_no_snapshot_quiet_costs_one_session(
    symbols: tuple[str, ...], busy: tuple[str, ...]
) -> None:
    """No source says that a repeated SUBS is answered with a snapshot: a quiet symbol may cost one session, not many.

    Its own first entries do not count as life: only what comes after them lets the symbol cost another.
    """
    faults = Faults(snapshot_on_resubscribe=False, books_per_s=0.0)

    async def story(stage: Stage) -> None:
        await stage.streaming()
        simulator = stage.simulator
        quotes = [quote for key in busy if (quote := simulator.market.quote(key)) is not None]
        for _ in range(3 * 720):
            await asyncio.sleep(5)
            simulator.feed.send_changes(
                simulator.live_sessions(), {quote: quote.advance(simulator.now_ms()) for quote in quotes}
            )
        assert simulator.connections_total <= 2
        assert len(stage.tape.announced("gap")) <= 2
        stale = {
            notice["symbol"] for notice in stage.tape.announced("stale") if notice["detail"].startswith("LEVELONE")
        }
        assert stale == set(symbols) - set(busy)
        assert stage.client.state == "streaming"

    play(story, *symbols, faults=faults, pulse=False)


# -- first snapshots


@pytest.mark.parametrize(
    ("start", "faults", "reason"),
    [
        ("2026-11-24 16:00", Faults(), "Schwab does not know it, or this login has no entitlement for it"),
        ("2026-11-21 16:00", Faults(), "its market is closed, or Schwab does not know it"),
        ("2026-11-24 16:00", Faults(unknown_symbol_frame=True), "Schwab does not know this symbol"),
    ],
)
def test_a_symbol_without_data_is_reported_with_its_likely_reason(start: str, faults: Faults, reason: str) -> None:
    """Within 10 s of its acknowledgement, once, in a StatusEvent, in the log and in the report; the rest streams."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        acknowledged = stage.time.wall()
        await stage.until(lambda: bool(stage.tape.announced("stale")), 10)
        assert stage.time.wall() - acknowledged <= 10
        await asyncio.sleep(60)
        (notice,) = stage.tape.announced("stale")
        assert (notice["symbol"], notice["key"]) == ("/ZZZ:XCME", "/ZZZ")
        assert reason in notice["reason"]
        assert stage.logged("stale")[0]["log_level"] == "warning"
        assert reason in report(stage).symbol("/ZZZ:XCME").problem
        assert stage.simulator.connections_total == 1
        assert stage.tape.ticks("/MNQ:XCME")

    play(story, "/MNQ:XCME", "/ZZZ:XCME", faults=faults, start=at(start), pulse=False)


def test_each_future_is_judged_by_the_hours_of_its_own_product() -> None:
    """At 8:00 in Chicago index futures trade and corn does not: what never came of it may come yet."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 20)
        (notice,) = stage.tape.announced("stale")
        assert notice["symbol"] == "/ZC:XCBT"
        assert "its market is closed" in notice["reason"]
        commands = len(stage.simulator.received.commands)
        await moving(stage, 1500)
        assert len(stage.simulator.received.commands) == commands, "it is not asked for while it is closed"
        await moving(stage, 600)
        assert len(stage.simulator.received.commands) > commands

    faults = Faults(silent_keys={"/ZC"})
    play(story, "/MNQ:XCME", "/ZC:XCBT", faults=faults, start=at("2026-11-24 14:00"), pulse=False)


def test_a_root_that_is_answered_under_its_contract_streams() -> None:
    """When Schwab sends ``/MNQZ26`` for ``/MNQ``, the symbol has its ticks, book and bars, and no trouble."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 130)
        assert {tick["contract"] for tick in stage.tape.ticks("/MNQ:XCME")} == {"/MNQZ26"}
        assert stage.tape.books("/MNQ:XCME")
        bars = [event for channel, event in stage.tape.events if channel is Channel.BARS]
        assert {bar["symbol"] for bar in bars} == {"/MNQ:XCME"}
        assert not stage.tape.announced("stale")
        assert not stage.client.market.counts

    play(story, faults=Faults(root_stream_key="contract", futures_depth=True), pulse=False)


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
    """Repeats are marked, hold no trade, and stop with the first real update."""

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
        await asyncio.sleep(57)  # a repeat would be due before anything is announced of the new session
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


def test_what_a_refused_subscription_missed_after_a_reconnect_is_its_own_gap() -> None:
    """A symbol is restored when its own subscription is, and its gap ends at that time."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        stage.simulator.faults.command_codes = {"LEVELONE_EQUITIES": 22}
        await stage.simulator.drop_all()
        await stage.back()
        await asyncio.sleep(4)
        assert [gap["symbols"] for gap in stage.tape.announced("gap")] == [["/MNQ:XCME"]]
        stage.simulator.faults.command_codes = {}
        await asyncio.sleep(10)
        first, second = stage.tape.announced("gap")
        assert second["symbols"] == ["AAPL"]
        assert second["lost_at"] == first["lost_at"]
        assert second["restored_at"] - first["restored_at"] >= 4000

    play(story, "/MNQ:XCME", "AAPL", pulse=False)


# -- gaps


def test_a_gap_ends_with_the_first_entry_of_the_new_session() -> None:
    """To be subscribed again is not to have data again: the outage lasts until something arrives."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        stage.simulator.faults.data = False
        lost_at = stage.time.wall()
        await stage.back()
        await asyncio.sleep(600)
        assert stage.tape.announced("stale")
        assert stage.tape.announced("gap") == [], "nothing has arrived"
        stage.simulator.faults.data = True
        restored_at = stage.time.wall()
        stage.simulator.step()
        await asyncio.sleep(4)
        (gap,) = stage.tape.announced("gap")
        assert gap["lost_at"] / 1000 == pytest.approx(lost_at, abs=6)
        assert gap["restored_at"] / 1000 == pytest.approx(restored_at, abs=0.1)

    play(story, pulse=False)


def test_each_symbol_comes_back_in_its_own_time() -> None:
    """A symbol that stays silent after a reconnect keeps its outage; the others' ends with their own first entry."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        stage.simulator.faults.silent_keys.add("/MES")
        await stage.simulator.drop_all()
        await stage.back()
        back_at = stage.time.wall()
        await asyncio.sleep(12)
        stage.simulator.faults.silent_keys.clear()
        stage.simulator.step()
        step_at = stage.time.wall()
        await asyncio.sleep(4)
        first, second = stage.tape.announced("gap")
        assert (first["symbols"], second["symbols"]) == (["/MNQ:XCME", "/MNQ"], ["/MES:XCME"])
        assert first["lost_at"] == second["lost_at"]
        assert first["restored_at"] / 1000 == pytest.approx(back_at, abs=0.2)
        assert second["restored_at"] / 1000 == pytest.approx(step_at, abs=0.1)

    play(story, "/MNQ:XCME", "/MES:XCME", "/MNQ", pulse=False)


def test_five_hundred_symbols_that_come_back_together_share_a_gap() -> None:
    """One outage is one notice, however many symbols and commands it takes."""
    symbols = [f"A{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(500)]

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(5)
        stage.simulator.faults.command_delay_s = 0.15
        await stage.simulator.drop_all()
        await stage.back()
        await asyncio.sleep(4)
        (gap,) = stage.tape.announced("gap")
        assert gap["symbols"] == symbols

    play(story, *symbols, pulse=False)


def test_what_came_back_just_before_the_next_loss_has_its_gap() -> None:
    """Two outages with a moment of data between them are two gaps, and the second begins where that data ended."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        stage.simulator.faults.drop_every_s = (0.3, 0.3)
        await stage.simulator.drop_all()
        await stage.back()
        await asyncio.sleep(0.1)
        heard_at = stage.time.wall()
        stage.simulator.faults.drop_every_s = None
        await stage.back()
        await asyncio.sleep(4)
        first, second = stage.tape.announced("gap")
        assert first["restored_at"] <= second["lost_at"] <= second["restored_at"]
        assert second["lost_at"] / 1000 == pytest.approx(heard_at, abs=0.5)

    play(story, pulse=False)


# -- the table


def states(stage: Stage) -> list[str]:
    """The lasting states announced so far."""
    return [notice["state"] for notice in stage.tape.statuses if notice["state"] not in ("stale", "gap", "dropped")]


LOST: dict[str, tuple[Callable[[Stage], object], str]] = {
    "no close frame": (lambda stage: stage.simulator.close_all(), "no close frame"),
    "close 1011": (lambda stage: stage.simulator.close_all(1011), "code 1011"),
    "code 30": (lambda stage: stage.simulator.stop_all(), "code 30: Stop streaming"),
}


@pytest.mark.parametrize("name", list(LOST))
def test_a_lost_session_is_waited_out_and_reported(name: str) -> None:
    """Waiting, connecting, streaming, one gap: each an event, a logged reason, a count, a line of the report."""
    lose, reason = LOST[name]

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await moving(stage, 10)
        lost_at = stage.time.wall()
        lose(stage)
        await stage.back()
        await stage.until(lambda: bool(stage.tape.announced("gap")), 2)
        assert states(stage) == ["connecting", "streaming", "waiting", "connecting", "streaming"]
        (waiting,) = stage.tape.announced("waiting")
        assert reason in waiting["reason"]
        assert waiting["retry_in_s"] == 0.0
        (gap,) = stage.tape.announced("gap")
        assert gap["lost_at"] / 1000 == pytest.approx(lost_at, abs=6)
        assert gap["lost_at"] <= gap["restored_at"]
        assert gap["symbols"] == ["/MNQ:XCME"]
        assert [line["event"] for line in stage.logs if line["event"] in ("waiting", "gap")] == ["waiting", "gap"]
        assert reason in stage.logged("waiting")[0]["reason"]
        assert stage.client.counts["entered waiting"] == stage.client.counts["gap"] == 1
        assert (report(stage).state, report(stage).reconnects, report(stage).gaps) == ("streaming", 1, 1)

    play(story, pulse=False)


def test_a_login_denied_twice_waits_for_a_person_without_a_call() -> None:
    """Code 3 costs one refresh and one more try; then Schwab is not called until there is a new login."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.login_code = 3
        await stage.simulator.drop_all()
        await stage.until_state("login_required", 30)
        assert stage.simulator.received.refreshes == 1
        assert "schwabstream auth login" in stage.tape.announced("login_required")[0]["reason"]
        assert (report(stage).state, report(stage).healthy) == ("login_required", False)
        seen = len(stage.simulator.received.requests), stage.simulator.connections_total
        await asyncio.sleep(8 * 3600)
        assert (len(stage.simulator.received.requests), stage.simulator.connections_total) == seen
        stage.simulator.faults.login_code = None
        stage.log_in()
        await stage.back(30)
        await stage.until(lambda: len(stage.tape.announced("gap")) == 1, 11)
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
    """A login between the refresh and the second denial is found, and the stream comes back by itself."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.login_code = 3
        stage.simulator.faults.login_delay_s = 1.0
        await stage.simulator.drop_all()
        await stage.until(lambda: len(stage.simulator.received.sent("ADMIN", "LOGIN")) == 3, 30)
        stage.simulator.faults.login_code = None
        stage.log_in()
        stage.simulator.faults.login_code = 3
        await stage.until(lambda: bool(stage.tape.announced("login_required")), 5)
        stage.simulator.faults.login_code = None
        await stage.back(10)

    play(story, pulse=False)


def test_an_unreadable_token_file_is_waited_out() -> None:
    """Once it streams, trouble with the token file is transient: it backs off until the file is readable."""

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


@pytest.mark.parametrize("close_code", [None, 1000])
@pytest.mark.parametrize(("lasts_s", "most"), [(2.0, 17), (70.0, 16)])
def test_an_eviction_without_its_notice_is_stood_back_from(lasts_s: float, most: int, close_code: int | None) -> None:
    """Cut again and again soon after the login, while REST works: the state is evicted, and few sessions are made."""

    async def rival(stage: Stage) -> None:
        while True:
            await stage.until(lambda: bool(stage.simulator.live_sessions()), 400)
            await asyncio.sleep(lasts_s)
            stage.simulator.evict_all()
            await asyncio.sleep(0.5)

    async def story(stage: Stage) -> None:
        stage.simulator.faults.evict_notify = False
        stage.simulator.faults.evict_close_code = close_code
        await stage.streaming()
        fight = asyncio.create_task(rival(stage))
        await asyncio.sleep(3600)
        assert stage.simulator.connections_total <= most
        notices = stage.tape.announced("evicted")
        assert len(notices) >= 8
        assert "another session" in notices[0]["reason"]
        assert {each["retry_in_s"] for each in notices} == {300.0}
        fight.cancel()
        await asyncio.wait({fight})
        await stage.until_state("streaming", 400)
        await asyncio.sleep(200)
        sessions = stage.simulator.connections_total
        await stage.simulator.drop_all(None)
        await stage.back(1)
        assert stage.simulator.connections_total == sessions + 1

    play(story, pulse=False)


def test_an_eviction_is_stood_back_from_for_five_minutes() -> None:
    """Evicted names the command that takes the connection back, waits 5 min without a call, then tries again."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.evict_all()
        await stage.until_state("evicted", 5)
        (notice,) = stage.tape.announced("evicted")
        assert notice["retry_in_s"] == EVICTION_PAUSE_S == 300
        assert "stream run --take-over" in notice["reason"]
        assert report(stage).state == "evicted"
        seen = len(stage.simulator.received.requests), stage.simulator.connections_total
        await asyncio.sleep(295)
        assert (len(stage.simulator.received.requests), stage.simulator.connections_total) == seen
        await stage.back(10)
        await stage.until(lambda: len(stage.tape.announced("gap")) == 1, 2)
        assert stage.logged("evicted")[0]["log_level"] == "warning"

    play(story, pulse=False)


@pytest.mark.parametrize("code", [12, 3, 20, 30])
def test_a_command_answered_with_a_code_that_ends_the_session_does(code: int) -> None:
    """A code that ends the session does so as an answer, too."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.command_codes = {"LEVELONE_FUTURES": code}
        await stage.simulator.drop_all()
        expected = "evicted" if code == 12 else "waiting"
        await stage.until(lambda: bool(stage.tape.announced(expected)), 20)
        stage.simulator.faults.command_codes = {}
        await stage.back(320)
        assert stage.simulator.connections_total <= 4

    play(story, pulse=False)


def test_bars_books_and_ticks_arrive_beside_each_other() -> None:
    """An ordinary hour: every channel flows, no trouble is reported, nothing is counted as odd."""

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
