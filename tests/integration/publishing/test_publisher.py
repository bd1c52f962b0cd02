"""Events in Redis: numbered, in order, in every place at once; after refusals and outages, no loss goes unreported."""

import asyncio
import itertools
import time
from dataclasses import replace
from typing import Any

import orjson
from structlog.testing import capture_logs

from schwabstream.clock import LIVE_CLOCK
from schwabstream.events import Channel
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.publishing.queue.channel import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from tests.support.publishing import Audience, event, last, numbers, stream, writing
from tests.support.scripted_node import scripted_nodes
from tests.support.waiting import until

# -- what is written


async def test_an_event_is_published_kept_as_last_and_added_to_the_stream(redis_server: Any) -> None:
    """Subscribers, the last-value hash and the stream get the same event, in one go (contract 4)."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        publisher.publish(Channel.TICKS, event(last_price=4500.25))
        await audience.until(lambda it: bool(it.heard["ticks"]))
        (heard,) = audience.heard["ticks"]
        assert heard["last_price"] == 4500.25
        assert last(redis_server.client) == {"/MES:XCME": heard}
        assert stream(redis_server.client) == [heard]
        assert publisher.published == 1
        assert publisher.round_trip_s is not None


async def test_each_channel_has_its_own_names(redis_server: Any) -> None:
    """Ticks and books have last values; the others only channel and stream; a status has the empty symbol."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for channel in Channel:
            publisher.publish(channel, event(None if channel is Channel.STATUS else "AAPL"))
        await audience.until(lambda it: all(it.heard.values()))
    assert sorted(redis_server.client.keys("*")) == [
        "market_data:last:level2",
        "market_data:last:ticks",
        "market_data:stream:account",
        "market_data:stream:bars",
        "market_data:stream:level2",
        "market_data:stream:screeners",
        "market_data:stream:status",
        "market_data:stream:ticks",
    ]
    assert [len(stream(redis_server.client, str(channel))) for channel in Channel] == [1] * len(Channel)


async def test_the_prefix_is_the_first_part_of_every_name(redis_server: Any) -> None:
    """Another prefix moves every channel and key."""
    async with writing(redis_server.url, prefix="demo") as publisher:
        publisher.publish(Channel.TICKS, event())
        publisher.publish_report(b"{}")
    assert sorted(redis_server.client.keys("*")) == ["demo:last:ticks", "demo:stream:ticks", "demo:streamer"]


async def test_the_last_value_is_the_newest_of_its_symbol(redis_server: Any) -> None:
    """Of one batch with many events of a symbol the hash holds the newest, while stream and subscribers get all."""
    publisher = TradingEventPublisher(redis_server.url)
    for n in range(100):
        publisher.publish(Channel.TICKS, event("AAPL" if n % 2 else "/NQ", n=n))
    async with Audience(redis_server.url) as audience:
        await publisher.connect()
        publisher.stop()
        await publisher.run()
        await audience.until(lambda it: len(it.heard["ticks"]) == 100)
    await publisher.close()
    assert {symbol: each["n"] for symbol, each in last(redis_server.client).items()} == {"AAPL": 99, "/NQ": 98}
    assert numbers(stream(redis_server.client)) == list(range(100))
    assert audience.numbers() == list(range(100))


async def test_the_lent_dictionary_may_be_reused(redis_server: Any) -> None:
    """An event is encoded when published: what its dictionary becomes afterwards changes nothing."""
    state = event()
    async with writing(redis_server.url) as publisher:
        for n in range(3):
            state["n"] = n
            publisher.publish(Channel.TICKS, state)
    assert numbers(stream(redis_server.client)) == [0, 1, 2]


async def test_streams_are_trimmed_to_their_maxlen(redis_server: Any) -> None:
    """A stream keeps about MAXLEN entries: never fewer, and at most one of Redis's nodes more."""
    async with writing(redis_server.url, stream_maxlen=500) as publisher:
        for n in range(3_000):
            publisher.publish(Channel.TICKS, event(n=n))
    kept = numbers(stream(redis_server.client))
    assert 500 <= len(kept) <= 600
    assert kept == list(range(3_000 - len(kept), 3_000))


