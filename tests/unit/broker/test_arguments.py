"""Arguments of the public functions that no type checker has read: one error of ours, which names the argument."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from schwabstream.consumer import GroupReader, Subscription, fetch_last, last, read_stream, subscribe
from schwabstream.errors import ConfigurationError, SymbolError
from schwabstream.events import Channel

NOT_STRINGS = (None, 5, 1.5, ["AAPL"], b"AAPL", {"AAPL": 1}, object)
NOT_PRINTABLE = ("", " ", "\x1b[31m", "AA\x00PL", "\ud800")
Call = Callable[[Any], object]


def follow(*channel_and_symbols: Any, **options: Any) -> None:
    """Read the first entry of a stream."""
    asyncio.run(anext(read_stream(*channel_and_symbols, **options)))


def group(*arguments: Any, **options: Any) -> object:
    """A reader of a group."""
    given = (Channel.TICKS, "desk", "one", *arguments)
    return GroupReader(*given, **options)


def fetch(*symbol: Any, **options: Any) -> object:
    """The last value, in asynchronous code."""
    return asyncio.run(fetch_last(*symbol, **options))


SYMBOL_CALLS: tuple[Call, ...] = (subscribe, last, fetch, group, lambda symbol: follow(Channel.TICKS, symbol))
PUBLIC: tuple[Callable[..., object], ...] = (
    subscribe,
    Subscription,
    lambda **options: last("AAPL", **options),
    lambda **options: fetch("AAPL", **options),
    lambda **options: follow(Channel.TICKS, **options),
    group,
)


@pytest.mark.parametrize("call", SYMBOL_CALLS)
@pytest.mark.parametrize("symbol", [*NOT_STRINGS, *NOT_PRINTABLE, "A" * 10_000], ids=lambda each: repr(each)[:20])
def test_what_is_no_symbol_is_a_symbol_error(call: Call, symbol: object) -> None:
    """The message is short and has no control character, whatever was given."""
    with pytest.raises(SymbolError, match="cannot be a symbol") as error:
        call(symbol)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("call", PUBLIC)
@pytest.mark.parametrize("name", ["redis_url", "prefix"])
@pytest.mark.parametrize("text", [*NOT_STRINGS, *NOT_PRINTABLE], ids=repr)
def test_a_url_and_a_prefix_are_strings(call: Callable[..., object], name: str, text: object) -> None:
    """Anything but a printable string is refused before a connection, without repeating it."""
    with pytest.raises(ConfigurationError) as error:
        call(**{name: text})
    assert str(error.value) == f"{name} must be a non-empty string without control characters"


@pytest.mark.parametrize("call", PUBLIC)
def test_a_url_of_another_kind_is_refused(call: Callable[..., object]) -> None:
    """A URL that is not Redis' is refused with the schemes that are."""
    with pytest.raises(ConfigurationError, match="must start with redis://, rediss://, unix://"):
        call(redis_url="http://127.0.0.1")


@pytest.mark.parametrize("call", [follow, lambda channel: GroupReader(channel, "desk", "one")])
@pytest.mark.parametrize("channel", [*NOT_STRINGS, *NOT_PRINTABLE, "trades"], ids=repr)
def test_a_channel_must_exist(call: Call, channel: object) -> None:
    """A channel that nobody publishes on is refused, because it would be waited for forever."""
    with pytest.raises(ConfigurationError, match=r"channel must be one of Channel\.TICKS, Channel\.LEVEL2"):
        call(channel)


@pytest.mark.parametrize("kinds", [None, 5, Channel.TICKS, "ticks", [], ["trades"], [None], {"\x1b"}, [[]]], ids=repr)
def test_kinds_are_a_collection_of_channels(kinds: Any) -> None:
    """A single channel, nothing and anything else are refused."""
    with pytest.raises(ConfigurationError, match="kinds must"):
        subscribe(kinds=kinds)


def test_the_value_of_a_channel_is_a_channel() -> None:
    """Strings such as "ticks" select a channel as its member does."""
    subscribe(kinds={"ticks", Channel.BARS})  # type: ignore[arg-type]
    GroupReader("ticks", "desk", "one")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda given: follow(Channel.TICKS, from_id=given), "from_id"),
        (lambda given: group(start=given), "start"),
    ],
)
@pytest.mark.parametrize("position", [*NOT_STRINGS, *NOT_PRINTABLE, "now", "1-2-3", "-1"], ids=repr)
def test_a_position_is_an_id(call: Call, name: str, position: object) -> None:
    """What Redis would refuse as an id, or mistake for one, is refused with the valid forms."""
    with pytest.raises(ConfigurationError, match=rf"{name} must be '0', '\$' or the id of an entry"):
        call(position)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda given: subscribe(max_pending=given), "max_pending must be a whole number, 1 or more"),
        (lambda given: follow(Channel.TICKS, batch=given), "batch must be a whole number, 1 or more"),
        (lambda given: group(batch=given), "batch must be a whole number, 1 or more"),
        (lambda given: group(idle_ms=given), "idle_ms must be a whole number, 0 or more"),
    ],
)
@pytest.mark.parametrize("number", [None, "5", 1.5, -1, True, [1]], ids=repr)
def test_a_number_is_whole_and_not_too_small(call: Call, message: str, number: object) -> None:
    """A limit that is not a number, or would allow nothing, is refused."""
    with pytest.raises(ConfigurationError) as error:
        call(number)
    assert str(error.value) == message


@pytest.mark.parametrize("name", [*NOT_STRINGS, *NOT_PRINTABLE], ids=repr)
def test_a_group_and_its_consumer_have_names(name: Any) -> None:
    """Names are printable strings, so that XINFO and logs can show them."""
    with pytest.raises(ConfigurationError, match="group must be a non-empty string"):
        GroupReader(Channel.TICKS, name, "one")
    with pytest.raises(ConfigurationError, match="consumer must be a non-empty string"):
        GroupReader(Channel.TICKS, "desk", name)


@pytest.mark.parametrize("identifier", NOT_STRINGS, ids=repr)
async def test_an_acknowledged_id_is_a_string(identifier: Any) -> None:
    """An entry given instead of its id, for example, is refused at once and not sent again and again."""
    with pytest.raises(ConfigurationError, match="acknowledge needs ids of entries"):
        await GroupReader(Channel.TICKS, "desk", "one").acknowledge("1-0", identifier)
