"""The REST calls that streaming needs: userPreference, quotes, market hours; 120 a minute (protocol 2)."""

import datetime as dt
import random
import uuid
from collections import deque
from typing import Any
from urllib.parse import unquote

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.hours import market_hours
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.oauth import OAuth
from schwabstream.simulator.quotes import quote_entry
from schwabstream.simulator.web import Query, Reply

_BLOCKS = frozenset({"all", "fundamental", "reference", "extended", "quote", "regular"})
_MARKETS = ("equity", "option", "bond", "future", "forex")


class Rest:
    """Answers authorized REST calls."""

    def __init__(self, oauth: OAuth, market: Market, faults: Faults, rng: random.Random) -> None:
        self._oauth, self._market, self._faults, self._rng = oauth, market, faults, rng
        self.customer_id = rng.randbytes(32).hex()
        self.socket_url = ""
        self._calls: deque[float] = deque()

    def answer(self, path: str, query: Query, authorization: str | None) -> Reply:
        """The answer to one GET; ``path`` still percent-encoded."""
        if error := self._faults.take_rest_error(path):
            return self._failure(error)
        if authorization is None:
            source = {"header": "Authorization"}
            return self._errors(400, "Bad Request", "Missing header", source)
        if not self._oauth.access_is_valid(authorization.removeprefix("Bearer ")):
            return self._failure("unauthorized")
        if self._over_limit():
            return Reply.failure("rate_limited", retry_after_s=self._faults.retry_after_s)
        reply = self._route(path, query)
        reply.headers["Schwab-Client-CorrelId"] = self._uuid()
        reply.headers["Schwab-Resource-Version"] = "1"
        return reply

    def _route(self, path: str, query: Query) -> Reply:
        match path.strip("/").split("/"):
            case ["trader", "v1", "userPreference"]:
                return Reply.json(self.user_preference())
            case ["marketdata", "v1", "quotes"]:
                return self._quotes(query)
            case ["marketdata", "v1", symbol, "quotes"]:
                return self._quote(unquote(symbol), query)
            case ["marketdata", "v1", "markets"]:
                return self._markets(query.get("markets", "").split(","), query)
            case ["marketdata", "v1", "markets", name]:
                return self._markets([name], query)
        return self._errors(404, "Not Found")

    def _uuid(self) -> str:
        return str(uuid.UUID(bytes=self._rng.randbytes(16), version=4))

    def _over_limit(self) -> bool:
        now = self._oauth.clock()
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) >= self._faults.requests_per_minute:
            return True
        self._calls.append(now)
        return False

    def _errors(self, status: int, title: str, detail: str = "", source: dict[str, str] | None = None) -> Reply:
        # The status is an int in a 401 and a string elsewhere (protocol 2.4).
        error: dict[str, Any] = {"id": self._uuid(), "status": status if status == 401 else str(status), "title": title}
        if detail:
            error["detail"] = detail
        if source:
            error["source"] = source
        return Reply.json({"errors": [error]}, status)

    def _failure(self, error: str) -> Reply:
        if error == "unauthorized":
            return self._errors(401, "Unauthorized", "Client not authorized")
        if error == "service_error":
            return Reply.json({"message": "Internal Server Error", "errors": ["try again later"]}, 500)
        return Reply.failure(error, retry_after_s=self._faults.retry_after_s)

    def user_preference(self) -> dict[str, Any]:
        """Accounts, streamer address and ids (a new correlation id each time), entitlements (protocol 2.1)."""
        offer: dict[str, Any] = {"level2Permissions": self._faults.level2_permission}
        if self._faults.market_data_permission is not None:
            offer["mktDataPermission"] = self._faults.market_data_permission
        accounts = [
            {
                "accountNumber": number,
                "primaryAccount": place == 0,
                "type": "BROKERAGE",
                "nickName": "Simulated",
                "displayAcctId": f"...{number[-3:]}",
                "autoPositionEffect": True,
                "accountColor": "Green",
            }
            for place, number in enumerate(self._faults.accounts)
        ]
        info = {
            "streamerSocketUrl": self.socket_url,
            "schwabClientCustomerId": self.customer_id,
            "schwabClientCorrelId": self._uuid(),
            "schwabClientChannel": "N9",
            "schwabClientFunctionId": "APIAPP",
        }
        return {"accounts": accounts, "streamerInfo": [info], "offers": [offer]}

    # -- quotes

    def _blocks(self, query: Query) -> frozenset[str] | None:
        asked = frozenset(filter(None, query.get("fields", "").split(",")))
        if not asked <= _BLOCKS:
            return None
        return _BLOCKS if not asked or "all" in asked else asked

    def _bad_fields(self) -> Reply:
        detail = "valid fields should be any of all,fundamental,reference,extended,quote,regular or empty value"
        return self._errors(400, "Bad Request", detail, {"parameter": "fields"})

    def _find(self, symbol: str) -> Quote | None:
        listed = self._faults.listed(symbol)
        return None if listed is None else self._market.quote(listed)

    def _quotes(self, query: Query) -> Reply:
        symbols = list(dict.fromkeys(filter(None, query.get("symbols", "").split(","))))
        blocks = self._blocks(query)
        if blocks is None:
            return self._bad_fields()
        if not symbols:
            return self._errors(400, "Bad Request", "Missing parameter", {"parameter": "symbols"})
        if len(symbols) > 500:
            return self._errors(400, "Bad Request", "Search combination should not exceed 500.")
        answer: dict[str, Any] = {}
        unknown = []
        for symbol in symbols:
            if (quote := self._find(symbol)) is None:
                unknown.append(symbol)
                continue
            key = self._answer_key(symbol, quote)
            answer[key] = quote_entry(key, quote, blocks, realtime=not self._faults.delayed)
        if unknown:
            answer["errors"] = {"invalidSymbols": unknown}
        return Reply.json(answer)

    def _answer_key(self, symbol: str, quote: Quote) -> str:
        """The key under which a quote is answered; for a futures root a switch decides (protocol 2.2)."""
        if quote.instrument.asset != "FUTURE" or symbol != quote.instrument.product:
            return symbol
        return quote.instrument.contract if self._faults.root_quote_key == "contract" else symbol

    def _quote(self, symbol: str, query: Query) -> Reply:
        blocks = self._blocks(query)
        if blocks is None:
            return self._bad_fields()
        # This path cannot hold the slash of a future (protocol 2.2).
        quote = None if symbol.startswith("/") else self._find(symbol)
        if quote is None:
            return self._errors(404, "Not Found")
        return Reply.json({symbol: quote_entry(symbol, quote, blocks, realtime=not self._faults.delayed)})

    # -- market hours

    def _markets(self, names: list[str], query: Query) -> Reply:
        try:
            day = dt.date.fromisoformat(query["date"]) if "date" in query else self._market.today()
        except ValueError:
            return self._errors(400, "Bad Request", "date must be yyyy-MM-dd", {"parameter": "date"})
        if not set(names) <= set(_MARKETS):
            return self._errors(
                400, "Bad Request", f"markets should be any of {','.join(_MARKETS)}", {"parameter": "markets"}
            )
        return Reply.json({name: market_hours(name, day, self._faults) for name in names})
