"""One session over one WebSocket: what the streamer receives, how it ends, and that every end is reported."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.utils import accept_key

from schwabstream.errors import ConfigurationError, ProtocolError, SessionLost, SymbolError
from schwabstream.protocol.codec import Batch, Undecodable
from schwabstream.protocol.fields import Service
from schwabstream.protocol.session import (
    Answered,
    Ended,
    LoggedIn,
    LoginFailed,
    Outcome,
    State,
    StreamerLogin,
    StreamerProtocol,
)
from schwabstream.protocol.subscriptions import Command, Verb
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.connection import CLOSE_TIMEOUT_S, Connection, open_connection
from schwabstream.streaming.liveness import Silence
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.support.waiting import DEADLINE_S, until

FUTURES = Command(Verb.SUBS, Service.LEVELONE_FUTURES, ("/MES", "/MNQ"))
CHARTS = Command(Verb.SUBS, Service.CHART_FUTURES, ("/MES",))
EQUITIES = Command(Verb.SUBS, Service.LEVELONE_EQUITIES, ("AAPL",))


class Deliveries:
    """A sink that keeps everything, sends ``commands`` after the login and wakes the waiting test."""

    def __init__(self, session: StreamerProtocol, *commands: Command) -> None:
        self.session, self._commands = session, commands
        self.batches: list[tuple[Batch, int]] = []
        self.outcomes: list[Outcome] = []
        self.undecodable: list[Undecodable] = []

    def take_batch(self, batch: Batch, received_us: int) -> None:
        """Keep a batch."""
        self.batches.append((batch, received_us))

    def take_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes.append(outcome)
        if isinstance(outcome, LoggedIn):
            self.session.request(*self._commands)

    def take_undecodable(self, part: Undecodable) -> None:
        """Keep what was not understood."""
        self.undecodable.append(part)

    async def until(self, condition: Callable[["Deliveries"], bool]) -> None:
        """Wait for something to have been delivered."""
        await until(lambda: condition(self), show=lambda: (self.outcomes, self.batches, self.undecodable))


def login_of(simulator: SchwabSimulator, token: str | None = None) -> StreamerLogin:
    """A login the simulator takes, or one with another token."""
    return StreamerLogin(
        socket_url=f"{simulator.base_url.replace('http', 'ws', 1)}/ws",
        customer_id=simulator.customer_id,
        correl_id="6b1c6a2e-0000-4000-8000-000000000000",
        channel="N9",
        function_id="APIAPP",
        access_token=token or simulator.issue_token()["token"]["access_token"],
    )


@asynccontextmanager
async def opened(session: StreamerProtocol, url: str, **options: Any) -> AsyncIterator[Connection]:
    """A connection on the real clock; the whole block has a deadline."""
    settings: dict[str, Any] = {
        "monotonic": time.monotonic,
        "wall": time.time,
        "silence": Silence(DEADLINE_S),
        **options,
    }
    async with asyncio.timeout(DEADLINE_S), open_connection(session, url, **settings) as connection:
        yield connection


@asynccontextmanager
async def running(
    simulator: SchwabSimulator, *commands: Command, answer_timeout_s: float = DEADLINE_S, **options: Any
) -> AsyncIterator[tuple[Connection, Deliveries, "asyncio.Task[None]"]]:
    """A connection whose ``run`` is under way, with the commands asked for."""
    login = login_of(simulator)
    session = StreamerProtocol(login, answer_timeout_s=answer_timeout_s)
    sink = Deliveries(session, *commands)
    async with opened(session, login.socket_url, **options) as connection:
        task = asyncio.ensure_future(connection.run(sink))
        try:
            yield connection, sink, task
        finally:
            task.cancel()
            await asyncio.wait({task})


def login_to(url: str) -> StreamerLogin:
    """A login for a streamer that is not the simulator's."""
    return StreamerLogin(url, "c", "c", "N9", "APIAPP", "t")


async def _listen(socket: ServerConnection) -> None:
    await socket.wait_closed()


def sent_to(simulator: SchwabSimulator) -> list[str]:
    """The commands the simulator received, in order."""
    return [f"{each['service']} {each['command']}" for each in simulator.received.commands]


