"""A program for schwab-py and schwaby, run by itself: every streamer service, and the REST calls that need no account.

Arguments: the library's name, the simulator's address, a token file, the app's key and secret. Prints JSON: the first
entries of each service, and the answers.
"""

import asyncio
import importlib
import json
import sys
from typing import Any

SERVICES = {
    "level_one_equity": ("LEVELONE_EQUITIES", ["AAPL"]),
    "level_one_option": ("LEVELONE_OPTIONS", ["AAPL  271217C00270000"]),
    "level_one_futures": ("LEVELONE_FUTURES", ["/NQ"]),
    "level_one_futures_options": ("LEVELONE_FUTURES_OPTIONS", ["./ESZ27C6900"]),
    "level_one_forex": ("LEVELONE_FOREX", ["EUR/USD"]),
    "nyse_book": ("NYSE_BOOK", ["F"]),
    "nasdaq_book": ("NASDAQ_BOOK", ["AAPL"]),
    "options_book": ("OPTIONS_BOOK", ["AAPL  271217C00270000"]),
    "chart_equity": ("CHART_EQUITY", ["AAPL"]),
    "chart_futures": ("CHART_FUTURES", ["/NQ"]),
    "screener_equity": ("SCREENER_EQUITY", ["NASDAQ_VOLUME_30"]),
    "screener_option": ("SCREENER_OPTION", ["OPTION_CALL_TRADES_30"]),
}
ENTRIES = 2
"""How many entries of each service to wait for: a snapshot or first list, and an update."""


async def stream(streaming: Any, client: Any) -> dict[str, list[Any]]:
    """Subscribe to everything, and read until every service has delivered."""
    it = streaming.StreamClient(client)
    entries: dict[str, list[Any]] = {service: [] for service, _ in SERVICES.values()} | {"ACCT_ACTIVITY": []}

    def keep(message: dict[str, Any]) -> None:
        entries[message["service"]] += message["content"]

    await it.login()
    for name, (_, keys) in SERVICES.items():
        getattr(it, f"add_{name}_handler")(keep)
        await getattr(it, f"{name}_subs")(keys)
    it.add_account_activity_handler(keep)
    await it.account_activity_sub()
    while min(map(len, entries.values())) < ENTRIES:
        await it.handle_message()
    await it.logout()
    return {service: found[:ENTRIES] for service, found in entries.items()}


async def ask(client: Any) -> dict[str, Any]:
    """The answer of each REST call, which must succeed."""
    calls = {
        "numbers": client.get_account_numbers(),
        "preferences": client.get_user_preferences(),
        "quotes": client.get_quotes(["AAPL", "/NQ"]),
        "quote": client.get_quote("AAPL"),
        "minutes": client.get_price_history_every_thirty_minutes("AAPL"),
        "days": client.get_price_history_every_day("AAPL"),
        "chain": client.get_option_chain("AAPL", strike_count=2, include_underlying_quote=True),
        "expirations": client.get_option_expiration_chain("AAPL"),
        "movers": client.get_movers(client.Movers.Index.DJI, sort_order=client.Movers.SortOrder.VOLUME),
        "hours": client.get_market_hours([client.MarketHours.Market.EQUITY]),
        "instruments": client.get_instruments(["AAPL"], client.Instrument.Projection.FUNDAMENTAL),
        "cusip": client.get_instrument_by_cusip("037833100"),
    }
    answers = {}
    for name, call in calls.items():
        answer = await call
        answer.raise_for_status()
        answers[name] = answer.json()
    return answers


async def main(library: str, address: str, token_file: str, *app: str) -> None:
    """Point the library at the simulator, and print what it got."""
    auth, streaming = (importlib.import_module(f"{library}.{name}") for name in ("auth", "streaming"))
    client = auth.client_from_token_file(token_file, *app, asyncio=True)

    async def to_simulator(request: Any) -> None:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=int(address.rpartition(":")[2]))

    client.session.event_hooks = {"request": [to_simulator]}
    answers = await ask(client)
    sys.stdout.write(json.dumps({"entries": await stream(streaming, client), "answers": answers}))
    await client.close_async_session()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