async def test_maxlen_zero_switches_streams_off(redis_server: Any) -> None:
    """With a length of 0 there are no streams, and everything else works."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url, stream_maxlen=0) as publisher:
        publisher.publish(Channel.TICKS, event(n=1))
        await audience.until(lambda it: it.numbers() == [1])
    assert redis_server.client.keys("*") == ["market_data:last:ticks"]


async def test_the_report_expires_by_itself(redis_server: Any) -> None:
    """The streamer's own report is one key that lives 15 s; a newer one replaces it."""
    async with writing(redis_server.url) as publisher:
        publisher.publish_report(b'{"n":1}')
        await until(lambda: redis_server.client.exists("market_data:streamer"))
        publisher.publish_report(b'{"n":2}')
    assert redis_server.client.get("market_data:streamer") == '{"n":2}'
    assert 10_000 < redis_server.client.pttl("market_data:streamer") <= 15_000


async def test_a_tap_receives_every_event_as_it_is_published(redis_server: Any) -> None:
    """``--json`` writes what Redis gets, byte for byte, in the same order."""
    tapped: list[bytes] = []
    async with Audience(redis_server.url) as audience, writing(redis_server.url, tap=tapped.append) as publisher:
        for n in range(5):
            publisher.publish(Channel.TICKS, event(n=n))
        await audience.until(lambda it: len(it.heard["ticks"]) == 5)
    assert [orjson.loads(line) for line in tapped] == audience.heard["ticks"]


# -- seq and order


async def test_seq_rises_by_one_per_channel_and_never_falls_across_runs(redis_server: Any) -> None:
    """Each channel counts for itself; a later run starts above all that an earlier one gave (docs/adr/0002)."""
    moment = itertools.count(1_700_000_000)
    for _ in range(2):
        async with writing(redis_server.url, clock=replace(LIVE_CLOCK, wall=lambda: float(next(moment)))) as publisher:
            for n in range(2_500):
                publisher.publish(Channel.TICKS, event(n=n))
                if n % 5 == 0:
                    publisher.publish(Channel.LEVEL2, event(n=n))
    for channel, count in (("ticks", 2_500), ("level2", 500)):
        seqs = [each["seq"] for each in stream(redis_server.client, channel)]
        first, second = seqs[:count], seqs[count:]
        assert first == list(range(first[0], first[0] + count))
        assert second == list(range(second[0], second[0] + count))
        assert second[0] > first[-1]


async def test_order_is_kept_over_many_batches(redis_server: Any) -> None:
    """Events queued while a batch is in flight follow in order, in as many batches as needed."""
    total = 3 * MAX_BATCH_EVENTS + 7
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for n in range(total):
            publisher.publish(Channel.TICKS, event(n=n))
            if n % 500 == 0:
                await asyncio.sleep(0)
        await audience.until(lambda it: len(it.heard["ticks"]) == total)
    assert audience.numbers() == list(range(total))
    assert numbers(stream(redis_server.client)) == list(range(total))


async def test_a_batch_of_large_events_is_bounded_in_bytes(redis_server: Any) -> None:
    """Redis drops a subscriber with 32 MB queued: large events go in several transactions, in order."""
    count = 3 * MAX_BATCH_BYTES // 20_000
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for n in range(count):
            publisher.publish(Channel.LEVEL2, event(n=n, pad="x" * 20_000))
        await audience.until(lambda it: len(it.heard["level2"]) == count)
        assert sum(publisher.batch_sizes.counts) >= 3
    assert audience.numbers("level2") == list(range(count))


async def test_one_refused_command_is_reported_once_counted_and_costs_nothing_else(redis_server: Any) -> None:
    """A key of the wrong type loses what would go there; the rest of each batch goes through, and the key is named."""
    redis_server.client.set("market_data:stream:ticks", "somebody's")
    with capture_logs() as logs:
        async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
            for n in range(3):
                publisher.publish(Channel.TICKS, event(n=n))
                publisher.publish(Channel.LEVEL2, event(n=n))
                await audience.until(lambda it: len(it.numbers()) == publisher.counts["refused commands"] == n + 1)  # noqa: B023 - awaited here
            await audience.until(lambda it: it.numbers("level2") == [0, 1, 2])
    assert audience.numbers() == [0, 1, 2]
    assert last(redis_server.client)["/MES:XCME"]["n"] == 2
    assert numbers(stream(redis_server.client, "level2")) == [0, 1, 2]
    assert publisher.counts["refused commands"] == 3
    (line,) = [each for each in logs if each["log_level"] == "error"]
    assert "WRONGTYPE" in line["reason"]
    assert line["name"] == "market_data:stream:ticks"


