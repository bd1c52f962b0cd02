"""Two streamers, one Redis and its readers on virtual time: what runs on an operator's machines, in one process.

Each streamer and each reader is a process of its own on a network in memory, with the real publisher, lease, reporter
and supervisor. A ``Ledger`` keeps what they publish and receive.
"""

import asyncio
import contextlib
import functools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.clock import Clock
from schwabstream.commands.run.drain import drain
from schwabstream.commands.run.standby import take_turns
from schwabstream.consumer import GroupReader, read_stream
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import Subscription
from schwabstream.errors import SchwabStreamError
from schwabstream.events import Channel
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.publishing.wanted import WishPoll
from schwabstream.settings import Settings, load_settings
from schwabstream.side_tasks import end, start_beside
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from tests.support.ledger import Heard, Ledger, Run
from tests.support.redis_model import RedisModel
from tests.support.virtual_network import NetworkLoop, Process
from tests.support.virtual_time import START

SYMBOLS = ("/MNQ:XCME", "AAPL")
PREFIX = "market_data"
RESTART_S = 5.0
"""A service manager starts a streamer that has ended with an error again."""
ACCOUNT = "customer"


class StreamerProcess:
    """A streamer that a service manager keeps running; ``run`` is its present run as the leader."""

    def __init__(self, deployment: "Deployment", name: str) -> None:
        self.name, self._deployment = name, deployment
        self.process = Process(name, deployment.loop.network)
        self.run: Run | None = None
        self.client: SchwabStreamClient | None = None
        self.lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None
        self._rng = random.Random(f"{deployment.seed} {name}")
        self._clock = Clock(deployment.wall, deployment.loop.time, asyncio.sleep, self._rng.random)

    def start(self) -> None:
        """Start the service."""
        self._task = self.process.start(self._serve())

    @property
    def crashed(self) -> BaseException | None:
        """What ended the service, which nothing should."""
        return self._task.exception() if self._task and self._task.done() and not self._task.cancelled() else None

    async def end(self) -> None:
        """End the service, whatever it is doing."""
        if self._task is not None:
            while not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=10)

    async def _serve(self) -> None:
        while True:
            try:
                await self._live()
            except SchwabStreamError as error:
                self._deployment.note(f"{self.name} ended: {error}")
            await asyncio.sleep(RESTART_S)

    async def _live(self) -> None:
        """One life of the process: wait for the lease, stream, and again."""
        deployment = self._deployment
        store = TokenStore(Path(f"tokens/{self.name}.json"), clock=deployment.wall)
        async with SchwabAuthClient(deployment.settings, store, clock=deployment.wall) as auth:
            lease = self.lease = Lease(deployment.redis_url, PREFIX, bits=self._rng.getrandbits, wall=deployment.wall)
            try:
                await lease.reach()
                deployment.excuse_leaders_on_their_way_back()
                lease.of_account(ACCOUNT)
                auth.auto_refresh.start()
                lead = functools.partial(self._lead, auth, lease)
                await take_turns(lease, lead, standby=True, take_over=False, stopping=lambda: False)
            finally:
                await lease.close()

    async def _lead(self, auth: SchwabAuthClient, lease: Lease, fence: Fence) -> None:
        deployment, clock = self._deployment, self._clock
        run = deployment.ledger.begin(self.name, deployment.loop.time())
        run.publisher = publisher = TradingEventPublisher(
            deployment.redis_url,
            prefix=PREFIX,
            fence=fence,
            tap=run.take,
            clock=clock,
            on_pressure=self._hold,
            on_loss=self._renew,
        )
        self.run = run
        try:
            await publisher.connect()
            stream = StreamState(deployment.symbols, publisher.publish, clock=clock)
            client = self.client = SchwabStreamClient(auth, stream, permit=functools.partial(lease.confirm, fence))
            reporter = Reporter(client, publisher, login=auth, wall=clock.wall)
            wishes = WishPoll(deployment.redis_url, PREFIX, client.wish, wall=clock.wall, cpu_s=lambda: 0.0)
            await self._stream(client, publisher, reporter, wishes)
        except BaseException as error:
            run.error = error
            raise
        finally:
            run.ended, self.run, self.client = deployment.loop.time(), None, None
            await publisher.close()

    def _renew(self, lost: int) -> None:
        if self.client is not None:
            self.client.market.renew(ticks=lost > 0)

    def _hold(self, held: bool) -> None:
        if self.client is not None:
            self.client.hold(held)

    async def _stream(
        self, client: SchwabStreamClient, publisher: TradingEventPublisher, reporter: Reporter, wishes: WishPoll
    ) -> None:
        """As ``commands.run.compose`` does."""
        streamer = asyncio.create_task(client.run(), name=f"{self.name}: streamer")
        writer = asyncio.create_task(publisher.run(), name=f"{self.name}: publisher")
        extras = [start_beside(reporter.run()), start_beside(wishes.run())]
        try:
            await asyncio.wait([streamer, writer], return_when=asyncio.FIRST_COMPLETED)
            client.stop()
            await streamer
        finally:
            await end(*extras)
            await drain(writer, publisher, reporter)
            streamer.cancel()
            await asyncio.wait([streamer])
        if not writer.cancelled():
            writer.result()