async def test_nothing_is_sent_before_the_login_is_answered(simulator: SchwabSimulator) -> None:
    """The streamer receives LOGIN alone until it has answered it, and commands only afterwards (protocol 3.3)."""
    simulator.faults.unanswered = {"LOGIN"}
    async with running(simulator, FUTURES) as (_, sink, _task):
        await simulator.until(lambda sim: bool(sim.received.commands))
        (request,) = simulator.received.commands
        assert sent_to(simulator) == ["ADMIN LOGIN"]
        assert sink.outcomes == []
        answer = {
            "response": [
                {
                    "service": "ADMIN",
                    "command": "LOGIN",
                    "requestid": request["requestid"],
                    "timestamp": 1,
                    "content": {"code": 0, "msg": "server=x;status=NP"},
                }
            ]
        }
        simulator.received.commands.clear()
        (session,) = [each.session for each in simulator._connections if each.session]  # not logged in: no public way
        session.socket.send(json.dumps(answer))
        await simulator.until(lambda sim: bool(sim.received.commands))
        assert sent_to(simulator) == ["LEVELONE_FUTURES SUBS"]


async def test_the_login_has_the_values_of_user_preference(simulator: SchwabSimulator) -> None:
    """LOGIN has the ids, the channel, the function and the bare token (protocol 3.3)."""
    async with running(simulator) as (_, sink, _task):
        await sink.until(lambda it: bool(it.outcomes))
        (request,) = simulator.received.commands
        assert request["SchwabClientCustomerId"] == simulator.customer_id
        parameters = request["parameters"]
        assert parameters["SchwabClientChannel"] == "N9"
        assert parameters["SchwabClientFunctionId"] == "APIAPP"
        assert parameters["Authorization"].startswith("I0.")
        assert isinstance(sink.outcomes[0], LoggedIn)


async def test_one_command_is_in_flight_as_the_streamer_sees_it(simulator: SchwabSimulator) -> None:
    """A streamer that refuses parallel commands and answers slowly refuses none of ours."""
    simulator.faults.serial_commands = True
    simulator.faults.command_delay_s = 0.02
    async with running(simulator, FUTURES, CHARTS, EQUITIES) as (_, sink, _task):
        await sink.until(lambda it: len(it.outcomes) == 4)
        answers = [each for each in sink.outcomes if isinstance(each, Answered)]
        assert [(each.command, each.ok) for each in answers] == [(FUTURES, True), (CHARTS, True), (EQUITIES, True)]
        assert sent_to(simulator)[1:] == ["LEVELONE_FUTURES SUBS", "CHART_FUTURES SUBS", "LEVELONE_EQUITIES SUBS"]


async def test_incoming_frames_are_delivered_with_their_time_and_counted(simulator: SchwabSimulator) -> None:
    """Batches come with the microsecond of their frame; bytes and the last frame's time are kept."""
    ticks = itertools.count(1)
    async with running(simulator, FUTURES, wall=lambda: 1_700_000_000.25, monotonic=lambda: float(next(ticks))) as (
        connection,
        sink,
        _task,
    ):
        await sink.until(lambda it: bool(it.batches))
        batch, received_us = sink.batches[0]
        assert batch.service == "LEVELONE_FUTURES"
        assert [entry["key"] for entry in batch.content] == ["/MES", "/MNQ"]
        assert received_us == 1_700_000_000_250_000
        assert connection.received_bytes > 500
        assert connection.received_at > 1


async def test_logout_is_sent_answered_and_ends_the_run(simulator: SchwabSimulator) -> None:
    """On logout the connection sends LOGOUT as its last command and ends by itself."""
    async with running(simulator, FUTURES) as (connection, sink, task):
        await sink.until(lambda it: bool(it.batches))
        connection.logout()
        await task
        assert sent_to(simulator)[-1] == "ADMIN LOGOUT"
        assert sink.outcomes[-1] == Ended(None, "SUCCESS")
    await simulator.until(lambda sim: sim.streamer_connections == 0)


async def test_a_logout_that_is_not_answered_ends_after_its_time(simulator: SchwabSimulator) -> None:
    """A streamer that ignores LOGOUT does not keep the connection."""
    simulator.faults.unanswered = {"LOGOUT"}
    async with running(simulator, answer_timeout_s=0.1) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        connection.logout()
        await task
        assert sent_to(simulator)[-1] == "ADMIN LOGOUT"
        assert sink.session.state is State.CLOSED


