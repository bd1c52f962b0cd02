"""The simulated market as sessions receive it: snapshots, changes, books and bars, spoiled on request."""

import datetime as dt
import math

import pytest

from schwabstream.simulator.statics import EASTERN
from tests.support.simulator_clients import EQUITIES, FUTURES, Lab


async def test_a_snapshot_comes_first_then_changes(lab: Lab) -> None:
    """The first entry has every wanted field and the asset; later ones only ``key`` and what changed; never field 0."""
    client = await lab.connect()
    assert await client.command(FUTURES, "SUBS", keys="/NQ", fields="0,1,2,3,34") == (0, "SUBS command succeeded")
    first = await client.entry(FUTURES)
    assert set(first) == {"key", "delayed", "assetMainType", "1", "2", "3", "34"}
    assert (first["key"], first["assetMainType"], first["34"]) == ("/NQ", "FUTURE", "/NQZ26")
    state = first
    for _ in range(50):
        lab.simulator.step()
    lab.simulator.push_data(FUTURES, {"key": "end"})
    changes = 0
    while (entry := await client.entry(FUTURES))["key"] != "end":
        assert set(entry) <= {"key", "1", "2", "3"}
        assert all(state[number] != value for number, value in entry.items() if number != "key")
        state = {**state, **entry}
        changes += 1
    assert 10 < changes <= 50


async def test_no_change_overtakes_a_snapshot(lab: Lab) -> None:
    """The first entry of a key is its snapshot, also in a fast market."""
    lab.faults.changes_per_s, lab.faults.snapshot_delay_s = 500, 0.05
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ", "0,1,2,3,34")
    assert (await client.entry(FUTURES))["34"] == "/NQZ26"
    assert "34" not in await client.entry(FUTURES)


async def test_equity_snapshots_name_subtype_and_cusip(lab: Lab) -> None:
    """Equities have assetSubType and cusip in the first entry, futures do not (protocol 3.5)."""
    client = await lab.connect()
    await client.subscribe(EQUITIES, "AAPL", "0,1,2,3")
    entry = await client.entry(EQUITIES)
    assert (entry["assetMainType"], entry["assetSubType"], entry["cusip"]) == ("EQUITY", "COE", "037833100")


# -- books and charts (protocol 4.6 to 4.8)


@pytest.mark.parametrize(("service", "key", "stranger"), [("NASDAQ_BOOK", "AAPL", "F"), ("NYSE_BOOK", "F", "AAPL")])
async def test_books_come_whole_from_the_listing_venue(lab: Lab, service: str, key: str, stranger: str) -> None:
    """A book is sent whole each time, with no asset fields; a share listed elsewhere is silent."""
    client = await lab.connect()
    assert await client.subscribe(service, f"{stranger},{key}", "0,1,2,3") == 0
    for _ in range(3):
        entry = await client.entry(service)
        assert set(entry) == {"key", "1", "2", "3"}
        assert entry["key"] == key
        assert len(entry["2"]) == len(entry["3"]) == 10
        lab.simulator.step()


async def test_futures_depth_is_a_switch(lab: Lab) -> None:
    """With ``futures_depth`` FUTURES_BOOK answers 0 and serves ten levels from the future's own exchange."""
    lab.faults.futures_depth = True
    client = await lab.connect()
    assert await client.subscribe("FUTURES_BOOK", "/NQ", "0,1,2,3") == 0
    entry = await client.entry("FUTURES_BOOK")
    assert len(entry["2"]) == 10
    assert entry["2"][0]["3"][0]["0"] == "XCME"