class Deployment:
    """Everything of one play; ``story`` lines tell what happened, with their times."""

    def __init__(self, loop: NetworkLoop, seed: int, simulator: SchwabSimulator, settings: Settings) -> None:
        self.loop, self.seed, self.simulator, self.settings = loop, seed, simulator, settings
        self.redis = RedisModel(loop.network, self.wall)
        self.redis_url = f"redis://127.0.0.1:{self.redis.port}/0"
        self.symbols = parse_symbols(SYMBOLS, datetime.fromtimestamp(self.wall(), UTC).date())
        self.ledger = Ledger()
        self.redis.on_command = self._take_commands
        self.story: list[str] = []
        self.streamers: dict[str, StreamerProcess] = {}
        self.hindered: defaultdict[str, list[float]] = defaultdict(list)
        self.readers: dict[str, Process] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.logs: list[MutableMapping[str, Any]] = []

    def wall(self) -> float:
        """Seconds since the epoch."""
        return START + self.loop.time()

    def note(self, words: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.loop.time():8.3f} {words}")

    def hinder(self, name: str) -> None:
        """Note that a streamer cannot do its work from now on, or until now."""
        self.hindered[name].append(self.loop.time())

    def excuse_leaders_on_their_way_back(self) -> None:
        """A streamer that is just starting may depose a leader that has not reached Redis again (docs/adr/0007)."""
        for each in self.streamers.values():
            if each.run is not None and each.run.publisher.outage:
                self.hinder(each.name)

    def _take_commands(self, commands: list[list[bytes]], replies: Any) -> None:
        for words, reply in zip(commands, replies, strict=True):
            if words[0] == b"XADD" and isinstance(reply, bytes):
                self.ledger.write(words[1], words[-1], self.loop.time())

    def add_streamer(self, name: str) -> StreamerProcess:
        """Start one more streamer, with the same login."""
        store = TokenStore(Path(f"tokens/{name}.json"), clock=self.wall)
        store.save(TokenSet.from_file(self.token))
        streamer = self.streamers[name] = StreamerProcess(self, name)
        streamer.start()
        return streamer

    @functools.cached_property
    def token(self) -> dict[str, Any]:
        """The login that all streamers use."""
        return self.simulator.issue_token()

    def kill(self, name: str, *, silently: bool) -> None:
        """Kill a streamer; one that is started later has a new name."""
        streamer = self.streamers.pop(name)
        if streamer.run:
            streamer.run.killed = True
        streamer.process.kill(silently=silently)
        self.tasks.append(asyncio.create_task(streamer.end()))

    def leader(self) -> StreamerProcess | None:
        """The streamer that leads and is connected to Redis, if there is exactly one."""
        leading = [each for each in self.streamers.values() if each.run and each.client and each.process.alive]
        return leading[0] if len(leading) == 1 else None

    def add_readers(self) -> None:
        """One reader of each kind."""
        for name, read in READERS.items():
            process = self.readers[name] = Process(name, self.loop.network)
            self.tasks.append(
                process.start(self._patient(name, functools.partial(read, self, self.ledger.heard[name])))
            )

    async def _patient(self, name: str, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except SchwabStreamError as error:
            self.note(f"{name} ended: {error}")
            self.ledger.heard[name].error = error

    async def trade(self, rng: random.Random) -> None:
        """Move the market until cancelled."""
        while True:
            await asyncio.sleep(rng.uniform(0.2, 1.5))
            self.simulator.step()

    async def close(self) -> None:
        """End every process."""
        for process in self.readers.values():
            process.resume()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        for streamer in self.streamers.values():
            streamer.process.resume()
            await streamer.end()


# -- readers


async def _subscribe(deployment: Deployment, heard: Heard) -> None:
    async with Subscription(ConflatingQueue(), redis_url=deployment.redis_url, prefix=PREFIX) as subscription:
        async for event in subscription:
            heard.take(event)


async def _subscribe_one(deployment: Deployment, heard: Heard) -> None:
    wanted = deployment.symbols[:1]
    queue = ConflatingQueue([each.alias for each in wanted], keys=[each.key for each in wanted])
    async with Subscription(queue, symbols=wanted, redis_url=deployment.redis_url, prefix=PREFIX) as subscription:
        async for event in subscription:
            heard.take(event)


async def _follow(deployment: Deployment, heard: Heard) -> None:
    entries = read_stream(Channel.TICKS, from_id="0", redis_url=deployment.redis_url, prefix=PREFIX)
    async with contextlib.aclosing(entries):
        async for entry in entries:
            heard.take(entry.event)


async def _work(deployment: Deployment, heard: Heard) -> None:
    group = GroupReader(Channel.TICKS, "workers", "one", redis_url=deployment.redis_url, prefix=PREFIX)
    async with group:
        async for entry in group:
            heard.take(entry.event)
            await group.acknowledge(entry.id)


READERS: dict[str, Callable[[Deployment, Heard], Awaitable[None]]] = {
    "subscriber": _subscribe,
    "subscriber of one": _subscribe_one,
    "stream reader": _follow,
    "group reader": _work,
}


@contextlib.asynccontextmanager
async def deployed(loop: NetworkLoop, seed: int) -> AsyncIterator[Deployment]:
    """Redis, Schwab, a leader, a standby and readers, for the length of the block."""
    wall = lambda: START + loop.time()  # noqa: E731
    simulator = SchwabSimulator(seed=seed, clock=wall)
    await simulator.start_listening()
    settings = load_settings(
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_api_base_url=simulator.base_url,
    )
    deployment = Deployment(loop, seed, simulator, settings)
    deployment.redis.start()
    with capture_logs() as deployment.logs:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(simulator)
            stack.push_async_callback(deployment.close)
            deployment.add_streamer("a")
            await asyncio.sleep(2)
            deployment.add_streamer("b")
            deployment.add_readers()
            yield deployment
