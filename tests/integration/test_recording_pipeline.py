"""Recordings and the pipeline: what was live comes back the same, from the file and from a simulator serving it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.export import export
from schwabstream.commands.record import RecordOptions, record
from schwabstream.commands.replay import ReplayOptions, replay
from schwabstream.commands.simulate import load_tape
from schwabstream.errors import ConfigurationError, Refused
from schwabstream.events import parse_event
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.recording.compare import Comparison
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.recording.playback import Numbering, Playback
from schwabstream.recording.reader import Recording
from schwabstream.recording.writer import recording_to
from schwabstream.report import StreamerReport
from schwabstream.settings import load_settings
from schwabstream.simulator import Faults, SchwabSimulator, Tape
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from tests.conftest import RedisServer
from tests.support.waiting import until

SYMBOLS = ["/NQ:XCME", "/MES:XCME", "/MES", "AAPL"]
T0 = 1_795_228_667_000_000


class Collector:
    """A publisher that encodes what it is given, as the real one does."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.publish = Numbering(lambda _channel, event: self.lines.append(orjson.dumps(event))).publish

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        events = [orjson.loads(line) for line in self.lines]
        return [event for event in events if event["type"] == kind]

    def told(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        """What was told of one symbol, without what depends on when it was told."""
        ours = ("seq", "received_us", "is_trade")
        events = (event for event in self.of(kind) if event["symbol"] == symbol)
        return [{name: value for name, value in event.items() if name not in ours} for event in events]


@contextlib.asynccontextmanager
async def streaming(
    simulator: SchwabSimulator, folder: Path, file: Path | None, symbols: Sequence[str] = SYMBOLS
) -> AsyncIterator[tuple[SchwabStreamClient, Collector]]:
    """A streamer at the simulator, recording into ``file``, subscribed when the block begins."""
    token_path = folder / "schwab_token.json"
    TokenStore(token_path).save(TokenSet.from_file(simulator.issue_token()))
    settings = load_settings(
        schwab_api_base_url=simulator.base_url,
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_token_path=token_path,
    )
    wanted = parse_symbols(symbols, date(2026, 11, 21))
    collector = Collector()
    async with SchwabAuthClient(settings, TokenStore(token_path)) as auth:
        with recording_to(file, None, wanted, simulated=True) as recorder:
            client = SchwabStreamClient(auth, StreamState(wanted, collector.publish), recorder=recorder, keepalive_s=0)
            run = asyncio.create_task(client.run())
            try:
                await asyncio.wait_for(client.ready.wait(), 15)
                yield client, collector
            finally:
                client.stop()
                await run


def played(*files: Path) -> list[bytes]:
    """The events of recordings played back."""
    collector = Collector()
    playback = Playback(collector.publish)
    for file in files:
        with Recording(file) as recording:
            for item in recording.items():
                playback.take(item)
            assert recording.problems == []
    return collector.lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where recordings go."""
    return tmp_path / "day.jsonl.zst"


@pytest.mark.parametrize("depth", [False, True])
async def test_a_replay_gives_the_live_events_again(file: Path, tmp_path: Path, depth: bool) -> None:
    """Byte for byte but for numbers: through reconnects, broken frames, aliases, books and the top of book."""
    faults = Faults(futures_depth=depth, changes_per_s=50, books_per_s=20, nan_share=0.1, truncate_share=0.02)
    async with SchwabSimulator(faults=faults) as simulator, streaming(simulator, tmp_path, file) as (client, live):
        await until(lambda: len(live.lines) > 300)
        await simulator.drop_all()
        await until(lambda: client.counts["entered streaming"] == 2)
        await until(lambda: len(live.lines) > 800)
    golden = tmp_path / "golden.events"
    golden.write_bytes(b"\n".join(live.lines) + b"\n")
    comparison = Comparison(golden)
    for line in played(file):
        comparison.take(line)
    comparison.finish()
    assert comparison.difference is None, comparison.difference.explain()
    assert comparison.events > 700
    sources = {event["source"] for event in live.of("level2") if event["symbol"].startswith("/")}
    assert sources == ({"book"} if depth else {"top_of_book"})


async def test_no_secret_reaches_the_file(file: Path, tmp_path: Path, simulator: SchwabSimulator) -> None:
    """Of a whole run with a reconnect: no access token, refresh token, customer id, correlation id or account data."""
    account = {"service": "ACCT_ACTIVITY", "content": [{"key": "x", "1": "account-98765432", "2": "OrderCreated"}]}
    async with streaming(simulator, tmp_path, file) as (client, _):
        simulator.push_frame(orjson.dumps({"data": [account]}).decode())
        await simulator.drop_all()
        await until(lambda: client.counts["entered streaming"] == 2)
    token = orjson.loads((tmp_path / "schwab_token.json").read_bytes())["token"]
    secrets = {token["access_token"], token["refresh_token"], simulator.customer_id, "account-98765432"}
    secrets |= {command["SchwabClientCorrelId"] for command in simulator.received.commands}
    assert len(secrets) >= 6
    with Recording(file) as recording:
        text = "\n".join(str(item) for item in recording.items())
    assert not [secret for secret in secrets if secret in text]
    assert text.count("LOGIN") >= 4


async def test_the_simulator_serves_a_recording(file: Path, tmp_path: Path) -> None:
    """A client of the simulator with a tape gets the ticks and books that were recorded, in order."""
    async with (
        SchwabSimulator(faults=Faults(changes_per_s=30, books_per_s=5)) as simulator,
        streaming(simulator, tmp_path, file) as (_, live),
    ):
        await until(lambda: len(live.lines) > 300)
    recorded = Collector()
    recorded.lines = played(file)
    then = {(kind, symbol): recorded.told(kind, symbol) for kind in ("tick", "level2") for symbol in SYMBOLS}
    tape = load_tape(file, speed=2.0)
    assert "FUTURES_BOOK" not in tape.services
    async with (
        SchwabSimulator(faults=Faults(futures_depth=True), tape=tape) as simulator,
        streaming(simulator, tmp_path, None) as (_, served),
    ):
        await until(lambda: all(served.told(*each)[-1:] == events[-1:] for each, events in then.items()))
    for each, events in then.items():
        # What came before a subscription was served is merged into its snapshot, and the first top of book tells how
        # things stood when depth was refused, which may be in the middle of the recording.
        now = served.told(*each)[1 if each[0] == "level2" else 0 :]
        assert now == events[-len(now) :], each
        assert len(now) > 0.5 * len(events) > 2, each


def frames(*contents: dict[str, Any], service: str = "LEVELONE_FUTURES") -> Iterator[tuple[int, str]]:
    """Data frames, a tenth of a second apart."""
    for number, content in enumerate(contents):
        message = {"service": service, "timestamp": T0 // 1000, "command": "SUBS", "content": [content]}
        yield T0 + number * 100_000, orjson.dumps({"data": [message]}).decode()


async def test_a_tape_gives_each_client_what_it_asked_for(tmp_path: Path) -> None:
    """Other keys are left out, broken frames go to all, and the loop begins again."""

    def reel() -> Iterator[tuple[int, str]]:
        yield from frames({"key": "/ES", "3": 1.0}, {"key": "/NQ", "3": 2.0, "1": 1.5})
        yield T0 + 200_000, '{"data":[{"broken'

    tape = Tape(reel, frozenset({"LEVELONE_FUTURES"}), speed=20, loop=True)
    async with (
        SchwabSimulator(tape=tape) as simulator,
        streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (client, served),
    ):
        await until(lambda: len(served.of("tick")) >= 3)
        await until(lambda: client.counts["undecodable"] >= 2)
        simulator.step()
    assert {event["symbol"] for event in served.of("tick")} == {"/NQ:XCME"}
    assert {event["last_price"] for event in served.of("tick")} == {2.0}


async def test_who_comes_late_gets_the_state_so_far(tmp_path: Path) -> None:
    """The tape began with somebody else; a new session's snapshot is what has been said by now."""
    tape = Tape(
        lambda: frames({"key": "/NQ", "3": 2.0, "1": 1.5}, {"key": "/NQ", "1": 1.75}),
        frozenset({"LEVELONE_FUTURES"}),
        speed=50,
    )
    async with SchwabSimulator(tape=tape) as simulator:
        async with streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (_, first):
            await until(lambda: len(first.of("tick")) == 2)
        async with streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (_, second):
            await until(lambda: second.of("tick"))
    assert [(event["last_price"], event["bid_price"]) for event in second.of("tick")] == [(2.0, 1.75)]


def write(path: Path, contents: Sequence[dict[str, Any]], *, spread_us: int = 100_000) -> None:
    """A recording by hand: one /NQ frame each, that far apart."""
    header = Header("1", ("/NQ:XCME",), ("LEVELONE_FUTURES",), "UTC", T0, part_us=T0)
    lines = [encode_header(header)]
    for number, (_, text) in enumerate(frames(*contents)):
        lines.append(encode_record(Record(T0 + number * spread_us, "in", text)))
    path.write_bytes(b"".join(lines))


PRICES = [{"key": "/NQ", "3": float(number)} for number in range(1, 2001)]


def test_a_replay_into_redis_is_whole_and_in_order(file: Path, redis_server: RedisServer) -> None:
    """Every event once, as fast as it goes, through publisher and streams; the report says that it was a replay."""
    write(file, PRICES)
    result = replay(ReplayOptions([file], speed=float("inf"), redis=redis_server.url))
    assert (result.events, result.complete) == (2000, True)
    entries: Any = redis_server.client.xrange("market_data:stream:ticks")
    ticks = [parse_event(fields["event"]) for _, fields in entries]
    assert [getattr(tick, "last_price", None) for tick in ticks] == [content["3"] for content in PRICES]
    assert [tick.seq for tick in ticks] == list(range(ticks[0].seq, ticks[0].seq + 2000))
    assert {tick.received_us for tick in ticks} == {T0 + number * 100_000 for number in range(2000)}
    report = StreamerReport.model_validate_json(str(redis_server.client.get("market_data:streamer")))
    assert (report.state, report.simulated) == ("stopped", True)
    assert replay(ReplayOptions([file], speed=float("inf"), redis=redis_server.url)).events == 2000


def test_old_prices_never_mix_with_a_streamers(file: Path, redis_server: RedisServer) -> None:
    """Where a streamer reports, a replay is refused."""
    write(file, PRICES[:1])
    report = StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=4711, host="here", version="1"
    ).model_dump_json()
    redis_server.client.set("market_data:streamer", report)
    with pytest.raises(Refused, match="process 4711"):
        replay(ReplayOptions([file], redis=redis_server.url))
    assert redis_server.client.xlen("market_data:stream:ticks") == 0


