"""The supervisor against the simulator: what it asks Schwab for, how it comes back, when it gives up, how it stops."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.clock import Clock
from schwabstream.errors import Evicted, LoginRequired, ProtocolError, Refused, SchwabStreamError, SchwabUnavailable
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.status import Status
from schwabstream.streaming.supervisor import EVICTION_PAUSE_S, STARTUP_LIMIT_S, SchwabStreamClient
from tests.support.waiting import DEADLINE_S, until

TODAY = date(2026, 11, 21)
START_S = 1_795_536_000.0
"""Tuesday 2026-11-24, 16:00 UTC."""


class StandingClock:
    """A clock that advances only on request, with a record of every pause."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.clock = Clock(lambda: START_S + self.now, lambda: self.now, self._sleep, lambda: 0.5)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if seconds > 0:
            sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.append((self.now + seconds, sleeper))
            await sleeper

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        due = [sleeper for at, sleeper in self._sleepers if at <= self.now]
        self._sleepers = [(at, sleeper) for at, sleeper in self._sleepers if at > self.now]
        for sleeper in due:
            if not sleeper.done():
                sleeper.set_result(None)


class Published:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {str(channel): [] for channel in Channel}

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Keep a copy, as the encoder would."""
        self.events[str(channel)].append(orjson.loads(orjson.dumps(event)))

    def states(self) -> list[str]:
        """The announced states, in order."""
        return [each["state"] for each in self.events["status"]]

    def announced(self, state: str) -> list[dict[str, Any]]:
        """The status events of one state."""
        return [each for each in self.events["status"] if each["state"] == state]


class Run:
    """One streamer under way, with everything around it."""

    def __init__(self, simulator: SchwabSimulator, auth: SchwabAuthClient, symbols: str, **options: Any) -> None:
        self.simulator, self.auth = simulator, auth
        self.time = StandingClock()
        self.published = Published()
        parsed = parse_symbols(symbols.split(","), TODAY)
        self.client = SchwabStreamClient(
            auth, StreamState(parsed, self.published.publish, clock=self.time.clock, **options)
        )
        self.task = asyncio.ensure_future(self.client.run())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be true; what ends the run early is raised."""

        def holds() -> bool:
            if condition():
                return True
            if self.task.done():
                self.task.result()
                pytest.fail("the run ended")
            return False

        await until(holds, show=lambda: self.published.events["status"])

    async def reaches(self, state: Status) -> None:
        """Wait for a lasting state."""
        await self.until(lambda: self.client.state is state)

    async def streams(self, times: int = 0) -> None:
        """Wait until it streams, for the nth time if given."""
        await self.until(lambda: self.client.state is Status.STREAMING or bool(times))
        await self.until(lambda: not times or self.client.counts["entered streaming"] == times)

    async def waits(self, times: int) -> None:
        """Wait until it has backed off this often."""
        await self.until(lambda: len(self.published.announced("waiting")) == times)

    async def stopped(self) -> None:
        """Stop it, and wait for its end."""
        self.client.stop()
        async with asyncio.timeout(DEADLINE_S):
            await self.task

    async def fails(self, kind: type[SchwabStreamError]) -> SchwabStreamError:
        """Wait for the run to end with this error."""
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(kind) as caught:
                await self.task
        return caught.value

    def sent(self, service: str, command: str = "SUBS") -> list[str]:
        """The keys of each of these commands the simulator received."""
        return [each["parameters"].get("keys", "") for each in self.simulator.received.sent(service, command)]


@asynccontextmanager
async def run_of(
    simulator: SchwabSimulator,
    symbols: str = "/MES:XCME,/NQ:XCME",
    *,
    auth_kind: type[SchwabAuthClient] = SchwabAuthClient,
    **options: Any,
) -> AsyncIterator[Run]:
    """A run logged in to the simulator."""
    path = Path("tokens") / "schwab_token.json"
    store = TokenStore(path)
    store.save(TokenSet.from_file(simulator.issue_token()))
    settings = load_settings(
        schwab_api_base_url=simulator.base_url,
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_token_path=path,
    )
    async with auth_kind(settings, store) as auth:
        run = Run(simulator, auth, symbols, **options)
        try:
            yield run
        finally:
            run.task.cancel()
            await asyncio.wait({run.task})


