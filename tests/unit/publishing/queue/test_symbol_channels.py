"""When symbol channels are published, and what a refusal turns off."""

from schwabstream.events import Channel
from schwabstream.publishing.queue.channel import ChannelQueue
from schwabstream.publishing.queue.symbol_channels import SymbolChannels


def channels_of(*, wanted: bool = True) -> tuple[dict[Channel, ChannelQueue], SymbolChannels]:
    """The queues of a publisher that has just connected."""
    queues = {channel: ChannelQueue(channel, "md", 10, 0) for channel in Channel}
    symbol_channels = SymbolChannels(queues, wanted=wanted)
    symbol_channels.resume()
    return queues, symbol_channels


def test_ticks_books_and_bars_have_symbol_channels_unless_they_are_off() -> None:
    """Only the channels of market data have symbol channels, and none has when they are not wanted."""
    queues, symbol_channels = channels_of()
    with_symbols = {channel for channel, queue in queues.items() if queue.symbol_channels}
    assert with_symbols == {Channel.TICKS, Channel.LEVEL2, Channel.BARS}
    assert symbol_channels.on
    queues, symbol_channels = channels_of(wanted=False)
    assert not any(queue.symbol_channels for queue in queues.values())
    assert not symbol_channels.on


def test_a_refused_kind_stays_off_until_the_next_connection() -> None:
    """A refusal turns off the symbol channels of its kind alone; the next connection tries again."""
    queues, symbol_channels = channels_of()
    symbol_channels.leave_out({"md:ticks:*", "md:stream:bars"})
    assert not queues[Channel.TICKS].symbol_channels
    assert queues[Channel.BARS].symbol_channels
    assert not symbol_channels.on
    symbol_channels.resume()
    assert symbol_channels.on


def test_a_batch_is_sent_again_only_when_nothing_but_symbol_channels_was_refused() -> None:
    """A refused stream or shared channel stays a reason to keep the batch and wait."""
    _, symbol_channels = channels_of()
    error = ValueError("NOPERM")

    def refused(*names: str) -> dict[str, Exception]:
        writes = [(name, None) for name in ("md:ticks", "md:ticks:*", "md:stream:ticks")]
        return symbol_channels.refused_alone(writes, [error if name in names else b"QUEUED" for name, _ in writes])

    assert refused("md:ticks:*") == {"md:ticks:*": error}
    assert refused("md:ticks:*", "md:stream:ticks") == refused("md:ticks") == refused() == {}
