"""Simulator, login and streamer together on virtual time: hours of trouble in one process and milliseconds."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from structlog.testing import capture_logs

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.events import Channel
from schwabstream.market.trading_hours import Schedule
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.subscriptions import Wanted
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.queue.symbol_channels import SymbolChannels
from schwabstream.report import RedisReport
from schwabstream.settings import load_settings
from schwabstream.simulator import Faults, SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.virtual_time import START, VirtualLoop, VirtualTime, run_virtual
from tests.support.waiting import until


class Tape:
    """A publisher that keeps copies of what it is given, and numbers them as the real one does."""

    def __init__(self) -> None:
        self.events: list[tuple[Channel, dict[str, Any]]] = []

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Keep one event."""
        self.events.append((channel, dict(event)))

    def on(self, channel: Channel) -> list[dict[str, Any]]:
        """The events of one channel."""
        return [event for where, event in self.events if where is channel]

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """The StatusEvents so far."""
        return [event for channel, event in self.events if channel is Channel.STATUS]

    def announced(self, state: str) -> list[dict[str, Any]]:
        """The StatusEvents of one state."""
        return [event for event in self.statuses if event["state"] == state]

    def ticks(self, symbol: str) -> list[dict[str, Any]]:
        """The TickEvents of one symbol."""
        return [event for channel, event in self.events if channel is Channel.TICKS and event["symbol"] == symbol]

    def books(self, symbol: str) -> list[dict[str, Any]]:
        """The Level2Events of one symbol."""
        return [event for channel, event in self.events if channel is Channel.LEVEL2 and event["symbol"] == symbol]


