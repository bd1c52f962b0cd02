"""quote, book and the consumer against the simulator, a real Redis and a real streamer."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.child_streamer import own_stream
from schwabstream.consumer.subscription import Subscription
from schwabstream.errors import ConfigurationError, SchwabUnavailable
from schwabstream.events import Level2Event, StatusEvent, TickEvent
from schwabstream.market.rest_quotes import tick_of
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any


@pytest.fixture
def schwab(simulator: SchwabSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SchwabSimulator:
    """The simulator as the Schwab that every command here talks to, with a good login."""
    monkeypatch.setenv("SCHWAB_API_BASE_URL", simulator.base_url)
    monkeypatch.setenv("SCHWAB_CLIENT_ID", simulator.client_id)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", simulator.client_secret)
    path = tmp_path / "token.json"
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(path))
    TokenStore(path).save(TokenSet.from_file(simulator.issue_token()))
    return simulator


async def command(*arguments: str) -> tuple[int, str, str]:
    """Run a command in a pipe: exit code, output, messages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schwabstream", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, messages = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), messages.decode()


async def test_quote_without_a_streamer_asks_schwab_once(
    schwab: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no report in Redis the answer comes over REST, without symbols for the configured ones."""
    code, output, messages = await command("quote", "/MNQ:XCME", "AAPL", "--json", "--redis", redis_server.url)
    ticks = [TickEvent.model_validate_json(line) for line in output.splitlines()]
    assert code == 0
    assert [tick.symbol for tick in ticks] == ["/MNQ:XCME", "AAPL"]
    assert all(tick.last_price is not None and tick.last_price > 0 for tick in ticks)
    assert "no streamer is running" in messages
    monkeypatch.setenv("SCHWAB_SYMBOLS", "AAPL,NVDA")
    table = await command("quote", "--redis", redis_server.url)
    assert [line.split()[0] for line in table[1].splitlines()[2:]] == ["AAPL", "NVDA"]


@pytest.mark.parametrize("answer", ["contract", "root"])
async def test_rest_quotes_of_roots(schwab: SchwabSimulator, answer: Literal["contract", "root"]) -> None:
    """The quote of a root is found under whichever key answers for it."""
    schwab.faults.root_quote_key = answer
    settings = load_settings()
    symbols = parse_symbols(["/MNQ:XCME", "NVDA"], date(2026, 11, 21))
    async with SchwabAuthClient(settings, TokenStore(settings.schwab_token_path)) as auth:
        quotes = await auth.fetch_quotes([symbol.key for symbol in symbols])
    assert [tick is not None for tick in (tick_of(symbol, quotes, 1) for symbol in symbols)] == [True, True]


async def test_book_without_a_streamer_opens_a_stream_of_its_own(
    schwab: SchwabSimulator, redis_server: RedisServer
) -> None:
    """The book comes from a stream that ends, logged out, with the command."""
    code, output, messages = await command("book", "NVDA", "--once", "--json", "--redis", redis_server.url)
    assert code == 0, messages
    book = Level2Event.model_validate_json(output)
    assert (book.symbol, book.source) == ("NVDA", "book")
    assert "starting one for this book" in messages


async def test_a_reader_of_a_real_streamer_sees_every_number(redis_server: RedisServer) -> None:
    """Against a running streamer every event validates, numbers have no hole, and the report is there."""
    seen: dict[str, list[int]] = defaultdict(list)
    async with own_stream(["/MNQ:XCME", "/MNQ", "NVDA"], redis_server.url, simulate=True) as stream:
        async with Subscription(redis_url=redis_server.url) as subscription, asyncio.timeout(60):
            async for event in subscription:
                stream.check()
                assert not isinstance(event, StatusEvent) or event.seq, event
                seen[event.type].append(event.seq)
                if len(seen["tick"]) > 40 and len(seen["level2"]) > 5:
                    break
            report = await subscription.fetch_report()
        assert subscription.queue.counts["invalid"] == 0
    for numbers in seen.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert report is not None
    assert {line.symbol for line in report.symbols} == {"/MNQ:XCME", "/MNQ", "NVDA"}


async def test_a_stream_of_its_own_that_fails_passes_its_error_on(redis_server: RedisServer) -> None:
    """An error of the child process is raised here with its exit code and message."""
    async with own_stream(["/MNQ"], redis_server.url, simulate=False) as stream:
        async with asyncio.timeout(DEADLINE_S):
            await stream.ended.wait()
        with pytest.raises(ConfigurationError, match="SCHWAB_CLIENT_ID"):
            stream.check()


async def test_any_valid_ticker_can_be_watched_without_an_account(redis_server: RedisServer) -> None:
    """A share that no catalogue lists has a simulated price too."""
    code, output, _ = await command("quote", "INTC", "--once", "--simulate", "--redis", redis_server.url)
    assert code == 0
    assert "INTC COMMON STOCK" in output


async def test_no_data_in_time_is_an_error(redis_server: RedisServer) -> None:
    """A symbol that never gets a book ends ``--once`` with exit 4 and the next step, not with an empty screen."""
    code, output, messages = await command("book", "ZZZZ", "--once", "--simulate", "--redis", redis_server.url)
    assert (code, output) == (SchwabUnavailable.exit_code, "")
    assert "no data for the symbols" in messages


async def test_quote_understands_every_usual_spelling(schwab: SchwabSimulator, redis_server: RedisServer) -> None:
    """Commas, blanks and an option's own blanks are understood; a stock named like a future gets a hint."""
    words = ("quote", "AAPL,NVDA", "/mnq ES", "--json", "--redis", redis_server.url)
    code, output, messages = await command(*words)
    ticks = [TickEvent.model_validate_json(line) for line in output.splitlines()]
    assert code == 0
    assert [tick.key for tick in ticks][:3] == ["AAPL", "NVDA", "/MNQ"]
    assert "ES is read as a stock: for the future write /ES" in messages


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("quote", "/ES_F"), "did you mean /ES:XCME?"),
        (("quote", "MICROSOFT"), "write it like AAPL"),
        (("quote", " "), "it is empty"),
        (("book", "AAPL,NVDA"), "book shows one symbol"),
    ],
)
async def test_what_cannot_be_shown_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    """A text that is not a symbol, or names several, ends with exit 2 before any connection."""
    code, output, messages = await command(*words)
    assert (code, output) == (2, "")
    assert said in messages
