"""Recordings and the pipeline: what was live comes back the same, from the file and from a simulator serving it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from schwabstream.commands.export import export
from schwabstream.commands.replay import ReplayOptions, replay
from schwabstream.errors import ConfigurationError, Refused
from schwabstream.events import parse_event
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.recording.playback import Playback
from schwabstream.recording.reader import Recording
from schwabstream.report import StreamerReport
from tests.conftest import RedisServer
from tests.support.recordings import PRICES, T0, Collector, frames, played, write


def test_a_replay_into_redis_is_whole_and_in_order(file: Path, redis_server: RedisServer) -> None:
    """Every event is published once, as fast as possible, with streams; the report is marked as a simulation."""
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
    """Only events within the interval are published, merged with everything before it."""
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
    """Damage is named with its file, and the rest is replayed."""
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
