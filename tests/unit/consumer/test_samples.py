"""When a screen reads the last values in place of every event, and what it does when Redis is slow or away."""

import asyncio
from collections.abc import Mapping

import pytest
from redis.exceptions import ConnectionError as RedisAwayError

from schwabstream.consumer.samples import PATIENCE_S, Samples
from schwabstream.report import StreamerReport, SymbolReport
from tests.support.virtual_time import VirtualLoop, run_virtual


def report(rates: Mapping[str, float], state: str = "streaming") -> StreamerReport:
    """The report of a streamer that publishes these keys at these rates."""
    lines = tuple(SymbolReport(symbol=key, key=key, asset="EQUITY", rate=rate) for key, rate in rates.items())
    return StreamerReport.model_validate(
        {"state": state, "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}
        | {"symbols": lines}
    )


async def nothing() -> None:
    """Read no values."""


def test_samples_are_wanted_in_a_fast_market_until_it_is_half_as_fast() -> None:
    """The rate is that of all symbols together; one that moves around the bound does not change the mode each time."""
    samples, wanted = Samples(nothing), []
    for rate in (900.0, 1_100.0, 600.0, 400.0, 900.0):
        samples.follow(report({"A": rate, "B": rate}), ())
        wanted.append(samples.wanted)
    assert wanted == [False, True, True, False, False]


def test_only_the_symbols_that_are_received_count() -> None:
    """A reader of the channels of its symbols receives nothing of the others."""
    samples = Samples(nothing)
    samples.follow(report({"A": 10.0, "B": 50_000.0}), {"A"})
    assert not samples.wanted
    samples.follow(report({"A": 10.0, "B": 50_000.0}), {"A", "B"})
    assert samples.wanted


@pytest.mark.parametrize("ended", [None, report({"A": 50_000.0}, "waiting"), report({"A": 50_000.0}, "stopped")])
def test_no_samples_are_wanted_of_a_streamer_that_does_not_stream(ended: StreamerReport | None) -> None:
    """Its rates are of the past."""
    samples = Samples(nothing)
    samples.follow(report({"A": 50_000.0}), ())
    samples.follow(ended, ())
    assert not samples.wanted


def test_a_slow_redis_delays_a_frame_for_a_moment_only() -> None:
    """The values come with a later frame: they are neither asked for twice nor given up."""
    read: list[float] = []

    async def slowly() -> None:
        await asyncio.sleep(2.5 * PATIENCE_S)
        read.append(asyncio.get_running_loop().time())

    async def main() -> None:
        samples = Samples(slowly)
        await samples.refresh()
        assert asyncio.get_running_loop().time() == 0.0  # not active yet
        samples.active = True
        for _ in range(3):
            await samples.refresh()
        assert asyncio.get_running_loop().time() == pytest.approx(2.5 * PATIENCE_S)
        await samples.close()

    run_virtual(main(), VirtualLoop())
    assert read == pytest.approx([2.5 * PATIENCE_S])


def test_a_redis_that_fails_leaves_the_screen_alone() -> None:
    """The subscribed connection notices the outage and reports it."""

    async def fail() -> None:
        raise RedisAwayError("gone")

    async def main() -> None:
        samples = Samples(fail)
        samples.active = True
        await samples.refresh()
        await samples.refresh()
        await samples.close()

    run_virtual(main(), loop := VirtualLoop())
    assert loop.crashes == []