# -- what is asked for


async def test_futures_get_level_one_bars_and_ask_for_depth_once(simulator: SchwabSimulator) -> None:
    """Bare keys go to level 1, charts and, once for the whole run, FUTURES_BOOK; then books are the top of book."""
    async with run_of(simulator) as run:
        await run.streams()
        assert run.sent("LEVELONE_FUTURES") == run.sent("CHART_FUTURES") == run.sent("FUTURES_BOOK") == ["/MES,/NQ"]
        simulator.step()
        await run.until(
            lambda: {each["symbol"] for each in run.published.events["level2"]} == {"/MES:XCME", "/NQ:XCME"}
        )
        book = run.published.events["level2"][-1]
        assert book["source"] == "top_of_book"
        assert [len(book["bids"]), len(book["asks"])] == [1, 1]
        await simulator.drop_all(None)
        await run.until(lambda: len(run.sent("LEVELONE_FUTURES")) == 2)
        await run.streams()
        assert len(run.sent("FUTURES_BOOK")) == 1


async def test_depth_appears_by_itself_where_schwab_has_it(simulator: SchwabSimulator) -> None:
    """When FUTURES_BOOK is served, books are books."""
    simulator.faults.futures_depth = True
    async with run_of(simulator) as run:
        await run.streams()
        await run.until(lambda: bool(run.published.events["level2"]))
        assert {each["source"] for each in run.published.events["level2"]} == {"book"}


async def test_each_asset_goes_to_its_services(simulator: SchwabSimulator) -> None:
    """Equities, indices and their books by listing, which the quotes endpoint is asked for once in a run."""
    async with run_of(simulator, "AAPL,F,$SPX,/MES") as run:
        await run.streams()
        assert run.sent("LEVELONE_EQUITIES") == ["AAPL,F,$SPX"]
        assert run.sent("NASDAQ_BOOK") == ["AAPL"]
        assert run.sent("NYSE_BOOK") == ["F"]
        assert run.sent("LEVELONE_FUTURES") == ["/MES"]
        await simulator.drop_all(None)
        await run.until(lambda: len(run.sent("NYSE_BOOK")) == 2)
        assert simulator.received.paths().count("/marketdata/v1/quotes") == 1


async def test_without_the_quotes_endpoint_both_books_are_asked(simulator: SchwabSimulator) -> None:
    """A quotes endpoint that fails costs a second book subscription, not the stream."""
    simulator.faults.rest_error, simulator.faults.rest_error_path = "not_json", "quotes"
    async with run_of(simulator, "AAPL") as run:
        await run.streams()
        assert run.sent("NASDAQ_BOOK") == run.sent("NYSE_BOOK") == ["AAPL"]


async def test_ticks_have_the_alias_the_key_and_the_contract(simulator: SchwabSimulator) -> None:
    """Each alias gets its event with its own name, the key and the active contract; prices come from the wire."""
    async with run_of(simulator, "/MES:XCME,/MES") as run:
        await run.until(lambda: len(run.published.events["ticks"]) >= 2)
        first, second = run.published.events["ticks"][:2]
        assert [first["symbol"], second["symbol"]] == ["/MES:XCME", "/MES"]
        assert {first["key"], second["key"]} == {"/MES"}
        assert first["contract"].startswith("/MES")
        assert first["last_price"] == second["last_price"] > 0
        assert run.sent("LEVELONE_FUTURES") == ["/MES"]


# -- coming back


