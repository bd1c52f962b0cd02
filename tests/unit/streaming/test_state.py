"""What outlives a session is one object, so that nothing in the room has to be given its parts one by one."""

import ast
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import schwabstream.streaming
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.streaming.state import StreamState

MODULES = sorted(Path(schwabstream.streaming.__path__[0]).glob("*.py"))
MOST_ARGUMENTS = 7


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_constructor_takes_more_than_seven_arguments(path: Path) -> None:
    """Besides ``self`` no constructor of the room takes more than seven arguments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert len(arguments) - 1 <= MOST_ARGUMENTS, f"{path.name}:{node.lineno}"


def test_the_last_values_and_the_status_go_the_same_way() -> None:
    """Ticks and StatusEvents leave through the one function that the stream was given."""
    published: list[Channel] = []

    def publish(channel: Channel, _event: dict[str, Any]) -> None:
        published.append(channel)

    stream = StreamState(parse_symbols(["AAPL"], date(2026, 11, 21)), publish)
    stream.announcer.begin()
    stream.market.instruments["AAPL"].tick["last_price"] = 1.5
    stream.market.repeat(stream.market.instruments["AAPL"])
    assert published == [Channel.STATUS, Channel.TICKS]


def test_troubles_are_refusals_and_silences_by_key() -> None:
    """A key has every reason why data of it is missing, the refused subscriptions first."""
    stream = StreamState(parse_symbols(["AAPL", "/MNQ"], date(2026, 11, 21)), lambda _channel, _event: None)
    assert stream.troubles() == {}
    stream.stale["LEVELONE_EQUITIES", "AAPL"] = "silent"
    stream.refused["NASDAQ_BOOK", "AAPL"] = "refused"
    stream.refused["LEVELONE_FUTURES", "/MNQ"] = "limit"
    assert stream.troubles() == {"AAPL": ["refused", "silent"], "/MNQ": ["limit"]}