async def test_a_refused_name_is_known_until_it_takes_again(redis_server: Any) -> None:
    """The newest event that a key refused is written with the report after the repair, once, on a quiet channel too."""
    wrong = {"market_data:stream:status", "market_data:stream:ticks", "market_data:last:ticks"}
    for key in wrong:
        redis_server.client.rpush(key, "somebody's")
    async with writing(redis_server.url) as publisher:
        for n in range(2):
            publisher.publish(Channel.STATUS, event(None, n=n))
            publisher.publish(Channel.TICKS, event(n=n))
            await until(lambda: not publisher.queued)
        assert set(publisher.refusing) == wrong
        publisher.publish_report(b"{}")
        await until(lambda: publisher.counts["refused commands"] == 9)
        redis_server.client.delete(*wrong)
        publisher.publish_report(b"{}")
        await until(lambda: not publisher.refusing)
        publisher.publish_report(b"{}")
        publisher.publish(Channel.TICKS, event(n=2))
        await until(lambda: not publisher.queued)
    assert numbers(stream(redis_server.client, "status")) == [1]
    assert numbers(stream(redis_server.client)) == [1, 2]
    assert last(redis_server.client)["/MES:XCME"]["n"] == 2


async def test_a_restarted_redis_gets_what_waited_in_order(redis_server: Any) -> None:
    """What an empty Redis lost of the last seconds is written again, then what was published while it was down."""
    async with writing(redis_server.url) as publisher:
        publisher.publish(Channel.TICKS, event(n=0))
        await until(lambda: publisher.published == 1)
        redis_server.kill()
        for n in range(1, 30):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        publisher.publish(Channel.TICKS, event(n=30))
        await until(lambda: publisher.published == 31)
    assert numbers(stream(redis_server.client)) == list(range(31))
    assert publisher.counts["sent again"] == 1


async def test_a_redis_that_dies_is_noticed_before_there_is_anything_to_write(redis_server: Any) -> None:
    """An outage is reported when it begins, not with the next event."""
    async with writing(redis_server.url) as publisher:
        redis_server.kill()
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        await until(lambda: publisher.connected)
    assert publisher.counts["outages"] == 1


async def test_clients_killed_by_an_administrator_come_back(redis_server: Any) -> None:
    """CLIENT KILL again and again while events flow: each event is in the stream, in order."""
    async with writing(redis_server.url) as publisher:
        for round_ in range(5):
            for n in range(100):
                publisher.publish(Channel.TICKS, event(n=100 * round_ + n))
            redis_server.client.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: publisher.connected and not publisher.queued)
    assert numbers(stream(redis_server.client)) == list(range(500))


# -- the bounded buffer


async def written_after(url: str, publisher: TradingEventPublisher) -> None:
    """Let a publisher that only queued so far write, and close it."""
    await publisher.connect()
    publisher.stop()
    await publisher.run()
    await publisher.close()


async def test_a_full_buffer_sheds_the_oldest_keeps_the_newest_of_each_symbol_and_counts(redis_server: Any) -> None:
    """Beyond the bound the oldest go, but the newest of every symbol and channel stays; what is missing is counted."""
    publisher = TradingEventPublisher(redis_server.url, max_events=100)
    quiet = [f"Q{i}" for i in range(40)]
    for symbol in quiet:
        publisher.publish(Channel.TICKS, event(symbol, n=-1))
    publisher.publish(Channel.LEVEL2, event("Q0", n=-2))
    for n in range(1_000):
        publisher.publish(Channel.TICKS, event("BUSY", n=n))
        assert publisher.queued <= 100
    dropped = publisher.dropped
    await written_after(redis_server.url, publisher)
    events = stream(redis_server.client)
    assert set(last(redis_server.client)) == {*quiet, "BUSY"}
    assert last(redis_server.client)["BUSY"]["n"] == 999
    assert numbers(stream(redis_server.client, "level2")) == [-2]
    busy = [each["n"] for each in events if each["symbol"] == "BUSY"]
    assert busy == list(range(1_000 - len(busy), 1_000))
    assert len(events) + dropped == 1_040
    seqs = [each["seq"] for each in events]
    assert seqs == sorted(seqs)
    assert publisher.dropped == dropped


