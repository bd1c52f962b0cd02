"""Playing a recording back: the events equal those published live, and the file holds no secret."""

from pathlib import Path

import orjson
import pytest

from schwabstream.recording.compare import Comparison
from schwabstream.recording.reader import Recording
from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.recordings import played, streaming
from tests.support.waiting import until


@pytest.mark.parametrize("depth", [False, True])
async def test_a_replay_gives_the_live_events_again(file: Path, tmp_path: Path, depth: bool) -> None:
    """The events equal the live ones but for numbers, through reconnects, broken frames, aliases and books."""
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


@pytest.mark.parametrize("depth", [False, True])
async def test_symbols_that_were_added_while_recording_are_replayed(file: Path, tmp_path: Path, depth: bool) -> None:
    """Symbols that a running streamer took and released give their events again, under the names they were given."""
    faults = Faults(futures_depth=depth, changes_per_s=50, books_per_s=20)
    added = ("NVDA", "aapl", "/ES:XCME")
    async with SchwabSimulator(faults=faults) as simulator, streaming(simulator, tmp_path, file) as (client, live):
        await until(lambda: len(live.lines) > 100)
        client.wish(dict.fromkeys(added, "wanted"))
        await until(
            lambda: all(len(live.content(kind, symbol)) > 10 for kind in ("tick", "level2") for symbol in added)
        )
    golden = tmp_path / "golden.events"
    golden.write_bytes(b"\n".join(live.lines) + b"\n")
    comparison = Comparison(golden)
    for line in played(file):
        comparison.take(line)
    comparison.finish()
    assert comparison.difference is None, comparison.difference.explain()
    assert {event["source"] for event in live.content("level2", "/ES:XCME")} == ({"book"} if depth else {"top_of_book"})


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