async def test_after_a_drop_it_subscribes_everything_and_reports_one_gap(simulator: SchwabSimulator) -> None:
    """A lost session is followed by a new one at once, with fresh ids, all subscriptions and one gap with its times."""
    async with run_of(simulator) as run:
        await run.streams()
        await run.until(lambda: len(run.published.events["ticks"]) >= 2)
        run.time.advance(7)
        simulator.heartbeat()
        heard = run.client.counts["connections"]
        await run.until(
            lambda: run.client._connection is not None and run.client._connection.received_at == 7
        )  # the heartbeat leaves no other trace
        run.time.advance(5)
        await simulator.drop_all(None)
        await run.streams(2)
        await run.until(lambda: all(each.fresh for each in run.client.market.instruments.values()))
        run.time.advance(1)
        await run.until(lambda: bool(run.published.announced("gap")))
        assert run.client.counts["connections"] == heard + 1
        (gap,) = run.published.announced("gap")
        assert gap["lost_at"] == int((START_S + 7) * 1000)
        assert gap["restored_at"] == int((START_S + 12) * 1000)
        assert gap["symbols"] == ["/MES:XCME", "/NQ:XCME"]
        logins = simulator.received.sent("ADMIN", "LOGIN")
        assert len(logins) == len({each["SchwabClientCorrelId"] for each in logins}) == 2
        assert run.sent("LEVELONE_FUTURES") == ["/MES,/NQ"] * 2
        assert [state for state in run.published.states() if state != "gap"] == [
            "connecting",
            "streaming",
            "waiting",
            "connecting",
            "streaming",
        ]


async def test_retries_are_immediate_once_then_back_off_within_their_bounds(simulator: SchwabSimulator) -> None:
    """The first retry comes at once, the next within growing, capped limits; no connection comes between."""
    async with run_of(simulator) as run:
        await run.streams()
        simulator.faults.drop_in_handshake = True
        await simulator.drop_all(None)
        delays, before = [], len(run.time.pauses)
        for attempt in range(9):
            await run.waits(attempt + 1)
            delay = run.published.announced("waiting")[-1]["retry_in_s"]
            delays.append(delay)
            run.time.advance(delay + 0.1)  # it is announced rounded
        assert delays[0] == 0
        assert all(delay >= 0.5 for delay in delays[1:])
        assert all(earlier < later for earlier, later in itertools.pairwise(delays[:6]))
        assert delays[1:] == sorted(delays[1:])
        assert max(delays) <= 60
        assert delays[-1] > 20
        kept = [round(pause, 1) for pause in run.time.pauses[before:]]
        assert [pause for pause in kept if pause in delays] == delays


async def test_a_server_that_accepts_and_drops_is_not_hammered(simulator: SchwabSimulator) -> None:
    """A session that streams but briefly does not reset the backoff."""
    async with run_of(simulator) as run:
        for attempt in range(4):
            await run.streams(attempt + 1)
            await simulator.drop_all(1001)
            await run.waits(attempt + 1)
            run.time.advance(run.published.announced("waiting")[-1]["retry_in_s"] + 0.1)  # it is announced rounded
        delays = [each["retry_in_s"] for each in run.published.announced("waiting")]
        assert delays[0] == 0
        assert all(first < second for first, second in itertools.pairwise(delays))


async def test_a_healthy_stretch_forgets_the_backoff(simulator: SchwabSimulator) -> None:
    """After a minute of streaming the next loss is followed by an immediate retry again."""
    async with run_of(simulator, heartbeat_timeout_s=1e6) as run:
        for attempt in range(2):
            await run.streams(attempt + 1)
            run.time.advance(61)
            await simulator.drop_all(1001)
            await run.waits(attempt + 1)
        assert [each["retry_in_s"] for each in run.published.announced("waiting")] == [0, 0]


async def test_silence_past_the_heartbeat_limit_is_a_lost_session(simulator: SchwabSimulator) -> None:
    """When not even heartbeats come for SCHWAB_HEARTBEAT_TIMEOUT_S, a new session is made."""
    simulator.faults.data = False
    simulator.faults.heartbeats = False
    async with run_of(simulator, heartbeat_timeout_s=0.3) as run:
        await run.streams()
        run.time.advance(0.4)
        await run.until(lambda: run.client.counts["connections"] == 2)
        assert "nothing arrived from the streamer for 0.3 s" in run.published.announced("waiting")[0]["reason"]


