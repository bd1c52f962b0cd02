"""Authorized REST calls: who may call how often, and which module answers; 120 a minute (protocol 2)."""

import random
import uuid
from collections import deque
from typing import Any
from urllib.parse import unquote

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.market import Market
from schwabstream.simulator.oauth import OAuth
from schwabstream.simulator.rest import accounts, chains, history, hours, movers, quotes, search
from schwabstream.simulator.rest.query import RefusalError, not_found
from schwabstream.simulator.screeners import Screeners
from schwabstream.simulator.web import Query, Reply


class Rest:
    """Answers authorized REST calls."""

    def __init__(self, oauth: OAuth, market: Market, screeners: Screeners, faults: Faults, rng: random.Random) -> None:
        self._oauth, self._market, self._screeners = oauth, market, screeners
        self._faults, self._rng = faults, rng
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
        try:
            reply = Reply.json(self._route(path, query))
        except RefusalError as refusal:
            reply = self._errors(refusal.status, refusal.title, refusal.detail, refusal.source)
        reply.headers["Schwab-Client-CorrelId"] = self._uuid()
        reply.headers["Schwab-Resource-Version"] = "1"
        return reply

    def _route(self, path: str, query: Query) -> Any:
        match path.strip("/").split("/"):
            case ["trader", "v1", *rest]:
                return self._trader(rest)
            case ["marketdata", "v1", *rest]:
                return self._market_data([unquote(part) for part in rest], query)
        raise not_found()

    def _trader(self, path: list[str]) -> Any:
        match path:
            case ["userPreference"]:
                return accounts.user_preference(self._faults, self._streamer_info())
            case ["accounts", "accountNumbers"]:
                return accounts.account_numbers(self._faults)
        raise not_found()

    def _market_data(self, path: list[str], query: Query) -> Any:
        market, faults = self._market, self._faults
        match path:
            case ["quotes"]:
                return quotes.quotes(market, faults, query)
            case ["chains"]:
                return chains.chain(market, faults, query)
            case ["expirationchain"]:
                return chains.expiration_chain(market, faults, query)
            case ["pricehistory"]:
                return history.price_history(market, faults, query)
            case ["instruments"]:
                return search.instruments(market, faults, query)
            case ["markets"]:
                return hours.markets(market.today(), faults, query.get("markets", "").split(","), query)
        return self._one_of_many(path, query)

    def _one_of_many(self, path: list[str], query: Query) -> Any:
        """The calls whose path names an instrument, an index or a market."""
        market, faults = self._market, self._faults
        match path:
            case ["instruments", cusip]:
                return search.instrument_by_cusip(market, cusip)
            case ["movers", index]:
                return movers.movers(self._screeners, index, query)
            case ["markets", name]:
                return hours.markets(market.today(), faults, [name], query)
            case [symbol, "quotes"]:
                return quotes.quote(market, faults, symbol, query)
        raise not_found()

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

    def _streamer_info(self) -> dict[str, str]:
        """The streamer's address and ids; the correlation id is a new one each time."""
        return {
            "streamerSocketUrl": self.socket_url,
            "schwabClientCustomerId": self.customer_id,
            "schwabClientCorrelId": self._uuid(),
            "schwabClientChannel": "N9",
            "schwabClientFunctionId": "APIAPP",
        }