def test_from_and_to_cut_events_and_nothing_else(file: Path, tmp_path: Path) -> None:
    """Only what lies between is published, merged with all that came before."""
    write(file, [{"key": "/NQ", "14": 100.0, "3": 1.0}, *PRICES[1:100]])
    golden = tmp_path / "part.events"
    options = ReplayOptions([file], speed=float("inf"), since="+1s", until="+2s")
    collector = Collector()
    playback = Playback(collector.publish, from_us=T0 + 1_000_000)
    with Recording(file) as recording:
        for item in recording.items():
            if isinstance(item, Header) or item.at_us <= T0 + 2_000_000:
                playback.take(item)
    assert [orjson.loads(line)["last_price"] for line in collector.lines] == [float(n) for n in range(11, 22)]
    assert {orjson.loads(line)["close_price"] for line in collector.lines} == {100.0}
    golden.write_bytes(b"\n".join(collector.lines))
    result = replay(ReplayOptions(options.files, options.speed, options.since, options.until, check=golden))
    assert (result.events, result.difference) == (11, None)


def test_parts_are_replayed_in_order_whatever_order_they_are_named_in(tmp_path: Path) -> None:
    """Rotated files make one recording."""
    for part in (1, 2, 3):
        header = Header("1", ("/NQ:XCME",), (), "UTC", T0, part, T0 + part * 1_000_000)
        ((_, text),) = frames({"key": "/NQ", "3": float(part)})
        lines = [encode_header(header), encode_record(Record(T0 + part * 1_000_000, "in", text))]
        (tmp_path / f"{part}.jsonl").write_bytes(b"".join(lines))
    golden = tmp_path / "golden.events"
    golden.write_bytes(b"\n".join(played(*(tmp_path / f"{part}.jsonl" for part in (1, 2, 3)))))
    shuffled = [tmp_path / f"{part}.jsonl" for part in (3, 1, 2)]
    result = replay(ReplayOptions(shuffled, speed=float("inf"), check=golden))
    assert (result.events, result.difference) == (3, None)


