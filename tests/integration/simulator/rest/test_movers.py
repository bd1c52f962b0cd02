"""Movers and account numbers over HTTP (protocol 2.1, 2.5)."""

import re

import pytest

from tests.support.simulator_clients import Web


async def test_movers_are_the_screener(web: Web) -> None:
    """The ten items of the streamer's screener; without parameters by volume over the whole day."""
    answer = await web.get("/marketdata/v1/movers/$DJI")
    explicit = await web.get("/marketdata/v1/movers/%24DJI", sort="VOLUME", frequency="0")
    items = answer.json()["screeners"]
    assert answer.json() == explicit.json()
    entry = web.simulator.screeners.entry("SCREENER_EQUITY", "$DJI_VOLUME_0")
    assert entry is not None
    assert items == entry["4"]
    assert len(items) == 10
    options = (await web.get("/marketdata/v1/movers/OPTION_PUT", sort="TRADES", frequency="30")).json()["screeners"]
    assert all(item["symbol"][12] == "P" for item in options)


@pytest.mark.parametrize(
    ("path", "query"),
    [("$NDX", {}), ("NYSE", {"sort": "AVERAGE_PERCENT_VOLUME"}), ("NYSE", {"frequency": "7"})],
)
async def test_wrong_parameters_are_refused(web: Web, path: str, query: dict[str, str]) -> None:
    """An index, a sort field or a frequency that Schwab does not have is a 400."""
    assert (await web.get(f"/marketdata/v1/movers/{path}", **query)).status_code == 400


async def test_account_numbers_have_hashes(web: Web) -> None:
    """Every account of the preferences with a hash of its own, which is the same at every call."""
    first = (await web.get("/trader/v1/accounts/accountNumbers")).json()
    assert (await web.get("/trader/v1/accounts/accountNumbers")).json() == first
    accounts = (await web.get("/trader/v1/userPreference")).json()["accounts"]
    assert [each["accountNumber"] for each in first] == [each["accountNumber"] for each in accounts]
    assert len({each["hashValue"] for each in first}) == len(first)
    assert all(re.fullmatch("[0-9A-F]{64}", each["hashValue"]) for each in first)
    assert (await web.client.get("/trader/v1/accounts/accountNumbers")).status_code == 400
