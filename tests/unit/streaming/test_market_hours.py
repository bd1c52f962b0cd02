"""The equity hours of each day: asked for once, while streaming, and again only after a failure."""

import asyncio
from collections.abc import Iterable
from datetime import date
from typing import Any

from schwabstream.errors import SchwabUnavailable
from schwabstream.market.trading_hours import Schedule
from schwabstream.streaming.market_hours import LOOK_EVERY_S, keep_equity_hours
from tests.support.virtual_time import VirtualLoop, VirtualTime, run_virtual

DAY_S = 86_400.0
ANSWER = {"equity": {"EQ": {"isOpen": False}}}


class Endpoint:
    """A markets endpoint that gives these answers, one after the other; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], date]] = []

    async def fetch(self, markets: Iterable[str], day: date) -> dict[str, Any]:
        """Answer, or fail."""
        self.asked.append((list(markets), day))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def play(endpoint: Endpoint, *, days: float, streaming: bool = True) -> Schedule:
    """Keep the hours for so long, from Tuesday 2026-11-24 11:00 in New York."""
    loop, schedule = VirtualLoop(), Schedule()

    async def story() -> None:
        ready = asyncio.Event()
        ready.set()
        keeper = asyncio.ensure_future(
            keep_equity_hours(schedule, endpoint.fetch, VirtualTime(loop).clock, ready, lambda: streaming)
        )
        await asyncio.sleep(days * DAY_S)
        keeper.cancel()
        await asyncio.wait({keeper})

    run_virtual(story(), loop)
    return schedule


def test_each_day_is_asked_for_once() -> None:
    """One call a day, New York's, whatever the number of looks."""
    endpoint = Endpoint(ANSWER)
    schedule = play(endpoint, days=1.5)
    assert endpoint.asked == [(["equity"], date(2026, 11, 24)), (["equity"], date(2026, 11, 25))]
    assert schedule.knows_equity_hours(date(2026, 11, 25))


def test_a_failure_or_nonsense_is_asked_about_again() -> None:
    """Neither an error nor an answer that is not one ends the asking; the next look asks again."""
    endpoint = Endpoint(SchwabUnavailable("down"), {"equity": 7}, {}, ANSWER)
    schedule = play(endpoint, days=5 * LOOK_EVERY_S / DAY_S)
    assert len(endpoint.asked) == 4
    assert schedule.knows_equity_hours(date(2026, 11, 24))


def test_nobody_is_asked_while_nothing_streams() -> None:
    """During an outage Schwab is left alone."""
    endpoint = Endpoint(ANSWER)
    play(endpoint, days=1, streaming=False)
    assert endpoint.asked == []
