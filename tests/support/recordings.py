"""Recordings of a simulated session, and what a client of one received."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.recording.playback import Numbering, Playback
from schwabstream.recording.reader import Recording
from schwabstream.recording.writer import recording_to
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient

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

    def content(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        """The events of one symbol, without the fields that depend on when they were published."""
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


def frames(*contents: dict[str, Any], service: str = "LEVELONE_FUTURES") -> Iterator[tuple[int, str]]:
    """Data frames, a tenth of a second apart."""
    for number, content in enumerate(contents):
        message = {"service": service, "timestamp": T0 // 1000, "command": "SUBS", "content": [content]}
        yield T0 + number * 100_000, orjson.dumps({"data": [message]}).decode()


def write(path: Path, contents: Sequence[dict[str, Any]], *, spread_us: int = 100_000) -> None:
    """Write a recording: one /NQ frame each, that far apart."""
    header = Header("1", ("/NQ:XCME",), ("LEVELONE_FUTURES",), "UTC", T0, part_us=T0)
    lines = [encode_header(header)]
    for number, (_, text) in enumerate(frames(*contents)):
        lines.append(encode_record(Record(T0 + number * spread_us, "in", text)))
    path.write_bytes(b"".join(lines))


PRICES = [{"key": "/NQ", "3": float(number)} for number in range(1, 2001)]