async def test_charts_send_each_minute_in_wire_layout(lab: Lab) -> None:
    """A finished minute comes once: futures start with its time, equities with the sequence (protocol 4.7)."""
    client = await lab.connect()
    await client.subscribe("CHART_FUTURES", "/NQ", "0,1,2,3,4,5,6")
    await client.subscribe("CHART_EQUITY", "AAPL", "0,1,2,3,4,5,6,7,8")
    start = int(lab.clock.now // 60 * 60_000)
    lab.simulator.step(30)
    lab.clock.now += 60
    lab.simulator.step()
    equity, future = await client.entry("CHART_EQUITY"), await client.entry("CHART_FUTURES")
    assert set(future) == {"key", "seq", "1", "2", "3", "4", "5", "6"}
    assert (future["key"], future["seq"], future["1"]) == ("/NQ", 1, start)
    assert future["3"] >= max(future["2"], future["5"]) >= min(future["2"], future["5"]) >= future["4"] > 20_000
    # 10:00 Eastern is three hours after 07:00.
    assert (equity["1"], equity["7"], equity["8"]) == (180, start, start // 86_400_000)
    assert equity["3"] >= max(equity["2"], equity["5"]) >= min(equity["2"], equity["5"]) >= equity["4"]
    assert equity["6"] > 0
    lab.simulator.step(30)
    lab.clock.now += 60
    lab.simulator.step()
    assert (await client.entry("CHART_FUTURES"))["seq"] == 2


async def test_the_roll_reaches_the_client(lab: Lab) -> None:
    """On roll day field 34 of a root changes while its key stays (trap T18)."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/MNQ", "0,34")
    assert (await client.entry(FUTURES))["34"] == "/MNQZ26"
    lab.clock.now = dt.datetime(2026, 12, 10, 10, tzinfo=EASTERN).timestamp()
    assert await client.entry(FUTURES) == {"key": "/MNQ", "34": "/MNQH27"}


async def test_options_and_forex_have_level_one(lab: Lab) -> None:
    """Options are numbered by their own table (bid is field 2), forex by its own."""
    client = await lab.connect()
    await client.subscribe("LEVELONE_OPTIONS", "AAPL  261218C00270000")
    option = await client.entry("LEVELONE_OPTIONS")
    assert (option["assetMainType"], option["20"], option["21"], option["22"]) == ("OPTION", 270.0, "C", "AAPL")
    assert option["cusip"] == ""
    assert option["2"] < option["3"]
    await client.subscribe("LEVELONE_FUTURES_OPTIONS", "./ESZ26C6900")
    future_option = await client.entry("LEVELONE_FUTURES_OPTIONS")
    assert (future_option["assetMainType"], future_option["24"]) == ("FUTURE_OPTION", "/ESZ26")
    assert future_option["1"] < future_option["2"]
    await client.subscribe("LEVELONE_FOREX", "EUR/USD")
    assert (await client.entry("LEVELONE_FOREX"))["assetMainType"] == "FOREX"


# -- faults of the data


async def test_muted_services_and_silent_keys(lab: Lab) -> None:
    """Acknowledged but without data, while the rest flows; unmuted, it flows again (trap T7)."""
    lab.faults.muted_services, lab.faults.silent_keys = {EQUITIES}, {"/NQ"}
    client = await lab.connect()
    await client.subscribe(EQUITIES, "AAPL")
    await client.subscribe(FUTURES, "/NQ,/ES")
    await client.entry(FUTURES)
    lab.simulator.step(3)
    lab.simulator.push_data(FUTURES, {"key": "end"})
    await client.until("data", lambda each: each["content"][0]["key"] == "end")
    assert client.keys_with_data() == {"/ES", "end"}
    lab.faults.reset()
    lab.simulator.step()
    await client.entry(EQUITIES)


async def test_the_frame_of_an_unknown_future_is_not_json(lab: Lab) -> None:
    """With the switch the U+FFFD frame of trap T5 comes instead of silence, for level-1 futures."""
    lab.faults.unknown_symbol_frame = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/GOOG")
    while isinstance(frame := client.frames[-1], dict):
        await client.receive()
    assert '"key":"/GOOG"' in frame
    assert '"1":�' in frame
    assert "Symbol not found" in frame


async def test_halted_and_closed_markets_stand_still(lab: Lab) -> None:
    """A halted key and a closed market show their status in the snapshot and do not move."""
    lab.faults.halted_keys = {"/NQ"}
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ,/ES", "0,1,3,10,22")
    message = await client.until("data")
    assert [entry["22"] for entry in message["content"]] == ["Halted", "Normal"]
    lab.simulator.step()
    assert [entry["key"] for entry in (await client.until("data"))["content"]] == ["/ES"]
    lab.faults.market_status = "Closed"
    lab.simulator.step()
    lab.simulator.push_data(FUTURES, {"key": "end"})
    assert (await client.entry(FUTURES))["key"] == "end"


async def test_delayed_data_is_marked(lab: Lab) -> None:
    """Without entitlement the snapshot is marked delayed."""
    lab.faults.delayed = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    assert (await client.entry(FUTURES))["delayed"] is True


async def test_frames_can_hold_several_services_or_single_entries(lab: Lab) -> None:
    """One data array with two services, or one entry a frame."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ,/ES")
    await client.subscribe(EQUITIES, "AAPL")
    await client.entry(EQUITIES)
    lab.faults.merge_services = True
    lab.simulator.step()
    frame = await client.receive()
    assert {each["service"] for each in frame["data"]} == {FUTURES, EQUITIES}
    lab.faults.merge_services, lab.faults.entries_per_frame = False, 1
    lab.simulator.step()
    for _ in range(3):
        frame = await client.receive()
        assert [len(each["content"]) for each in frame["data"]] == [1]


async def test_frames_can_be_spoiled(lab: Lab) -> None:
    """Garbage between frames, frames cut short, bare NaN, frames of half a megabyte: all on one socket that stays."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    lab.faults.garbage_share = 1
    lab.simulator.step()
    good, garbage = await client.receive(), await client.receive()
    assert good["data"][0]["service"] == FUTURES
    assert not isinstance(garbage, dict) or not garbage or garbage == {"data": [{"content": 7}]}
    lab.faults.garbage_share, lab.faults.truncate_share = 0, 1
    lab.simulator.step()
    assert isinstance(await client.receive(), str)
    lab.faults.truncate_share, lab.faults.nan_share = 0, 1
    await client.subscribe(FUTURES, "/ES", "0,1")
    entry = await client.entry(FUTURES)
    assert math.isnan(entry["1"])
    lab.faults.nan_share, lab.faults.padding_bytes = 0, 500_000
    lab.simulator.step()
    entry = await client.entry(FUTURES)
    assert len(entry["99"]) == 500_000


async def test_a_weekly_option_on_a_future_moves(lab: Lab) -> None:
    """A weekly option such as ``./E4DX26C6900`` has a snapshot, and its prices move like those of other services."""
    client = await lab.connect()
    await client.subscribe("LEVELONE_FUTURES_OPTIONS", "./E4DX26C6900")
    first = await client.entry("LEVELONE_FUTURES_OPTIONS")
    lab.simulator.step(20)
    changes = [await client.entry("LEVELONE_FUTURES_OPTIONS") for _ in range(20)]
    assert first["1"] < first["2"]
    assert len({each["1"] for each in changes if "1" in each}) > 3
    assert any("3" in each for each in changes)


async def test_an_option_follows_its_underlying(lab: Lab) -> None:
    """An option's underlying price is the underlying's last one, and its greeks change with it (protocol 4.3)."""
    client = await lab.connect()
    await client.subscribe(EQUITIES, "AAPL")
    share = await client.entry(EQUITIES)
    await client.subscribe("LEVELONE_OPTIONS", "AAPL  261218C00270000")
    option = dict(first := await client.entry("LEVELONE_OPTIONS"))
    for _ in range(20):
        lab.simulator.step()
        share |= await client.entry(EQUITIES)
        option |= await client.entry("LEVELONE_OPTIONS")
    assert first["35"] != option["35"] == share["3"]
    assert first["28"] != option["28"]
    assert option["11"] == pytest.approx(max(0, share["3"] - 270))
