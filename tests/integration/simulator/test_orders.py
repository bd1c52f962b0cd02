"""Account activity as a raw client receives it (protocol 4.10)."""

import json
from typing import Any

from tests.support.simulator_clients import Lab, RawClient

SERVICE = "ACCT_ACTIVITY"


async def frame(client: RawClient) -> list[dict[str, Any]]:
    """The entries of the next frame."""
    message = await client.until("data", lambda each: each["service"] == SERVICE)
    return list(message["content"])


async def lives(client: RawClient, lab: Lab, steps: int) -> list[dict[str, Any]]:
    """The entries of that many steps, in order."""
    lab.simulator.step(steps)
    return [entry for _ in range(steps) for entry in await frame(client)]


async def test_the_first_message_is_subscribed(lab: Lab) -> None:
    """Right after code 0 comes SUBSCRIBED for the client's own key, with an account and without data."""
    client = await lab.connect()
    assert await client.subscribe(SERVICE, "my key", "0,1,2,3") == 0
    assert await frame(client) == [{"seq": 0, "key": "my key", "1": "70124185", "2": "SUBSCRIBED", "3": ""}]


async def test_only_the_first_key_counts_and_field_0_is_enough(lab: Lab) -> None:
    """Further keys are ignored without code 19, and every field comes whichever were asked for."""
    client = await lab.connect()
    assert await client.subscribe(SERVICE, "one,two", "0") == 0
    assert lab.simulator.subscribed(SERVICE) == ["one"]
    entry = (await frame(client))[0]
    assert (entry["key"], entry["2"]) == ("one", "SUBSCRIBED")


async def test_add_and_view_fail(lab: Lab) -> None:
    """The service accepts SUBS and UNSUBS only; after UNSUBS it is silent."""
    client = await lab.connect()
    assert await client.command(SERVICE, "ADD", keys="x", fields="0,1,2,3") == (24, "ADD command failed")
    assert await client.command(SERVICE, "VIEW", keys="x", fields="0,1,2,3") == (25, "VIEW command failed")
    assert await client.subscribe(SERVICE, "x", "0,1,2,3") == 0
    await frame(client)
    assert (await client.command(SERVICE, "UNSUBS", keys="x"))[0] == 0
    lab.simulator.step(3)
    await client.subscribe(SERVICE, "y", "0,1,2,3")
    assert [entry["key"] for entry in await frame(client)] == ["y"]


async def test_an_order_is_placed_routed_and_ends(lab: Lab) -> None:
    """Orders go through the recorded message types in order; ``seq`` counts every message of the session."""
    client = await lab.connect()
    await client.subscribe(SERVICE, "Account Activity", "0,1,2,3")
    entries = await frame(client) + await lives(client, lab, 30)
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    orders: dict[str, list[str]] = {}
    for entry in entries[1:]:
        data = json.loads(entry["3"])
        assert entry["2"] == data["BaseEvent"]["EventType"]
        orders.setdefault(data["SchwabOrderID"], []).append(entry["2"])
    placed = ["OrderCreated", "OrderAccepted", "ExecutionRequested"]
    routed = [*placed, "ExecutionRequestCreated", "ExecutionRequestCompleted"]
    rejected = ["CancelAccepted", "ExecutionRequested", "ExecutionRequestCompleted", "ExecutionCreated"]
    whole = list(orders.values())[:-1]
    assert {tuple(each) for each in whole} == {
        (*routed, "OrderFillCompleted"),
        (*routed, *rejected, "OrderUROutCompleted"),
    }


async def test_a_price_is_written_as_schwab_writes_it(lab: Lab) -> None:
    """An order's limit is the last price of its symbol in six decimals, a zero has no digits, an amount paid is odd."""
    client = await lab.connect()
    await client.subscribe("LEVELONE_EQUITIES", "AMD")
    last = (await client.entry("LEVELONE_EQUITIES"))["3"]
    await client.subscribe(SERVICE, "x", "0,1,2,3")
    await frame(client)
    lab.faults.muted_services = {"LEVELONE_EQUITIES"}
    created = json.loads((await lives(client, lab, 1))[0]["3"])
    order = created["BaseEvent"]["OrderCreatedEventEquityOrder"]["Order"]["Order"]["AssetOrderEquityOrderLeg"]
    limit = order["OrderInstruction"]["ExecutionStrategy"]["LimitExecutionStrategy"]["LimitPrice"]
    assert abs(int(limit["lo"]) / 1_000_000 - last) < 0.05
    assert limit["signScale"] == 12
    assert order["CommissionInfo"]["EstimatedCommissionAmount"] == {"signScale": 12}
    assert order["CommissionInfo"]["EstimatedPrincipalAmount"] == {"lo": limit["lo"], "signScale": 13}


async def test_planted_account_numbers_appear_where_schwab_has_them(lab: Lab) -> None:
    """Every account of the switch is used, in field 1 and in three places of a new order, beside the customer's id."""
    lab.faults.accounts = ["90000001", "90000002", "90000003"]
    client = await lab.connect()
    await client.subscribe(SERVICE, "x", "0,1,2,3")
    await frame(client)
    created = [entry for entry in await lives(client, lab, 20) if entry["2"] == "OrderCreated"]
    assert {entry["1"] for entry in created} == set(lab.faults.accounts)
    data = json.loads(created[0]["3"])
    order = data["BaseEvent"]["OrderCreatedEventEquityOrder"]["Order"]
    owner = order["Order"]["AccountInfo"]
    assert data["AccountNumber"] == order["AccountNumber"] == owner["AccountNumber"] == created[0]["1"]
    assert owner["OrderPlacementCustomerID"].isdigit()