def test_a_damaged_recording_is_replayed_as_far_as_it_goes(file: Path, tmp_path: Path) -> None:
    """What cannot be read is named with its file, and the rest is there."""
    write(file, PRICES[:3])
    file.write_bytes(file.read_bytes() + b'{"t":1')
    golden = tmp_path / "golden.events"
    golden.touch()
    result = replay(ReplayOptions([file], speed=float("inf"), check=golden))
    assert result.problems == []  # the comparison ended at the first difference, before the damage
    exported = export([file], "csv", tmp_path / "out")
    assert exported.problems == [f"{file}: the last line is cut off"]
    assert sorted(exported.rows.values()) == [0, 0, 3]


def test_checking_needs_an_end(file: Path) -> None:
    """A comparison that never ends is refused."""
    with pytest.raises(ConfigurationError, match="--check needs a replay that ends"):
        replay(ReplayOptions([file], loop=True, check=file))


def test_recording_beside_a_streamer_is_refused(
    file: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second login would end the running one: exit 6, naming the way that works."""
    report = StreamerReport(state="streaming", since=1, reported=1, started=1, pid=4711, host="here", version="1")
    redis_server.client.set("market_data:streamer", report.model_dump_json())
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("SCHWAB_CLIENT_ID", "x" * 32)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", "y" * 16)
    with pytest.raises(Refused, match="stream run --record FILE"):
        record(RecordOptions(file))
    assert not file.exists()


def test_recording_nothing_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without symbols there is nothing to record."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", ",")
    with pytest.raises(ConfigurationError, match="no symbols to record"):
        record(RecordOptions(file, simulate=True))


@pytest.mark.parametrize("form", ["parquet", "csv"])
async def test_an_export_holds_every_event(file: Path, tmp_path: Path, form: str) -> None:
    """Rows of ticks and bars as many as events, and one for each level of each book."""
    faults = Faults(changes_per_s=20, books_per_s=5)
    async with SchwabSimulator(faults=faults) as simulator, streaming(simulator, tmp_path, file) as (_, live):
        await until(lambda: len(live.lines) > 100)
    events = [orjson.loads(line) for line in played(file)]
    levels = sum(len(event["bids"]) + len(event["asks"]) for event in events if event["type"] == "level2")
    exported = export([file], form, tmp_path / "out")
    rows = {path.stem: count for path, count in exported.rows.items()}
    assert rows == {"ticks": sum(event["type"] == "tick" for event in events), "books": levels, "bars": 0}
    with pytest.raises(ConfigurationError, match="--force"):
        export([file], form, tmp_path / "out")
    assert export([file], form, tmp_path / "out", replace=True).rows == exported.rows


def test_exporting_to_something_else_is_refused(file: Path, tmp_path: Path) -> None:
    """The formats are named; a file in the place of the directory is told."""
    with pytest.raises(ConfigurationError, match="choose parquet or csv"):
        export([file], "xlsx", tmp_path)
    write(file, PRICES[:1])
    with pytest.raises(ConfigurationError, match="cannot write into"):
        export([file], "csv", file)
