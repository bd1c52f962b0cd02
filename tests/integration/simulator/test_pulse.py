"""The rates at which the simulated market moves."""

from tests.support.simulator_clients import FUTURES, Lab


async def test_the_market_moves_by_itself(lab: Lab) -> None:
    """With a rate, changes and books flow by themselves."""
    lab.faults.changes_per_s = lab.faults.books_per_s = 50
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.subscribe("NASDAQ_BOOK", "AAPL", "0,1,2,3")
    for _ in range(5):
        await client.entry(FUTURES)
        await client.entry("NASDAQ_BOOK")


async def test_thousands_of_single_entries_flow(lab: Lab) -> None:
    """Ten keys at 200 a second, one entry a frame: every frame has its one entry, and each key has its share."""
    lab.faults.changes_per_s, lab.faults.entries_per_frame = 200, 1
    client = await lab.connect()
    await client.subscribe(FUTURES, "/ES,/MES,/NQ,/MNQ,/RTY,/M2K,/YM,/MYM,/CL,/GC", "0,1,2,3,4,5,8,9,10,11")
    seen: dict[str, int] = {}
    for _ in range(2000):
        (entry,) = (await client.until("data"))["content"]
        seen[entry["key"]] = seen.get(entry["key"], 0) + 1
    assert len(seen) == 10
    assert min(seen.values()) > 150
