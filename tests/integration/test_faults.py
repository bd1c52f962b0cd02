"""Every fault once, then random schedules of them: the stream always continues, and every loss is reported."""

import asyncio
import random
import re
import sys

import pytest

from schwabstream.simulator import Faults
from tests.long.fault_schedules import (
    SETTLE_S,
    SYMBOLS,
    Floor,
    Outcome,
    judge,
    main,
    play_many,
    recovered,
    verdict,
)
from tests.support.cases import only
from tests.support.fault_proxy import Spoil
from tests.support.fault_troubles import TROUBLES
from tests.support.full_disk import full_disk
from tests.support.stage import Stage, play

SCHEDULES = 40  # ``nox -s faults`` plays ten thousand others
LASTS_S = 75.0
"""Long enough for every deadline: silence 30 s, soft and hard limit of a service 80 s with the way there."""
NOT_NOTICED = {
    # What ends before anybody must notice, or is no fault for the stream.
    "garbage",
    "truncated",
    "nan",
    "500 kB frames",
    "latency",
    "slow drip",
    "silent key",
    "mute service",
    "heartbeats only",
    "no heartbeats",
    "rare heartbeats",
    "no second snapshots",
    "quiet, no second snapshots",
}
EVENTUALLY = {"login denied": "login_required", "login expired": "login_required", "eviction": "evicted"}
EVENTUALLY |= {"eviction storm": "evicted", "login evicted": "evicted"}


@pytest.mark.parametrize("name", list(TROUBLES))
def test_each_fault_alone_is_reported_survived_and_accounted_for(name: str) -> None:
    """After any one fault it streams again, no entry is lost outside a gap, and Schwab was not hammered."""

    async def story(stage: Stage) -> None:
        floor, outcome = Floor(stage), Outcome(1)
        await stage.streaming()
        market = asyncio.create_task(floor.trade(1.0))
        await asyncio.sleep(70)
        undo = TROUBLES[name](stage, random.Random(1))
        await asyncio.sleep(LASTS_S)
        if undo is not None:
            undo()
        stage.simulator.faults.reset()
        await recovered(stage, floor)
        market.cancel()
        await asyncio.wait({market})
        await asyncio.sleep(SETTLE_S + stage.proxy.worst_delay_s)
        judge(stage, floor, outcome)
        if name not in NOT_NOTICED:
            assert outcome.gaps >= 1
            assert stage.tape.announced(EVENTUALLY.get(name, "waiting"))
        assert len({line["event"] for line in stage.logs}) <= 20

    play(story, *SYMBOLS, pulse=False, proxied=True, auto_refresh=True)


@pytest.mark.timeout(900)
def test_random_schedules_of_faults_end_in_streaming_with_every_loss_reported() -> None:
    """Never a crash, never a hot loop, always streaming again, each outage one gap, no entry lost outside a gap."""
    outcomes, failures = play_many(range(SCHEDULES))
    assert failures == []
    assert len(outcomes) == SCHEDULES
    assert sum(outcome.gaps for outcome in outcomes) > SCHEDULES, "the schedules do hurt"


def test_fresh_schedules_name_their_seed_and_each_failure_its_troubles(capsys: pytest.CaptureFixture[str]) -> None:
    """A fresh schedule can be played again: every line that matters names a seed."""
    assert main(["--count", "1"]) == 0
    first = re.match(r"1 schedules from seed (\d+)", capsys.readouterr().out)
    assert first
    assert main(["--first", first[1], "--count", "1"]) == 0
    again = re.search(r"most gaps: .* \(seed (\d+): .+\)", capsys.readouterr().out)
    assert again
    assert again[1] == first[1]
    failed = Outcome(7, troubles=["3+5 reset", "9+20 eviction"])
    assert verdict(failed, AssertionError("lost")) == "seed 7 (3+5 reset; 9+20 eviction): AssertionError: lost"


# -- faults with a rule of their own


def test_a_black_hole_is_noticed_after_30_s_of_silence() -> None:
    """When no frame comes and nothing is closed, the session is lost after the limit; its gap starts there."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        await asyncio.sleep(5)
        stage.proxy.spoil.black_hole = True
        swallowed_at = stage.time.wall()
        await stage.until(lambda: stage.client.state != "streaming", 31)
        stage.proxy.spoil = Spoil()
        await stage.back()
        await stage.until(lambda: bool(stage.tape.announced("gap")), 2)
        (gap,) = stage.tape.announced("gap")
        assert gap["lost_at"] / 1000 == pytest.approx(swallowed_at, abs=10.1)
        assert "nothing arrived" in stage.tape.announced("waiting")[0]["reason"]

    play(story, proxied=True)


def test_a_login_that_nobody_answers_is_given_up_after_10_s() -> None:
    """LOGIN has a deadline like any command, and missing it is reported."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.login_unanswered = True
        await stage.simulator.drop_all()
        await stage.until(lambda: len(stage.tape.announced("waiting")) == 2, 12)
        assert "did not answer the login" in stage.tape.announced("waiting")[1]["reason"]
        stage.simulator.faults.login_unanswered = False
        await stage.back()

    play(story, pulse=False)


