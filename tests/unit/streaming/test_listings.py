"""Where equities are listed: what the quotes endpoint names, and nothing that it does not."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from schwabstream.errors import ProtocolError, SchwabStreamError, SchwabUnavailable
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.streaming.listings import find_listings

TODAY = date(2026, 11, 21)


class Endpoint:
    """A quotes endpoint with one answer."""

    def __init__(self, answer: Mapping[str, Any] | SchwabStreamError) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    async def fetch(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Answer, or fail."""
        self.asked.append(list(keys))
        if isinstance(self.answer, SchwabStreamError):
            raise self.answer
        return self.answer


async def test_only_equities_are_asked_for_and_only_codes_are_believed() -> None:
    """Each equity is asked for once; an entry without a code that is text leaves its listing unknown."""
    odd: list[Any] = [
        None,
        [],
        {},
        {"reference": None},
        {"reference": {"exchange": 7}},
        {"reference": {"exchange": ""}},
    ]
    symbols = parse_symbols(["F", "AAPL", "/MES", "$SPX", "A", "B", "C", "D", "E", "G"], TODAY)
    endpoint = Endpoint({"AAPL": {"reference": {"exchange": "Q"}}, **dict(zip("FABCDE", odd, strict=True))})
    assert await find_listings([*symbols, *symbols], endpoint.fetch) == {"AAPL": "Q"}
    assert endpoint.asked == [["F", "AAPL", "A", "B", "C", "D", "E", "G"]]


async def test_without_equities_nobody_is_asked() -> None:
    """Futures and indices have no listing."""
    endpoint = Endpoint({})
    assert await find_listings(parse_symbols(["/MES", "$SPX"], TODAY), endpoint.fetch) is None
    assert endpoint.asked == []


@pytest.mark.parametrize("error", [SchwabUnavailable("down"), ProtocolError("odd")])
async def test_without_an_answer_listings_are_unknown(error: SchwabStreamError) -> None:
    """A quotes endpoint that fails costs the listings, not the stream."""
    assert await find_listings(parse_symbols(["AAPL"], TODAY), Endpoint(error).fetch) is None