class Stage:
    """One streamer at one simulated Schwab, with ``proxy`` between them when one was asked for."""

    def __init__(
        self,
        time: VirtualTime,
        simulator: SchwabSimulator,
        store: TokenStore,
        auth: SchwabAuthClient,
        client: SchwabStreamClient,
        tape: Tape,
        logs: list[MutableMapping[str, Any]],
        proxy: FaultProxy | None,
    ) -> None:
        self.time, self.simulator, self.store, self.auth, self.client = time, simulator, store, auth, client
        self.tape, self.logs, self._proxy = tape, logs, proxy
        self.run: asyncio.Task[None] | None = None

    @property
    def proxy(self) -> FaultProxy:
        """The proxy; the story must have asked for one."""
        assert self._proxy is not None
        return self._proxy

    def start(self) -> None:
        """Let the streamer run."""
        self.run = asyncio.create_task(self.client.run())

    async def streaming(self) -> None:
        """Start, and wait until everything is subscribed."""
        self.start()
        await self.until(self.client.ready.is_set, 9)

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait for a condition; returns the virtual seconds that took, fails after ``within_s``."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        def holds() -> bool:
            if condition():
                return True
            assert self.run is None or not self.run.done() or self.run.result() is None
            return False

        show = lambda: f"{self.client.state}, {self.tape.statuses[-3:]}"  # noqa: E731
        await until(holds, show=show, within_s=within_s, every_s=0.1)
        return loop.time() - began

    async def until_state(self, state: str, within_s: float) -> float:
        """Wait for the streamer to be in this state."""
        return await self.until(lambda: self.client.state == state, within_s)

    async def back(self, within_s: float = 200) -> None:
        """Wait until it streams again in a new session."""
        sessions = self.client.counts["entered streaming"]
        await self.until(lambda: self.client.counts["entered streaming"] > sessions, within_s)

    def log_in(self) -> None:
        """Do what a person does with ``schwabstream auth login`` in another terminal."""
        self.store.save(TokenSet.from_file(self.simulator.issue_token()))

    def logged(self, event: str) -> list[MutableMapping[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.logs if line["event"] == event]

    def most_connections_a_minute(self) -> int:
        """The most streamer connections that the simulator saw within any 60 s."""
        return most_within(self.simulator.received.connection_times, 60.0)

    def most_refreshes_a_minute(self) -> int:
        """The most token calls that the simulator saw within any 60 s."""
        calls = [seen.at for seen in self.simulator.received.requests if seen.path == "/v1/oauth/token"]
        return most_within(calls, 60.0)


def most_within(times: list[float], span_s: float) -> int:
    """How many of these ascending times lie within the fullest span."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


Story = Callable[[Stage], Coroutine[Any, Any, None]]


def play(
    story: Story,
    *symbols: str,
    faults: Faults | None = None,
    seed: int = 1,
    start: float = START,
    schedule: Schedule | None = None,
    keepalive_s: float = 60.0,
    pulse: bool = True,
    proxied: bool = False,
    auto_refresh: bool = False,
    nap_s: float = 0.0,
    services: Wanted | None = None,
) -> None:
    """Play a story on virtual time; whatever is left unhandled anywhere fails it.

    ``pulse`` lets the simulated market move by itself; without it hours are cheaper, and the story moves it. With
    ``nap_s`` the streamer looks after itself no more often than that, for stories of days.
    """
    loop = VirtualLoop()
    time = VirtualTime(loop, seed, start, nap_s=nap_s)

    async def on_stage() -> None:
        names = symbols or ("/MNQ:XCME",)
        stage_of = _staged(time, names, faults, seed, schedule, keepalive_s, proxied=proxied, services=services)
        async with stage_of as stage:
            if pulse:
                stage.simulator._pulse.start()  # private: __aenter__ starts both, a story wants the choice
            if auto_refresh:
                stage.auth.auto_refresh.start()
            await story(stage)

    random.seed(seed)  # tenacity's jitter
    run_virtual(on_stage(), loop)


@contextlib.asynccontextmanager
async def _staged(
    time: VirtualTime,
    symbols: tuple[str, ...],
    faults: Faults | None,
    seed: int,
    schedule: Schedule | None,
    keepalive_s: float,
    *,
    proxied: bool,
    services: Wanted | None = None,
) -> AsyncIterator[Stage]:
    simulator = SchwabSimulator(seed=seed, clock=time.wall, faults=faults)
    await simulator.start_listening()
    store = TokenStore(Path("tokens/token.json"), clock=time.wall)
    store.save(TokenSet.from_file(simulator.issue_token()))
    settings = load_settings(
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_api_base_url=simulator.base_url,
        schwab_token_path=store.path,
    )
    tape = Tape()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(simulator)
        logs = stack.enter_context(_logs())
        proxy = None
        if proxied:
            proxy = await stack.enter_async_context(fault_proxy(urlsplit(simulator.base_url).port or 0, seed))
            simulator.rest.socket_url = f"ws://127.0.0.1:{proxy.port}/ws"
        auth = await stack.enter_async_context(SchwabAuthClient(settings, store, clock=time.wall))
        parsed = parse_symbols(symbols, datetime.fromtimestamp(time.wall(), UTC).date())
        state = StreamState(parsed, tape.publish, schedule=schedule, clock=time.clock)
        state.also_subscribe(services or {})
        client = SchwabStreamClient(auth, state, keepalive_s=keepalive_s)
        stage = Stage(time, simulator, store, auth, client, tape, logs, proxy)
        try:
            yield stage
        finally:
            await _end(stage)


async def _end(stage: Stage) -> None:
    """Stop the streamer as a signal would, and see that it leaves nothing behind."""
    stage.client.stop()
    if stage.run is not None:
        await asyncio.wait({stage.run}, timeout=60)
        assert stage.run.done(), "the streamer did not stop"
        if not stage.run.cancelled():
            stage.run.exception()
    await stage.auth.close()


@contextlib.contextmanager
def _logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logs:
        yield logs


async def moving(stage: Stage, seconds: float, every_s: float = 5.0) -> None:
    """Let the simulated market move every few seconds for some time."""
    for _ in range(int(seconds / every_s)):
        await asyncio.sleep(every_s)
        stage.simulator.step()


def report(stage: Stage) -> Any:
    """The streamer's report of this moment."""
    reporter = Reporter(stage.client, _NoRedis(), wall=stage.time.wall)  # type: ignore[arg-type]  # no Redis on stage
    return reporter.report()


class _NoRedis:
    """The attributes of a publisher that a report reads."""

    published = queued = dropped = 0
    refusing: ClassVar[dict[str, bytes | None]] = {}
    symbol_channels = SymbolChannels({}, wanted=True)
    counts: ClassVar[Counter[str]] = Counter()
    round_trip_s = None
    redis = RedisReport()