def test_a_subscription_that_nobody_answers_fails_alone() -> None:
    """After 10 s the others count as subscribed; the silent one is reported and asked for again."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.unanswered = {"LEVELONE_FUTURES"}
        await stage.simulator.drop_all()
        await stage.back(15)
        (notice,) = [each for each in stage.tape.announced("stale") if each["key"] == "/MNQ"]
        assert "no answer within 10 s" in notice["reason"]
        assert [gap["symbols"] for gap in stage.tape.announced("gap")] == [["AAPL"]]
        stage.simulator.faults.unanswered = set()
        await stage.until(lambda: bool(stage.simulator.subscribed("LEVELONE_FUTURES")), 10)
        await asyncio.sleep(4)
        assert [gap["symbols"] for gap in stage.tape.announced("gap")] == [["AAPL"], ["/MNQ:XCME"]]
        assert stage.simulator.connections_total == 2

    play(story, "/MNQ:XCME", "AAPL", pulse=False)


@pytest.mark.parametrize("error", only(["rate_limited"], ["server_error", "forbidden_html", "rate_limited"]))
def test_the_token_endpoint_down_costs_no_token(error: str) -> None:
    """With access expired and OAuth down for an hour there are few calls, the refresh token stays, and it recovers."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        before = stage.store.load()
        stage.simulator.faults.token_error = error  # type: ignore[assignment]  # one of its literals
        stage.simulator.oauth.revoke_access()
        await stage.simulator.drop_all()
        await asyncio.sleep(3600)
        assert stage.client.state in ("waiting", "connecting")
        assert stage.most_refreshes_a_minute() <= 30
        assert stage.simulator.received.refreshes <= 720
        stage.simulator.faults.token_error = None
        await stage.back(70)
        after = stage.store.load()
        assert before is not None
        assert after is not None
        assert after.refresh_token == before.refresh_token

    play(story, pulse=False, auto_refresh=True, nap_s=2.0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_neither_stops_the_stream_nor_costs_the_login() -> None:
    """While no token can be written each refresh is used, also where Schwab rotates; then the file catches up."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        with full_disk():
            await asyncio.sleep(600)
            await stage.simulator.drop_all()
            await stage.back(5)
            assert stage.auth.unsaved is not None
            assert stage.simulator.received.refreshes <= 600 / 10
            assert stage.most_refreshes_a_minute() <= 7
        await stage.until(lambda: stage.auth.unsaved is None, 60)
        assert stage.store.load() == stage.auth.tokens
        assert not stage.logged("token refresh failed")

    faults = Faults(access_token_life_s=75, rotate_refresh_token=True)
    play(story, faults=faults, pulse=False, auto_refresh=True)


def test_retry_after_is_obeyed() -> None:
    """A Retry-After is obeyed and shown."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.rest_error, stage.simulator.faults.retry_after_s = "rate_limited", 90
        await stage.simulator.drop_all()
        await stage.until(
            lambda: stage.client.state == "waiting" and stage.tape.announced("waiting")[-1]["retry_in_s"] > 80, 30
        )
        asked = len(stage.simulator.received.requests)
        stage.simulator.faults.rest_error = None
        await asyncio.sleep(85)
        assert len(stage.simulator.received.requests) == asked
        await stage.back(10)

    play(story, pulse=False)


def test_a_server_that_accepts_and_drops_for_an_hour_is_not_hammered() -> None:
    """Sessions that die at once never count as healthy: the backoff grows to its cap and stays there."""

    async def story(stage: Stage) -> None:
        await stage.streaming()
        stage.simulator.faults.drop_every_s, stage.simulator.faults.drop_close_code = (0.2, 0.5), 1011
        await stage.simulator.drop_all()
        began = stage.time.wall()
        await asyncio.sleep(3600)
        times = [time for time in stage.simulator.received.connection_times if time > began + 300]
        assert len(times) <= 55 * 60 / 20
        assert stage.most_connections_a_minute() <= 15
        stage.simulator.faults.drop_every_s = None
        await stage.until(lambda: stage.client.state == "streaming", 70)

    play(story, pulse=False)
