"""The screeners as a raw client receives them (protocol 4.9)."""

import pytest

from tests.support.simulator_clients import Lab

EQUITY, OPTION = "SCREENER_EQUITY", "SCREENER_OPTION"
FIELDS = "0,1,2,3,4"
ITEM = [
    *("symbol", "description", "lastPrice", "netChange", "netPercentChange"),
    *("marketShare", "totalVolume", "volume", "trades"),
]


@pytest.mark.parametrize(
    ("service", "key", "sort", "minutes"),
    [
        (EQUITY, "NASDAQ_VOLUME_30", "VOLUME", 30),
        (EQUITY, "EQUITY_ALL_TRADES_0", "TRADES", 0),
        (EQUITY, "NYSE_PERCENT_CHANGE_UP_5", "PERCENT_CHANGE_UP", 5),
        (EQUITY, "$COMPX_PERCENT_CHANGE_DOWN_60", "PERCENT_CHANGE_DOWN", 60),
        (EQUITY, "OTCBB_AVERAGE_PERCENT_VOLUME_10", "AVERAGE_PERCENT_VOLUME", 10),
        (OPTION, "OPTION_CALL_TRADES_30", "TRADES", 30),
        (OPTION, "OPTION_PUT_VOLUME_1", "VOLUME", 1),
        (OPTION, "OPTION_ALL_VOLUME_60", "VOLUME", 60),
    ],
)
async def test_the_first_list_follows_the_answer(lab: Lab, service: str, key: str, sort: str, minutes: int) -> None:
    """A key gets its list of ten right after code 0, with the fields and the items that were recorded."""
    client = await lab.connect()
    assert await client.subscribe(service, key, FIELDS) == 0
    entry = await client.entry(service)
    assert (entry["key"], entry["2"], entry["3"]) == (key, sort, minutes)
    assert 0 <= lab.clock.now * 1000 - entry["1"] < 2_000
    assert len(entry["4"]) == 10
    assert all(list(item) == ITEM for item in entry["4"])
    shares = [item["marketShare"] for item in entry["4"]]
    assert 0 < sum(shares) <= 100
    if sort in ("VOLUME", "TRADES"):
        assert shares == sorted(shares, reverse=True)
    if sort == "PERCENT_CHANGE_UP":
        changes = [item["netPercentChange"] for item in entry["4"]]
        assert changes == sorted(changes, reverse=True)


async def test_the_prices_are_those_of_level_1(lab: Lab) -> None:
    """An item has the price that level 1 and REST have for its symbol; its change is a fraction of the close."""
    client = await lab.connect()
    await client.subscribe(EQUITY, "NASDAQ_VOLUME_0", FIELDS)
    item = (await client.entry(EQUITY))["4"][0]
    await client.subscribe("LEVELONE_EQUITIES", item["symbol"])
    quote = await client.entry("LEVELONE_EQUITIES")
    assert (item["lastPrice"], item["netChange"], item["description"]) == (quote["3"], quote["18"], quote["15"])
    assert item["netPercentChange"] == pytest.approx(quote["18"] / quote["12"], abs=1e-7)
    assert item["volume"] == quote["8"]


async def test_options_are_named_as_recorded(lab: Lab) -> None:
    """An option's symbol has the padded root, its description the date and the strike in words."""
    client = await lab.connect()
    await client.subscribe(OPTION, "OPTION_CALL_VOLUME_0", FIELDS)
    for item in (await client.entry(OPTION))["4"]:
        root, strike = item["symbol"][:6], int(item["symbol"][13:]) / 1000
        assert item["symbol"][6:13] == "261120C"
        assert item["description"] == f"{root} Nov 20 2026 {strike} Call"


async def test_lists_are_sent_whole_again(lab: Lab) -> None:
    """An update repeats the whole list, with prices that have moved though no one follows them at level 1."""
    client = await lab.connect()
    await client.subscribe(EQUITY, "NASDAQ_VOLUME_0", FIELDS)
    first = await client.entry(EQUITY)
    lab.clock.now += 10
    lab.simulator.step(3)
    latest = [await client.entry(EQUITY) for _ in range(3)][-1]
    assert set(latest) == {"key", "1", "2", "3", "4"}
    assert latest["1"] == first["1"] + 10_000
    prices = [{item["symbol"]: item["lastPrice"] for item in entry["4"]} for entry in (first, latest)]
    assert prices[0] != prices[1]


async def test_an_unknown_key_is_acknowledged_and_stays_silent(lab: Lab) -> None:
    """Code 0 and nothing more; a SUBS with an unknown key still replaces the list (protocol 3.6)."""
    client = await lab.connect()
    await client.subscribe(EQUITY, "NASDAQ_VOLUME_0", FIELDS)
    for key in ("NASDAQ_VOLUME_7", "OPTION_CALL_TRADES_30", "AAPL", "$NDX_VOLUME_0"):
        assert await client.subscribe(EQUITY, key, FIELDS) == 0
    assert await client.subscribe(OPTION, "NASDAQ_VOLUME_0", FIELDS) == 0
    lab.simulator.step()
    await client.subscribe(EQUITY, "NYSE_VOLUME_0", FIELDS)
    await client.entry(EQUITY)
    assert client.keys_with_data() == {"NASDAQ_VOLUME_0", "NYSE_VOLUME_0"}


async def test_the_eleventh_key_is_discarded(lab: Lab) -> None:
    """Code 19 with the limit of ten and the number discarded; the first ten deliver, and ADD shares the limit."""
    client = await lab.connect()
    keys = [f"{market}_VOLUME_{minutes}" for market in ("NYSE", "NASDAQ") for minutes in (0, 1, 5, 10, 30, 60)]
    answer = await client.command(EQUITY, "SUBS", keys=",".join(keys[:11]), fields=FIELDS)
    assert answer == (19, "Symbol limit reached (SCREENER_EQUITY=10, DISCARDED=1)")
    assert lab.simulator.subscribed(EQUITY) == keys[:10]
    message = await client.until("data")
    assert [entry["key"] for entry in message["content"]] == keys[:10]
    assert (await client.command(EQUITY, "ADD", keys=keys[11], fields=FIELDS))[0] == 19
    assert await client.subscribe(OPTION, "OPTION_ALL_VOLUME_0", FIELDS) == 0