async def test_a_streamer_that_hangs_up_on_logout_ends_the_run_in_peace(simulator: SchwabSimulator) -> None:
    """A close instead of an answer to LOGOUT is what was asked for, not a loss."""
    simulator.faults.unanswered = {"LOGOUT"}
    async with running(simulator) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        connection.logout()
        await simulator.until(lambda sim: sent_to(sim)[-1] == "ADMIN LOGOUT")
        await simulator.drop_all(None)
        await task


async def test_a_logout_before_the_login_is_through_just_leaves(simulator: SchwabSimulator) -> None:
    """With no login to end, nothing is sent and the socket closes."""
    simulator.faults.unanswered = {"LOGIN"}
    async with running(simulator) as (connection, _sink, task):
        await simulator.until(lambda sim: bool(sim.received.commands))
        connection.logout()
        await task
        assert sent_to(simulator) == ["ADMIN LOGIN"]


async def test_silence_past_the_limit_is_a_lost_session(simulator: SchwabSimulator) -> None:
    """When nothing arrives for the limit, not even a heartbeat, the session counts as dead (protocol 3.4)."""
    simulator.faults.heartbeats = simulator.faults.data = False
    silence = Silence(0.15)
    async with running(simulator, silence=silence) as (_, _sink, task):
        with pytest.raises(SessionLost, match=r"nothing arrived from the streamer for 0\.15 s"):
            await task
    assert silence.limit_s == 0.3, "the next session may be silent for longer"


async def test_a_limit_that_becomes_shorter_holds_at_once(simulator: SchwabSimulator) -> None:
    """A session that waits under a long limit is measured by the shorter one as soon as data is owed."""
    simulator.faults.heartbeats = simulator.faults.data = False
    silence = Silence(0.15)
    for _ in range(8):
        silence.ended_a_session()
    async with running(simulator, silence=silence) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        connection.expect_data()
        assert silence.limit_s == 0.15
        with pytest.raises(SessionLost, match=r"nothing arrived from the streamer for 0\.15 s"):
            await task


async def test_heartbeats_alone_keep_a_session(simulator: SchwabSimulator) -> None:
    """Any frame counts as life: a quiet market with heartbeats outlives many silence limits."""
    simulator.faults.data = False
    simulator.faults.heartbeat_interval_s = 0.02
    async with running(simulator, FUTURES, silence=Silence(0.5)) as (connection, _sink, task):
        started = connection.received_at
        await until(lambda: connection.received_at >= started + 1.2 or task.done())
        assert not task.done()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