async def test_undecodable_frames_are_counted_and_the_stream_goes_on(simulator: SchwabSimulator) -> None:
    """Garbage is counted; what follows is published."""
    async with run_of(simulator) as run:
        await run.streams()
        for _ in range(3):
            simulator.push_frame("{garbage")
        simulator.push_data("LEVELONE_FUTURES", {"key": "/MES", "3": 4321.25})
        await run.until(lambda: any(each["last_price"] == 4321.25 for each in run.published.events["ticks"]))
        assert run.client.counts["undecodable"] == 3
        assert run.client.counts["connections"] == 1


# -- refusals


async def test_a_denied_login_is_met_with_one_refresh(simulator: SchwabSimulator) -> None:
    """Code 3 once: the token is refreshed once, and the next session, with the new token, streams."""
    simulator.faults.login_code = 3
    async with run_of(simulator) as run:
        await simulator.until(lambda sim: sim.received.refreshes == 1)
        simulator.faults.login_code = None
        await run.streams()
        tokens = [each["parameters"]["Authorization"] for each in simulator.received.sent("ADMIN", "LOGIN")]
        assert len(set(tokens)) == len(tokens) == 2
        assert simulator.received.refreshes == 1


async def test_a_login_denied_again_needs_a_person(simulator: SchwabSimulator) -> None:
    """Code 3 with a new token too: at the start that ends the run with LoginRequired, after one refresh."""
    simulator.faults.login_code = 3
    async with run_of(simulator) as run:
        error = await run.fails(LoginRequired)
        assert "schwabstream auth login" in str(error)
        assert simulator.received.refreshes == 1
        assert simulator.connections_total == 2


async def test_a_refused_refresh_while_running_waits_for_a_person_without_a_call(simulator: SchwabSimulator) -> None:
    """After streaming a refused refresh leaves Schwab alone until there is a new login; then the stream comes back."""
    async with run_of(simulator) as run:
        await run.streams()
        simulator.oauth.revoke_access()
        simulator.faults.token_error = "refresh_expired"
        await simulator.drop_all(None)
        await run.reaches(Status.LOGIN_REQUIRED)
        calls = len(simulator.received.requests), simulator.connections_total
        for _ in range(50):
            run.time.advance(2)
            await asyncio.sleep(0)
        assert (len(simulator.received.requests), simulator.connections_total) == calls
        simulator.faults.token_error = None
        run.auth.store.save(TokenSet.from_file(simulator.issue_token()))

        def streaming_again() -> bool:
            run.time.advance(2)
            return run.client.counts["entered streaming"] == 2

        await run.until(streaming_again)
        assert run.published.announced("login_required")


async def test_no_stored_login_ends_the_run_at_once(simulator: SchwabSimulator) -> None:
    """Without a login the run ends with LoginRequired and Schwab is not called."""
    async with run_of(simulator) as run:
        run.task.cancel()
        await asyncio.wait({run.task})
        run.auth.store.path.unlink()
        again = Run(simulator, run.auth, "/MES")
        await again.fails(LoginRequired)
        assert simulator.received.refreshes == 0
        assert simulator.connections_total == 0