async def test_the_buffer_is_bounded_in_bytes_too(redis_server: Any) -> None:
    """Large events reach the bound in bytes long before the one in events."""
    publisher = TradingEventPublisher(redis_server.url, max_bytes=50_000)
    for n in range(200):
        publisher.publish(Channel.LEVEL2, event("AAPL", n=n, pad="x" * 1_000))
        assert publisher.queued <= 50
    dropped = publisher.dropped
    await written_after(redis_server.url, publisher)
    kept = numbers(stream(redis_server.client, "level2"))
    assert kept == list(range(200 - len(kept), 200))
    assert 30 <= len(kept) <= 50
    assert len(kept) + dropped == 200


async def test_the_channel_that_holds_most_gives_first(redis_server: Any) -> None:
    """While quotes fill the buffer, none of the few status events about it is dropped."""
    publisher = TradingEventPublisher(redis_server.url, max_events=100)
    for n in range(1_000):
        publisher.publish(Channel.TICKS, event("BUSY", n=n))
        if n % 100 == 0:
            publisher.publish(Channel.STATUS, event(None, n=n))
    await written_after(redis_server.url, publisher)
    assert numbers(stream(redis_server.client, "status")) == list(range(0, 1_000, 100))
    assert publisher.dropped > 800


async def test_a_redis_that_falls_behind_is_reported_before_anything_is_dropped(redis_server: Any) -> None:
    """While Redis is slower than the events, a StatusEvent reports it once, and once more that it has caught up."""
    heard: list[bool] = []
    async with writing(redis_server.url, max_events=1_000, on_pressure=heard.append) as publisher:
        redis_server.client.client_pause(200, all=False)
        publisher.publish(Channel.TICKS, event(n=0))
        await asyncio.sleep(0)  # the first batch leaves, the next ones queue behind it
        for n in range(1, 400):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: heard == [True, False])
        await until(lambda: publisher.published == 400)
        assert heard == [True, False]
        assert publisher.dropped == 0


async def test_pressure_ends_with_the_connection(redis_server: Any) -> None:
    """An absent Redis is not back-pressure: its events are buffered."""
    heard: list[bool] = []

    def hear(pressed: bool) -> None:
        heard.append(pressed)
        if pressed:
            redis_server.kill()

    async with writing(redis_server.url, max_events=1_000, on_pressure=hear) as publisher:
        redis_server.client.client_pause(200, all=False)
        publisher.publish(Channel.TICKS, event(n=0))
        await asyncio.sleep(0)
        for n in range(1, 400):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        await until(lambda: publisher.published == 400)
        assert heard == [True, False]


async def test_more_symbols_than_the_buffer_holds_are_still_all_kept(redis_server: Any) -> None:
    """The newest of each symbol is never given up, even where that alone exceeds the bound, and costs little."""
    publisher = TradingEventPublisher(redis_server.url, max_events=1_000)
    started = time.process_time()
    for n in range(20_000):
        publisher.publish(Channel.TICKS, event(f"S{n % 4_000}", n=n))
    assert time.process_time() - started < 5
    assert publisher.queued <= 6_000
    await written_after(redis_server.url, publisher)
    assert {each["n"] for each in last(redis_server.client).values()} == set(range(16_000, 20_000))


async def test_what_no_redis_took_by_the_end_counts_as_dropped(redis_server: Any) -> None:
    """Closing with queued events returns how many were never written."""
    publisher = TradingEventPublisher(redis_server.url)
    for n in range(3):
        publisher.publish(Channel.TICKS, event(n=n))
    await publisher.close()
    assert publisher.dropped == 3


async def test_an_outage_whose_reason_changes_is_logged_again() -> None:
    """While every new connection answers and refuses the batch, it is one outage; its log has each reason once."""
    async with scripted_nodes() as (node,):
        refusals = ["NOREPLICAS few", "NOREPLICAS few", "LOADING busy"]
        node.refusals.extend(("PUBLISH", refusal) for refusal in refusals)
        publisher = TradingEventPublisher(f"redis://127.0.0.1:{node.port}", symbol_channels=False)
        await publisher.connect()
        publisher.publish(Channel.TICKS, event("A"))
        publisher.stop()
        with capture_logs() as logs:
            await publisher.run()
        await publisher.close()
    assert [each["event"] for each in logs] == ["redis is away", "redis is still away", "redis is back"]
    assert [word in logs[at]["reason"] for at, word in enumerate(("few", "busy"))] == [True, True]
    assert (publisher.counts["outages"], publisher.outage, logs[2]["queued"]) == (1, None, 1)