async def test_a_close_code_is_named(simulator: SchwabSimulator, code: int) -> None:
    """For any close code the session is lost and the message names it."""
    async with running(simulator) as (_, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        await simulator.drop_all(code)
        with pytest.raises(SessionLost, match=f"closed the connection .code {code}") as caught:
            await task
        assert caught.value.__cause__ is not None


async def test_an_end_without_a_close_frame_is_named(simulator: SchwabSimulator) -> None:
    """A reset, the usual end at Schwab, is named as such (protocol 3.1)."""
    async with running(simulator) as (_, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        await simulator.drop_all(None)
        with pytest.raises(SessionLost, match="no close frame"):
            await task


@pytest.mark.parametrize(
    ("fault", "value"),
    [("refuse", True), ("drop_in_handshake", True), ("handshake_status", 503), ("handshake_status", 302)],
)
async def test_a_handshake_that_fails_is_a_lost_session(simulator: SchwabSimulator, fault: str, value: Any) -> None:
    """Refused, reset or answered with something else: one error, which names the address."""
    setattr(simulator.faults, fault, value)
    login = login_of(simulator)
    with pytest.raises(SessionLost, match=f"cannot connect to the streamer at {login.socket_url}"):
        async with opened(StreamerProtocol(login), login.socket_url):
            pytest.fail("opened")


async def test_nobody_listening_is_a_lost_session(simulator: SchwabSimulator) -> None:
    """A closed port raises the same error as any failed connection."""
    login = login_of(simulator)
    await simulator.stop_listening()
    with pytest.raises(SessionLost, match="cannot connect to the streamer"):
        async with opened(StreamerProtocol(login), login.socket_url):
            pytest.fail("opened")


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "https://streamer.invalid/ws",
        "wss://h:abc/",
        "wss://h:99999/",
        "wss://[::1/",
        f"wss://{'x' * 64}.invalid/",
        "wss://a..b/",
        "wss://h\x00h/",
        "wss://\ud800/",
        "wss://h:1\x1b]0;owned\x07/",
    ],
)
async def test_an_address_that_cannot_be_used_is_a_protocol_error(url: str) -> None:
    """Any unusable address in userPreference is an error of ours without control characters."""
    with pytest.raises(ProtocolError, match="userPreference names a streamer whose address cannot be used") as caught:
        async with opened(StreamerProtocol(login_to(url)), url):
            pytest.fail("opened")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(simulator: SchwabSimulator, status: int) -> None:
    """A redirect of the handshake is not followed: LOGIN holds the access token."""
    elsewhere = f"{simulator.base_url.replace('http', 'ws', 1)}/ws"

    def redirect(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(HTTPStatus(status), "")
        response.headers["Location"] = elsewhere
        return response

    async with serve(_listen, "127.0.0.1", 0, process_request=redirect) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        with pytest.raises(SessionLost, match=f"HTTP {status}, a redirect, which is not followed"):
            async with opened(StreamerProtocol(login_to(url)), url):
                pytest.fail("opened")
    assert simulator.connections_total == 0
    assert simulator.received.paths() == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_loopback_is_reached_past_any_proxy(
    simulator: SchwabSimulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A proxy in the environment is for the world outside, not for this machine."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    async with running(simulator) as (_, sink, _task):
        await sink.until(lambda it: isinstance(it.outcomes[0], LoggedIn) if it.outcomes else False)


@pytest.mark.skipif(find_spec("python_socks") is not None, reason="with python-socks a SOCKS proxy can be used")
async def test_a_proxy_that_cannot_be_used_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy without its library is one sentence, not a traceback."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    login = StreamerLogin("wss://streamer.invalid/ws", "c", "c", "N9", "APIAPP", "t")
    with pytest.raises(ConfigurationError, match="the proxy in the environment cannot be used"):
        async with opened(StreamerProtocol(login), login.socket_url):
            pytest.fail("opened")


async def test_no_token_goes_over_the_network_in_the_clear() -> None:
    """A plain ws address anywhere but on loopback is refused before anything is sent."""
    login = StreamerLogin("ws://streamer.example/ws", "c", "c", "N9", "APIAPP", "t")
    with pytest.raises(ProtocolError, match="without encryption"):
        async with opened(StreamerProtocol(login), login.socket_url):
            pytest.fail("opened")


async def test_a_denied_login_ends_the_run_with_its_outcome(simulator: SchwabSimulator) -> None:
    """Code 3 is an answer, not a loss: it is delivered, and the run ends."""
    login = login_of(simulator, "I0.stale@")
    session = StreamerProtocol(login)
    sink = Deliveries(session)
    async with opened(session, login.socket_url) as connection:
        await connection.run(sink)
    (outcome,) = sink.outcomes
    assert isinstance(outcome, LoginFailed)
    assert outcome.code == 3


async def test_a_login_that_is_never_answered_fails_after_its_time(simulator: SchwabSimulator) -> None:
    """A streamer that does not answer LOGIN gets its time and no more."""
    simulator.faults.unanswered = {"LOGIN"}
    async with running(simulator, answer_timeout_s=0.1) as (_, sink, task):
        await task
        assert sink.outcomes == [LoginFailed(None, "no answer within 0.1 s")]


async def test_a_command_that_is_never_answered_fails_alone(simulator: SchwabSimulator) -> None:
    """The next command goes out after the time of the first, and the session lives on."""
    simulator.faults.unanswered = {"LEVELONE_FUTURES"}
    async with running(simulator, FUTURES, CHARTS, answer_timeout_s=0.1) as (_, sink, task):
        await sink.until(lambda it: len(it.outcomes) == 3)
        answers = [each for each in sink.outcomes if isinstance(each, Answered)]
        assert [(each.command, each.code) for each in answers] == [(FUTURES, None), (CHARTS, 0)]
        assert not task.done()


@pytest.mark.parametrize(("act", "code"), [(SchwabSimulator.evict_all, 12), (SchwabSimulator.stop_all, 30)])
async def test_the_streamers_own_ends_are_delivered(
    simulator: SchwabSimulator, act: Callable[[SchwabSimulator], None], code: int
) -> None:
    """An eviction and a stop are outcomes with their code; the run ends without an error."""
    async with running(simulator) as (_, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        act(simulator)
        await task
        end = sink.outcomes[-1]
        assert isinstance(end, Ended)
        assert end.code == code


async def test_what_cannot_be_understood_is_delivered_and_the_stream_goes_on(simulator: SchwabSimulator) -> None:
    """Garbage costs one call to the sink; what follows it still arrives."""
    simulator.faults.data = False
    async with running(simulator, FUTURES) as (_, sink, task):
        await sink.until(lambda it: len(it.outcomes) == 2)
        simulator.push_frame("\x00\x01 no JSON")
        simulator.push_data("LEVELONE_FUTURES", {"key": "/MES", "3": 1.5})
        await sink.until(lambda it: bool(it.batches))
        assert len(sink.undecodable) == 1
        assert sink.batches[0][0].content == [{"key": "/MES", "3": 1.5}]
        assert not task.done()


async def test_a_large_frame_arrives_and_a_monstrous_one_ends_the_session(simulator: SchwabSimulator) -> None:
    """Half a megabyte is nothing special; above the bound the session is lost, memory is not."""
    simulator.faults.data = False
    async with running(simulator, FUTURES) as (_, sink, task):
        await sink.until(lambda it: len(it.outcomes) == 2)
        simulator.push_data("LEVELONE_FUTURES", {"key": "/MES", "99": "x" * 500_000})
        await sink.until(lambda it: bool(it.batches))
        simulator.push_frame('"' + "x" * (17 * 2**20) + '"')
        with pytest.raises(SessionLost, match="1009"):
            await task


class _Raising(Deliveries):
    """A sink that refuses what it gets."""

    def take_outcome(self, outcome: Outcome) -> None:
        """Refuse."""
        raise SymbolError("refused by the sink") from KeyError("cause")


@pytest.mark.parametrize("silent", [False, True])
async def test_an_error_of_the_sink_comes_out_as_it_is(simulator: SchwabSimulator, silent: bool) -> None:
    """An error of the sink, called by reader or writer, is raised with its cause and without a group around it."""
    if silent:
        simulator.faults.unanswered = {"LOGIN"}
    login = login_of(simulator)
    session = StreamerProtocol(login, answer_timeout_s=0.1)
    async with opened(session, login.socket_url) as connection:
        with pytest.raises(SymbolError, match="refused by the sink") as caught:
            await connection.run(_Raising(session))
    assert isinstance(caught.value.__cause__, KeyError)
    await simulator.until(lambda sim: sim.streamer_connections == 0)


async def test_cancelling_the_run_closes_the_socket(simulator: SchwabSimulator) -> None:
    """Cancelling the run raises the cancellation, and the streamer sees the socket closed."""
    async with running(simulator, FUTURES) as (_, sink, task):
        await sink.until(lambda it: bool(it.batches))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await simulator.until(lambda sim: sim.streamer_connections == 0)


async def test_a_cancellation_that_meets_an_answer_is_not_lost(simulator: SchwabSimulator) -> None:
    """Cancelled in the moment in which a frame arrives, the run still ends at once."""
    async with running(simulator) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        connection.request(FUTURES)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sink.outcomes


async def test_a_connection_is_used_once(simulator: SchwabSimulator) -> None:
    """Run again after its end, a connection does nothing: no second login goes out."""
    async with running(simulator) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        connection.logout()
        await task
        await connection.run(sink)
        assert sent_to(simulator) == ["ADMIN LOGIN", "ADMIN LOGOUT"]


async def test_no_compression_is_offered() -> None:
    """The handshake offers no extension: deflate through proxies breaks frames (trap T20)."""
    offers: list[str | None] = []

    async def greet(socket: ServerConnection) -> None:
        assert socket.request is not None
        offers.append(socket.request.headers.get("Sec-WebSocket-Extensions"))

    async with serve(greet, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        login = StreamerLogin(f"ws://127.0.0.1:{port}", "c", "c", "N9", "APIAPP", "t")
        session = StreamerProtocol(login)
        async with opened(session, login.socket_url) as connection:
            with pytest.raises(SessionLost):
                await connection.run(Deliveries(session))
    assert offers == [None]


@asynccontextmanager
async def says_at_once(*texts: str) -> AsyncIterator[str]:
    """The address of a streamer that answers the first frame with all these, in one segment, and stays connected."""

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        frames = [Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts]
        socket.transport.write(b"".join(frames))
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def tick(price: float) -> str:
    """A frame of level 1."""
    content = [{"key": "/MES", "3": price}]
    return json.dumps(
        {"data": [{"service": "LEVELONE_FUTURES", "timestamp": 1, "command": "SUBS", "content": content}]}
    )


EVICTION = json.dumps({"notify": [{"service": "ADMIN", "timestamp": 1, "content": {"code": 12, "msg": "CLOSE"}}]})


async def test_frames_of_one_segment_have_one_time() -> None:
    """The frames of one segment share their receive time."""
    seconds = itertools.count(1_700_000_000)
    async with says_at_once(tick(1.5), tick(2.5), "no JSON", tick(3.5)) as url:
        session = StreamerProtocol(StreamerLogin(url, "c", "c", "N9", "APIAPP", "t"))
        sink = Deliveries(session)
        async with opened(session, url, wall=lambda: float(next(seconds))) as connection:
            run = asyncio.ensure_future(connection.run(sink))
            await sink.until(lambda it: len(it.batches) == 3)
            assert [batch.content[0]["3"] for batch, _ in sink.batches] == [1.5, 2.5, 3.5]
            assert len({received_us for _, received_us in sink.batches}) == 1
            run.cancel()


@asynccontextmanager
async def says_on_demand() -> AsyncIterator[tuple[str, Callable[[str], Awaitable[None]]]]:
    """The address of a streamer, and a function that makes it send a frame once a client is connected."""
    met: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        met.set_result(socket)
        await socket.wait_closed()

    async def say(text: str) -> None:
        await (await met).send(text)

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", say


async def test_a_held_connection_takes_nothing_until_it_is_let_go() -> None:
    """Incoming frames stay in the socket while it is held, and are delivered afterwards."""
    async with says_on_demand() as (url, say):
        session = StreamerProtocol(StreamerLogin(url, "c", "c", "N9", "APIAPP", "t"))
        sink = Deliveries(session)
        async with opened(session, url) as connection:
            run = asyncio.ensure_future(connection.run(sink))
            await say(tick(1.5))
            await sink.until(lambda it: len(it.batches) == 1)
            connection.hold(True, limit_s=DEADLINE_S)
            await say(tick(2.5))
            await asyncio.sleep(0.05)  # nothing can be waited for where nothing may happen
            assert len(sink.batches) == 1
            connection.hold(False)
            await sink.until(lambda it: len(it.batches) == 2)
            run.cancel()


async def test_a_connection_is_never_held_for_long() -> None:
    """Schwab drops a slow reader, so a hold ends by itself."""
    async with says_on_demand() as (url, say):
        session = StreamerProtocol(StreamerLogin(url, "c", "c", "N9", "APIAPP", "t"))
        sink = Deliveries(session)
        async with opened(session, url) as connection:
            run = asyncio.ensure_future(connection.run(sink))
            connection.hold(True, limit_s=0.05)
            await say(tick(1.5))
            await sink.until(lambda it: len(it.batches) == 1)
            run.cancel()


async def test_nothing_is_delivered_after_the_end_of_the_session() -> None:
    """Frames behind an eviction, in the same segment, are not delivered; those before it are."""
    async with says_at_once(tick(1.5), EVICTION, tick(2.5)) as url:
        session = StreamerProtocol(StreamerLogin(url, "c", "c", "N9", "APIAPP", "t"))
        sink = Deliveries(session)
        async with opened(session, url) as connection:
            await connection.run(sink)
    assert [batch.content[0]["3"] for batch, _ in sink.batches] == [1.5]
    assert [each.code for each in sink.outcomes if isinstance(each, Ended)] == [12]


async def test_an_error_of_the_sink_ends_delivery_to_it(caplog: pytest.LogCaptureFixture) -> None:
    """After the sink has raised it gets nothing more, not even the rest of the segment; the event loop logs nothing."""
    async with says_at_once(EVICTION, tick(2.5)) as url:
        session = StreamerProtocol(StreamerLogin(url, "c", "c", "N9", "APIAPP", "t"))
        sink = _Raising(session)
        async with opened(session, url) as connection:
            with pytest.raises(SymbolError, match="refused by the sink"):
                await connection.run(sink)
    assert not sink.batches
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_sending_into_a_closed_socket_leaves_the_error_to_the_reader(simulator: SchwabSimulator) -> None:
    """When the streamer closes while a command is about to be sent, there is one error, with the close's reason."""
    async with running(simulator) as (connection, sink, task):
        await sink.until(lambda it: bool(it.outcomes))
        simulator.close_all(1001)
        connection.request(FUTURES)
        with pytest.raises(SessionLost, match="closed the connection"):
            await task


Greeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_peer(talk: Greeting) -> AsyncIterator[str]:
    """The address of a peer that accepts the handshake, receives LOGIN and then does as it pleases with the bytes."""
    met: list[asyncio.Task[Any] | None] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = [
            line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
        ]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )
        await reader.read(2)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.wait([task for task in met if task is not None])


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (b"\x88\x02\x03\xe8", "the streamer closed the connection .code 1000"),
        (b"\x83\x00", "this side closed the connection to the streamer .code 1002"),
        (b"\x81\x7f" + b"\x7f" * 8, "this side closed the connection to the streamer .code 1009"),
        (b"\x89\x00" * 5_000, "this side closed the connection to the streamer .code 1008"),
    ],
    ids=["close", "broken", "too large", "pings"],
)
def test_a_peer_that_ends_the_session_and_keeps_tcp_open_is_left_soon(last: bytes, why: str) -> None:
    """After a close frame, or one that breaks the protocol, the peer has a second to close the connection."""

    async def end_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(last)
        await _until_closed(reader)

    async def story() -> float:
        loop = asyncio.get_running_loop()
        async with raw_peer(end_it) as url:
            session = StreamerProtocol(login_to(url), answer_timeout_s=100)
            clock: dict[str, Any] = {"monotonic": loop.time, "wall": loop.time, "silence": Silence(100.0)}
            began = loop.time()
            with pytest.raises(SessionLost, match=why):
                async with open_connection(session, url, **clock) as connection:
                    await connection.run(Deliveries(session))
            return loop.time() - began

    assert run_virtual(story(), VirtualLoop()) <= CLOSE_TIMEOUT_S


def test_a_peer_that_reads_nothing_holds_up_no_end() -> None:
    """A connection that is given up is closed within its second, whatever is still to be sent."""

    async def ignore(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async def story() -> float:
        loop = asyncio.get_running_loop()
        async with raw_peer(ignore) as url:
            session = StreamerProtocol(
                StreamerLogin(url, "c", "c", "N9", "APIAPP", "t" * 20 * 2**20), answer_timeout_s=100
            )
            clock: dict[str, Any] = {"monotonic": loop.time, "wall": loop.time, "silence": Silence(100.0)}
            async with open_connection(session, url, **clock) as connection:
                run = asyncio.ensure_future(connection.run(Deliveries(session)))
                await asyncio.sleep(5)
                run.cancel()
                await asyncio.wait({run})
                assert run.cancelled()
                began = loop.time()
            over.set()
            return loop.time() - began

    over = asyncio.Event()
    assert run_virtual(story(), VirtualLoop()) <= CLOSE_TIMEOUT_S


def test_pongs_that_nobody_reads_fill_no_memory() -> None:
    """A peer that pings and never reads is left when too much waits to be sent to it."""

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pings = (b"\x89\x7d".ljust(127, b"x") + b"\x81\x7e\x01\x2c".ljust(304, b"x")) * 150
        for _ in range(96 * 2**20 // len(pings)):  # more than both kernel buffers take; while it comes no time passes
            writer.write(pings)
            await writer.drain()
        await over.wait()

    async def story() -> float:
        loop = asyncio.get_running_loop()
        async with raw_peer(flood) as url:
            session = StreamerProtocol(login_to(url), answer_timeout_s=100)
            clock: dict[str, Any] = {"monotonic": loop.time, "wall": loop.time, "silence": Silence(100.0)}
            async with open_connection(session, url, **clock) as connection:
                with pytest.raises(SessionLost, match="code 1008, pongs are not read"):
                    await connection.run(Deliveries(session))
            over.set()
            return loop.time()

    over = asyncio.Event()
    assert run_virtual(story(), VirtualLoop()) <= CLOSE_TIMEOUT_S
