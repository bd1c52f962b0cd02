"""The book beside the quotes: read for one symbol at a time, and only while it is shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, cast

from schwabstream.errors import RedisUnavailable
from schwabstream.events import Event, Level2Event
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.terminal.shown_book import SETTLE_S, ShownBook
from schwabstream.terminal.watchlist import Quote, Watchlist
from tests.support.virtual_time import VirtualLoop, run_virtual

if TYPE_CHECKING:
    from schwabstream.consumer.subscription import Subscription


def book(symbol: str) -> Level2Event:
    """An empty book."""
    known = {"symbol": symbol, "key": symbol, "seq": 1, "timestamp": 1, "received_us": 1}
    return Level2Event.model_validate({**known, "service": "NASDAQ_BOOK", "source": "book", "bids": [], "asks": []})


class Books:
    """A Redis with a book of each symbol; ``open`` has the symbols that are being read, ``opened`` all that were."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.opened: list[str] = []
        self.away = False

    def subscribe(self, quote: Quote) -> "Subscription":
        """A subscription to the book of one quote."""
        return cast("Subscription", self._subscription(quote.symbol.key))

    @asynccontextmanager
    async def _subscription(self, key: str) -> AsyncIterator[AsyncIterator[Event]]:
        self.opened.append(key)
        if self.away:
            raise RedisUnavailable("away")
        self.open.append(key)
        try:
            yield self._events(key)
        finally:
            self.open.remove(key)

    async def _events(self, key: str) -> AsyncIterator[Event]:
        yield book(key)
        await asyncio.Event().wait()


def quotes() -> Watchlist:
    """Three symbols."""
    return Watchlist(parse_symbols(["A", "B", "C"], date(2026, 11, 21)))


def with_book(watchlist: Watchlist) -> list[str]:
    """The symbols that have a book."""
    return [quote.symbol.key for quote in watchlist.quotes if quote.book is not None]


def test_only_the_shown_book_is_read() -> None:
    """One subscription while a ladder is open, of its symbol; none before, after, or once the screen has closed."""

    async def main() -> None:
        books, watchlist = Books(), quotes()
        first, second, _ = watchlist.quotes
        async with ShownBook(books.subscribe, watchlist.take_book) as shown:
            assert books.open == []
            shown.show(first)
            await asyncio.sleep(1)
            assert books.open == ["A"]
            assert with_book(watchlist) == ["A"]
            shown.show(second)
            await asyncio.sleep(1)
            assert books.open == ["B"]
            assert with_book(watchlist) == ["B"]
            shown.show(None)
            await asyncio.sleep(1)
            assert books.open == []
            assert with_book(watchlist) == []
            shown.show(first)
            await asyncio.sleep(1)
        assert books.open == []

    run_virtual(main(), VirtualLoop())


def test_a_selection_that_passes_a_row_does_not_read_its_book() -> None:
    """Holding an arrow key opens no subscription for each row on the way."""

    async def main() -> None:
        books, watchlist = Books(), quotes()
        async with ShownBook(books.subscribe, watchlist.take_book) as shown:
            for quote in [*watchlist.quotes, *watchlist.quotes]:
                shown.show(quote)
                await asyncio.sleep(SETTLE_S / 3)
            await asyncio.sleep(1)
            assert books.opened == ["C"]

    run_virtual(main(), VirtualLoop())


def test_the_same_book_can_be_opened_again_at_once() -> None:
    """Closing the one before does not take the new one's data away."""

    async def main() -> None:
        books, watchlist = Books(), quotes()
        async with ShownBook(books.subscribe, watchlist.take_book) as shown:
            shown.show(watchlist.quotes[0])
            await asyncio.sleep(1)
            shown.show(None)
            shown.show(watchlist.quotes[0])
            await asyncio.sleep(1)
            assert books.open == ["A"]
            assert with_book(watchlist) == ["A"]

    run_virtual(main(), VirtualLoop())


def test_a_redis_that_is_away_is_tried_again() -> None:
    """The book comes when Redis is back; the screen itself reports the outage."""

    async def main() -> None:
        books, watchlist = Books(), quotes()
        books.away = True
        async with ShownBook(books.subscribe, watchlist.take_book) as shown:
            shown.show(watchlist.quotes[0])
            await asyncio.sleep(2.5)
            assert with_book(watchlist) == []
            books.away = False
            await asyncio.sleep(2.5)
            assert with_book(watchlist) == ["A"]

    run_virtual(main(), VirtualLoop())
