"""Wishes: which symbols a reader asks for, how often, and what it does when it may not."""

from collections.abc import Iterable

import pytest
from redis.exceptions import NoPermissionError

from schwabstream.consumer.wishes import LIFE_S, LOOK_EVERY_S, RENEW_EVERY_S, Wishes
from schwabstream.errors import RedisUnavailable
from schwabstream.protocol.symbols import Asset, Symbol
from schwabstream.report import StreamerReport, SymbolReport

START_S = 1_000.0


def symbol(alias: str) -> Symbol:
    """An equity of that name."""
    return Symbol(alias, alias.upper(), Asset.EQUITY)


def report(*lines: tuple[str, str], **changes: object) -> StreamerReport:
    """The report of a streamer that streams these symbols, each with its source."""
    known = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}
    symbols = [
        SymbolReport.model_validate({"symbol": name, "key": name.upper(), "asset": "EQUITY", "source": source})
        for name, source in lines
    ]
    return StreamerReport.model_validate({**known, "symbols": symbols, **changes})


class Redis:
    """The other side: a report to fetch, and the wishes that were written, with the seconds they last."""

    def __init__(self, found: StreamerReport | None) -> None:
        self.report = found
        self.now_s = START_S
        self.asked: list[tuple[list[str], float]] = []
        self.failure: RedisUnavailable | None = None

    async def fetch_report(self) -> StreamerReport | None:
        """The report of the test."""
        return self.report

    async def ask_for(self, symbols: Iterable[str], until_s: float) -> None:
        """Keep what is asked for, or fail as the test wants it."""
        if self.failure is not None:
            raise self.failure
        self.asked.append((list(symbols), until_s - self.now_s))

    def wishes(self, *aliases: str) -> Wishes:
        """Wishes for these symbols, at this side's time."""
        return Wishes(map(symbol, aliases), self, now_s=lambda: self.now_s)


def refused() -> RedisUnavailable:
    """The error of a user who may not write wishes."""
    error = RedisUnavailable("Redis at redis://box refuses a command")
    error.__cause__ = NoPermissionError("NOPERM")
    return error


async def test_a_wish_lasts_a_minute_and_is_renewed_every_twenty_seconds() -> None:
    """Each renewal moves the expiry 60 s ahead, every 20 s, whether the symbol is streamed or not."""
    redis = Redis(report(("A", "configured")))
    wishes = redis.wishes("B")
    for second in range(41):
        redis.now_s = START_S + second
        await wishes.look()
    assert redis.asked == [(["B"], LIFE_S)] * 3
    assert (RENEW_EVERY_S, LIFE_S) == (20.0, 60.0)


async def test_only_what_is_not_configured_is_asked_for_under_the_streamed_alias() -> None:
    """A configured key is not asked for under any alias; one that others want is asked for as they wrote it."""
    redis = Redis(report(("A", "configured"), ("b", "wanted"), ("c", "added"), ("d", "configured"), ("D", "wanted")))
    await redis.wishes("a", "B", "C", "D", "E", "e").look()
    assert [(sorted(names), life_s) for names, life_s in redis.asked] == [(["E", "b", "c"], LIFE_S)]


async def test_without_a_streamer_the_wish_is_there_for_the_next_one() -> None:
    """With no report the symbols are asked for as the user wrote them; a replay is asked for nothing."""
    redis = Redis(None)
    await redis.wishes("b").look()
    assert redis.asked == [(["b"], LIFE_S)]
    replay = Redis(report())
    await replay.wishes("b").look()
    assert replay.asked == []


@pytest.mark.parametrize(
    ("found", "pause_s"),
    [
        (report(("A", "configured")), LOOK_EVERY_S),
        (report(("A", "configured"), ("B", "wanted")), RENEW_EVERY_S),
        (report(("A", "configured"), refused={"B": "the limit"}), RENEW_EVERY_S),
        (None, RENEW_EVERY_S),
        (report(), RENEW_EVERY_S),
    ],
)
async def test_it_looks_often_only_until_the_streamer_has_answered(
    found: StreamerReport | None, pause_s: float
) -> None:
    """The report is read every second while a symbol is neither streamed nor refused, else with each renewal."""
    assert await Redis(found).wishes("B").look() == pause_s


async def test_a_user_who_may_not_wish_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused write is one log line, not an error; once it is allowed, the wish is written."""
    redis = Redis(report(("A", "configured")))
    redis.failure = refused()
    wishes = redis.wishes("B")
    for _ in range(3):
        await wishes.look()
        assert wishes.refusal is not None
        redis.now_s += RENEW_EVERY_S
    assert "".join(capsys.readouterr()).count("cannot ask the streamer for symbols") == 1
    redis.failure = None
    await wishes.look()
    assert wishes.refusal is None
    assert redis.asked == [(["B"], LIFE_S)]


async def test_while_redis_is_away_it_tries_again_soon() -> None:
    """An outage is not a refusal: the wish is written with the next look after it."""
    redis = Redis(report(("A", "configured")))
    redis.failure = RedisUnavailable("away")
    wishes = redis.wishes("B")
    assert await wishes.look() == LOOK_EVERY_S
    assert wishes.refusal is None
    redis.failure = None
    redis.now_s += LOOK_EVERY_S
    await wishes.look()
    assert redis.asked == [(["B"], LIFE_S)]
