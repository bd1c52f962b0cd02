"""Calls Schwab's REST API with a valid access token.

Does not decide when a token is refreshed (``access``, ``auto_refresh``), and does not speak HTTP (``http``).
"""

import asyncio
import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from schwabstream.auth.access import AccessTokens
from schwabstream.auth.auto_refresh import AutoRefresh
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import LOG_IN
from schwabstream.errors import LoginRequired, ProtocolError
from schwabstream.protocol.session import StreamerLogin
from schwabstream.protocol.user_preference import Entitlements, read_entitlements, read_streamer_login
from schwabstream.settings import Settings

if TYPE_CHECKING:
    import httpx

_QUOTES_PER_CALL = 500  # protocol 2.2


class SchwabAuthClient(AccessTokens):
    """REST calls and streamer credentials for one login; use it as an async context manager.

    ``entitlements``: what the account may see, as of the last streamer login. Errors as for ``AccessTokens``.
    """

    def __init__(
        self,
        settings: Settings,
        store: TokenStore,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Check the app's credentials (``ConfigurationError``); nothing is read or connected yet."""
        super().__init__(settings, store, clock=clock, sleep=sleep)
        self.auto_refresh = AutoRefresh(self, clock=clock, sleep=sleep)
        self.entitlements: Entitlements | None = None

    async def close(self) -> None:
        """Stop the background refresh, write what could not be written before, and close the connections."""
        await self.auto_refresh.stop()
        await super().close()

    def refresh_paused(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a block within which nothing is refreshed in the background."""
        return self.auto_refresh.paused()

    async def fetch_user_preference(self) -> dict[str, Any]:
        """Return userPreference as sent (protocol 2.1); it holds account numbers."""
        content = await self._get(lambda schwab: schwab.get_user_preferences())
        return _object(content[0] if isinstance(content, list) and content else content)

    async def fetch_streamer_login(self) -> StreamerLogin:
        """Return what a streamer LOGIN needs, with a new correlation id each time (protocol 2.1)."""
        content = await self._get(lambda schwab: schwab.get_user_preferences())
        self.entitlements = read_entitlements(content)
        return read_streamer_login(content, (await self.token()).access_token, str(uuid.uuid4()))

    async def fetch_quotes(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return Schwab's quotes as sent, by the key Schwab answers with (protocol 2.2); any number of keys."""
        quotes: dict[str, Any] = {}
        for start in range(0, len(keys), _QUOTES_PER_CALL):
            quotes |= await self._fetch_some_quotes(list(keys[start : start + _QUOTES_PER_CALL]))
        return quotes

    async def _fetch_some_quotes(self, keys: list[str]) -> dict[str, Any]:
        return _object(await self._get(lambda schwab: schwab.get_quotes(keys)))

    async def fetch_market_hours(self, markets: Iterable[str], date: dt.date | None = None) -> dict[str, Any]:
        """Return the trading hours of ``equity``, ``option``, ``future``, ... as sent (protocol 2.3)."""
        names = list(markets)
        return _object(
            await self._get(
                lambda schwab: schwab.get_market_hours([schwab.MarketHours.Market(name) for name in names], date=date)
            )
        )

    async def _get(self, request: Callable[[Any], Awaitable["httpx.Response"]]) -> Any:
        tokens = await self.token()
        answer = await self._http.call(tokens.access_token, request)
        if not answer.accepted:
            # Schwab ends access tokens early now and then (protocol 1.3): a refreshed one works, or the user must act.
            tokens = await self.refresh_tokens(force=True, seen=tokens)
            answer = await self._http.call(tokens.access_token, request)
        if not answer.accepted:
            raise LoginRequired(
                "Schwab does not accept this login for market data: the app needs both products, Accounts and "
                f"Trading and Market Data (developer.schwab.com); then {LOG_IN}"
            )
        return answer.content


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ProtocolError("Schwab's answer is not a JSON object; if this persists, report it")
    return content
