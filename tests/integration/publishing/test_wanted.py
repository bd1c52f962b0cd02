"""Wishes in Redis: the set of wanted symbols, the symbol channels with listeners, and Redis's refusals."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from schwabstream.publishing.wanted import MOST_WISHES, POLL_S, RAREST_S, WishPoll
from schwabstream.report import Source

NOW = 1_795_536_000.0
SET = "market_data:wanted"


class Polled:
    """A poll at a time that stands still, and what it passed on."""

    def __init__(self, url: str, **options: Any) -> None:
        self.taken: list[Mapping[str, Source]] = []
        self.poll = WishPoll(url, "market_data", self.taken.append, wall=lambda: NOW, **options)

    async def wishes(self, *, clean_up: bool = False) -> Mapping[str, Source] | None:
        """The wishes of one more poll; None when it passed on none."""
        self.taken.clear()
        await self.poll.poll(clean_up=clean_up)
        return self.taken[-1] if self.taken else None


@pytest.fixture
async def polled(redis_server: Any) -> AsyncIterator[Callable[..., Polled]]:
    """Makes polls of the Redis server, or of another URL."""
    made: list[Polled] = []

    def make(url: str = redis_server.url, **options: Any) -> Polled:
        made.append(Polled(url, **options))
        return made[-1]

    yield make
    for each in made:
        await each.poll.close()


Polling = Callable[..., Polled]


async def test_members_are_wishes_until_their_score(redis_server: Any, polled: Polling) -> None:
    """An infinite score is a permanently added symbol, a score in the future a wish, one in the past nothing."""
    redis_server.client.zadd(SET, {"A": NOW - 1, "B": NOW, "C": NOW + 1, "D": NOW + 60, "E": "+inf"})
    wishes = polled().wishes
    assert await wishes() == {"E": "added", "C": "wanted", "D": "wanted"}
    assert list(await wishes() or ()) == ["E", "C", "D"]


async def test_expired_members_are_removed(redis_server: Any, polled: Polling) -> None:
    """The set does not grow forever: a poll that cleans up removes what has expired, and nothing else."""
    redis_server.client.zadd(SET, {"A": NOW - 1, "C": NOW + 1, "E": "+inf"})
    wishes = polled().wishes
    await wishes()
    assert redis_server.client.zcard(SET) == 3
    await wishes(clean_up=True)
    assert redis_server.client.zrange(SET, 0, -1) == ["C", "E"]


async def test_a_listener_of_a_symbol_channel_is_a_wish(redis_server: Any, polled: Polling) -> None:
    """A subscription to ticks or books of a symbol is a wish; one to another channel or a pattern is not."""
    loud, silent = polled(), polled(symbol_channels=False)
    async with Redis.from_url(redis_server.url).pubsub() as listener:
        await listener.subscribe(
            "market_data:ticks:NVDA", "market_data:level2:/MNQ:XCME", "market_data:ticks", "market_data:bars:X", "other"
        )
        for _ in range(4):
            await listener.get_message(timeout=1)
        assert await loud.wishes() == {"NVDA": "wanted", "/MNQ:XCME": "wanted"}
        assert await silent.wishes() == {}
    assert await loud.wishes() == {}


async def test_an_outage_of_redis_ends_no_wish(redis_server: Any, polled: Polling) -> None:
    """While Redis does not answer nothing is passed on, so the last wishes stay; afterwards the poll goes on."""
    redis_server.client.zadd(SET, {"A": "+inf"})
    poll = polled()
    assert await poll.wishes() == {"A": "added"}
    redis_server.kill()
    assert await poll.wishes() is None
    redis_server.start()
    redis_server.client.zadd(SET, {"B": "+inf"})
    assert await poll.wishes() == {"B": "added"}


async def test_a_missing_right_means_no_wishes(redis_server: Any, polled: Polling) -> None:
    """A user who may not read the set or list the channels has a streamer without wishes, and one warning for each."""
    redis_server.client.acl_setuser("streamer", enabled=True, nopass=True, commands=["+ping", "+hello", "+client"])
    redis_server.client.zadd(SET, {"A": "+inf"})
    poll = polled(redis_server.url.replace("redis://", "redis://streamer:x@"))
    with capture_logs() as logs:
        assert await poll.wishes() == {}
        assert await poll.wishes() == {}
    assert len(logs) == 3


async def test_a_key_of_another_kind_means_no_wishes(redis_server: Any, polled: Polling) -> None:
    """A string where the set should be stops nothing."""
    redis_server.client.set(SET, "x")
    assert await polled().wishes(clean_up=True) == {}


async def test_a_flood_ends_no_wish_that_was_there_before(redis_server: Any, polled: Polling) -> None:
    """Of more wishes than are read, those of the last poll come first while they last, whatever Redis's order."""
    redis_server.client.zadd(SET, {"ZA": "+inf", "ZB": "+inf", "W": NOW + 1, "V": NOW + 1})
    flood = [f"A{number}" for number in range(MOST_WISHES + 1)]
    wishes = polled().wishes
    async with (
        Redis.from_url(redis_server.url).pubsub() as listener,
        Redis.from_url(redis_server.url).pubsub() as crowd,
    ):
        await listener.subscribe("market_data:ticks:NVDA")
        await listener.get_message(timeout=1)
        assert set(await wishes() or ()) == {"ZA", "ZB", "W", "V", "NVDA"}
        redis_server.client.zrem(SET, "ZB", "V")
        redis_server.client.zadd(SET, dict.fromkeys(flood, "+inf"))
        redis_server.client.zadd(SET, dict.fromkeys((f"L{name}" for name in flood), NOW + 60))
        await crowd.subscribe(*(f"market_data:ticks:C{name}" for name in flood))
        await crowd.get_message(timeout=1)
        for _ in range(2):
            found = await wishes() or {}
            assert {"ZA", "W", "NVDA"} <= found.keys()
            assert not {"ZB", "V"} & found.keys()
            assert len(found) == 3 * MOST_WISHES


async def test_a_wish_longer_than_any_symbol_is_cut(redis_server: Any, polled: Polling) -> None:
    """No text of a client can fill the memory of the streamer."""
    redis_server.client.zadd(SET, {"A" * 100_000: "+inf", b"\xff\xfe": "+inf"})
    wishes = await polled().wishes()
    assert wishes is not None
    assert sorted(map(len, wishes)) == [2, 49]


async def test_a_costly_poll_makes_the_next_one_later_within_bounds(redis_server: Any) -> None:
    """The pause follows the CPU time of a poll, so that neither a flood nor a slow start delays wishes for long."""
    costs, pauses = iter([0.001, 0.09, 9.0]), list[float]()
    spent = 0.0

    def cpu_s() -> float:
        return spent

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise EndOfPollingError

    def take(_wishes: Mapping[str, Source]) -> None:
        nonlocal spent
        spent += next(costs)

    poll = WishPoll(redis_server.url, "market_data", take, cpu_s=cpu_s, sleep=sleep)
    with pytest.raises(EndOfPollingError):
        await poll.run()
    assert pauses == pytest.approx([POLL_S, 3.0, RAREST_S])


class EndOfPollingError(Exception):
    """Ends a poll that would go on."""