async def test_an_eviction_is_not_fought(simulator: SchwabSimulator) -> None:
    """Code 12 while streaming: for five minutes nothing is tried, then one session again (protocol 3.8)."""
    async with run_of(simulator) as run:
        await run.streams()
        simulator.evict_all()
        await run.reaches(Status.EVICTED)
        (notice,) = run.published.announced("evicted")
        assert notice["retry_in_s"] == EVICTION_PAUSE_S
        run.time.advance(EVICTION_PAUSE_S - 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert simulator.connections_total == 1
        run.time.advance(1)
        await run.streams()
        assert simulator.connections_total == 2


async def test_an_eviction_at_the_start_ends_the_run(simulator: SchwabSimulator) -> None:
    """When the first login is refused with 12, the run ends with the reason."""
    simulator.faults.login_code = 12
    async with run_of(simulator) as run:
        error = await run.fails(Evicted)
        assert "another session" in str(error)


async def test_a_refused_service_is_reported_and_the_rest_streams(simulator: SchwabSimulator) -> None:
    """A refused service is reported per symbol in Schwab's words; the other services go on."""
    simulator.faults.command_codes = {"LEVELONE_FUTURES SUBS": 9}
    async with run_of(simulator, "/MES:XCME,AAPL") as run:
        await run.streams()
        await run.until(lambda: any(each["symbol"] == "AAPL" for each in run.published.events["ticks"]))
        assert any("LEVELONE_FUTURES" in why and "Unknown failure" in why for why in run.client.troubles()["/MES"])
        assert "AAPL" not in run.client.troubles()
        assert [each["symbol"] for each in run.published.announced("stale")][:1] == ["/MES:XCME"]


async def test_nothing_subscribed_at_the_start_ends_the_run(simulator: SchwabSimulator) -> None:
    """When Schwab takes no subscription at all, the run ends with Refused and Schwab's reason."""
    simulator.faults.command_codes = {"SUBS": 11}
    async with run_of(simulator, "AAPL") as run:
        error = await run.fails(Refused)
        assert "AAPL" in str(error)
        assert "Service not available" in str(error)


async def test_nothing_subscribed_later_waits(simulator: SchwabSimulator) -> None:
    """The same after a healthy start is a passing trouble: back off, go again."""
    async with run_of(simulator, "AAPL") as run:
        await run.streams()
        simulator.faults.command_codes = {"SUBS": 11}
        await simulator.drop_all(None)
        await run.until(lambda: len(run.published.announced("waiting")) == 2)
        simulator.faults.command_codes = {}
        run.time.advance(60)
        await run.until(lambda: run.client.counts["entered streaming"] == 2)


@pytest.mark.parametrize("code", [20, 30])
async def test_codes_that_end_a_session_lead_to_a_new_one(simulator: SchwabSimulator, code: int) -> None:
    """Unknown session (20) and stop (30) in answer to a command: a new session, at once."""
    simulator.faults.command_codes = {"SUBS": code}
    async with run_of(simulator) as run:
        await run.until(lambda: bool(run.published.announced("waiting")))
        simulator.faults.command_codes = {}
        run.time.advance(2)
        await run.streams()
        assert f"code {code}" in run.published.announced("waiting")[0]["reason"]


async def test_a_streamer_in_the_clear_is_refused(simulator: SchwabSimulator) -> None:
    """A userPreference naming a plain ws address out there ends the start; nothing is sent."""
    simulator.rest.socket_url = "ws://streamer.example/ws"
    async with run_of(simulator) as run:
        await run.fails(ProtocolError)
        assert simulator.received.commands == []


async def test_an_address_that_cannot_be_used_is_waited_out(simulator: SchwabSimulator) -> None:
    """Mid-run it is a state like any other trouble, and the stream comes back; at the start it ends the run."""
    good = simulator.rest.socket_url
    async with run_of(simulator) as run:
        await run.streams()
        simulator.rest.socket_url = "wss://h:abc/"
        await simulator.drop_all(None)
        await run.waits(2)
        assert "address cannot be used" in run.published.announced("waiting")[-1]["reason"]
        simulator.rest.socket_url = good
        run.time.advance(2)
        await run.streams(2)
    simulator.rest.socket_url = "wss://h:abc/"
    async with run_of(simulator) as run:
        await run.fails(ProtocolError)


# -- a part that crashes


class BrokenHours(SchwabAuthClient):
    """A bug where the market hours are asked for."""

    async def fetch_market_hours(self, markets: Any, date: date | None = None) -> dict[str, Any]:
        """Crash."""
        raise AssertionError("no such bug")


async def test_a_crash_beside_the_stream_is_seen_at_once_and_ends_nothing(simulator: SchwabSimulator) -> None:
    """A crash in the market hours' task is logged and announced; data flows on and the run ends cleanly."""
    with capture_logs() as logs:
        async with run_of(simulator, "AAPL", auth_kind=BrokenHours) as run:
            await run.until(lambda: "part_failed" in reminders(run))
            assert "market hours" in reminders(run)["part_failed"]
            (line,) = [line for line in logs if line["event"] == "a part of the run failed; the stream continues"]
            assert (line["log_level"], line["part"]) == ("error", "market hours")
            before = len(run.published.events["ticks"])
            simulator.step()
            await run.until(lambda: len(run.published.events["ticks"]) > before)
            await run.stopped()
            assert run.client.state is Status.STOPPED


# -- what the account may see


def reminders(run: Run) -> dict[str, str]:
    """The reminders about the account, by detail."""
    return {each["detail"]: each["reason"] for each in run.published.announced("streaming") if each.get("detail")}


@pytest.mark.parametrize(
    ("level2", "permission", "details"),
    [(True, "NP", set()), (False, "NP", {"no_level2"}), (True, None, {"no_market_data"})],
)
async def test_what_the_account_may_not_see_is_reported_once(
    simulator: SchwabSimulator, level2: bool, permission: str | None, details: set[str]
) -> None:
    """Missing permissions are a warning when streaming begins, with the remedy, and not again after a reconnect."""
    simulator.faults.level2_permission, simulator.faults.market_data_permission = level2, permission
    with capture_logs() as logs:
        async with run_of(simulator) as run:
            await run.streams()
            await simulator.drop_all(None)
            await run.streams(2)
            assert set(reminders(run)) == details
            assert all(run.client.counts[detail] == 1 for detail in details)
            warned = [line for line in logs if line.get("detail") in details]
            assert [line["log_level"] for line in warned] == ["warning"] * len(details)


async def test_delayed_quotes_are_reported_once_by_name(simulator: SchwabSimulator) -> None:
    """Symbols whose entries are marked as delayed are named in one warning per run."""
    simulator.faults.delayed = True
    async with run_of(simulator, "/MES:XCME,AAPL") as run:
        await run.streams()
        await run.until(lambda: len({each["symbol"] for each in run.published.events["ticks"]}) == 2)
        assert not reminders(run)
        run.time.advance(1)
        await run.until(lambda: bool(reminders(run)))
        assert "/MES:XCME, AAPL" in reminders(run)["delayed"]
        for _ in range(3):
            run.time.advance(1)
            await asyncio.sleep(0.01)
        assert run.client.counts["delayed"] == 1


# -- the start-up limit


@pytest.mark.parametrize("fault", ["login_unanswered", "black_hole"])
async def test_a_start_that_gets_nowhere_ends_within_its_limit(simulator: SchwabSimulator, fault: str) -> None:
    """Nothing subscribed by the limit: SchwabUnavailable with what was being waited for and the next step."""
    setattr(simulator.faults, fault, True)
    async with run_of(simulator) as run:
        await simulator.until(lambda sim: sim.streamer_connections == 1)
        run.time.advance(STARTUP_LIMIT_S - 0.1)
        await asyncio.sleep(0)
        assert not run.task.done()
        run.time.advance(0.1)
        error = await run.fails(SchwabUnavailable)
        assert f"within {STARTUP_LIMIT_S:g} s" in str(error)
        assert "SCHWAB_API_BASE_URL" in str(error)


async def test_the_limit_means_nothing_once_it_streamed(simulator: SchwabSimulator) -> None:
    """After the first subscribed session the run outlives every outage."""
    async with run_of(simulator, heartbeat_timeout_s=1e6) as run:
        await run.streams()
        simulator.faults.drop_in_handshake = True
        await simulator.drop_all(None)
        run.time.advance(10 * STARTUP_LIMIT_S)
        await run.reaches(Status.WAITING)
        assert not run.task.done()


# -- stopping


async def test_stopping_logs_out(simulator: SchwabSimulator) -> None:
    """While streaming, LOGOUT is the last command that Schwab receives, and the last status is stopped."""
    async with run_of(simulator) as run:
        await run.streams()
        await run.stopped()
        assert simulator.received.commands[-1]["command"] == "LOGOUT"
        assert run.published.states()[-1] == "stopped"
        assert run.published.announced("gap") == []
    await simulator.until(lambda sim: sim.streamer_connections == 0)


async def test_stopping_does_not_wait_for_a_streamer_that_ignores_logout(simulator: SchwabSimulator) -> None:
    """An unanswered LOGOUT costs its limit, no more."""
    simulator.faults.unanswered = {"LOGOUT"}
    async with run_of(simulator) as run:
        await run.streams()
        await run.stopped()
        assert simulator.received.commands[-1]["command"] == "LOGOUT"


def _silent_rest(simulator: SchwabSimulator) -> None:
    simulator.faults.rest_error = "silence"


def _slow_handshake(simulator: SchwabSimulator) -> None:
    simulator.faults.handshake_delay_s = 60


def _silent_login(simulator: SchwabSimulator) -> None:
    simulator.faults.login_unanswered = True


def _silent_commands(simulator: SchwabSimulator) -> None:
    simulator.faults.unanswered = {"SUBS"}


def _black_hole(simulator: SchwabSimulator) -> None:
    simulator.faults.black_hole = True


@pytest.mark.parametrize("fault", [_silent_rest, _slow_handshake, _silent_login, _silent_commands, _black_hole])
async def test_stopping_while_connecting_is_prompt(
    simulator: SchwabSimulator, fault: Callable[[SchwabSimulator], None]
) -> None:
    """Wherever the start hangs, a stop ends it in order."""
    fault(simulator)
    async with run_of(simulator) as run:
        await run.until(lambda: bool(simulator.received.commands or simulator.received.requests))
        await asyncio.sleep(0.05)
        await run.stopped()
        assert run.published.states() == ["connecting", "stopped"]


async def test_stopping_before_anything_began(simulator: SchwabSimulator) -> None:
    """Stopped before its first step, the run ends without a call."""
    async with run_of(simulator) as run:
        run.client.stop()
        await run.stopped()
        assert simulator.connections_total == 0


async def test_stopping_while_waiting_evicted_or_without_a_login_is_prompt(simulator: SchwabSimulator) -> None:
    """Pauses of any length end with the stop."""
    async with run_of(simulator) as run:
        await run.streams()
        simulator.faults.drop_in_handshake = True
        await simulator.drop_all(None)
        await run.until(lambda: len(run.published.announced("waiting")) == 2)
        await run.stopped()
    simulator.faults.reset()
    async with run_of(simulator) as run:
        await run.streams()
        simulator.evict_all()
        await run.reaches(Status.EVICTED)
        await run.stopped()
    async with run_of(simulator) as run:
        await run.streams()
        simulator.oauth.revoke_access()
        simulator.faults.token_error = "invalid_grant"
        await simulator.drop_all(None)
        await run.reaches(Status.LOGIN_REQUIRED)
        await run.stopped()
        assert run.published.states()[-1] == "stopped"


async def test_a_second_stop_changes_nothing(simulator: SchwabSimulator) -> None:
    """Stopping twice logs out once."""
    async with run_of(simulator) as run:
        await run.streams()
        run.client.stop()
        await run.stopped()
        assert len(simulator.received.sent("ADMIN", "LOGOUT")) == 1


async def test_every_status_is_passed_on(simulator: SchwabSimulator) -> None:
    """``on_status`` gets each StatusEvent that is published, those of other parts of the run included."""
    heard: list[str] = []
    async with run_of(simulator, on_status=lambda event: heard.append(event["state"])) as run:
        await run.streams()
        run.client.announcer.announce("dropped", "for the test", count=3)
        await run.stopped()
        assert heard[-3:] == ["streaming", "dropped", "stopped"]
        assert run.published.announced("dropped")[0]["count"] == 3
