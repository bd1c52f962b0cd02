"""A recording served by the simulator."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from schwabstream.commands.simulate import load_tape
from schwabstream.simulator import Faults, SchwabSimulator, Tape
from tests.support.recordings import SYMBOLS, T0, Collector, frames, played, streaming
from tests.support.waiting import until


async def test_the_simulator_serves_a_recording(file: Path, tmp_path: Path) -> None:
    """A client of the simulator with a tape gets the ticks and books that were recorded, in order."""
    each_symbol = [(kind, symbol) for kind in ("tick", "level2") for symbol in SYMBOLS]
    async with (
        SchwabSimulator(faults=Faults(changes_per_s=30, books_per_s=15)) as simulator,
        streaming(simulator, tmp_path, file) as (_, live),
    ):
        await until(lambda: all(len(live.content(*each)) > 6 for each in each_symbol), every_s=0.1)
    recorded = Collector()
    recorded.lines = played(file)
    then = {each: recorded.content(*each) for each in each_symbol}
    tape, subscribed = load_tape(file, speed=4.0), asyncio.Event()
    assert "FUTURES_BOOK" not in tape.services

    def reel() -> Iterator[tuple[int, str | bytes]]:
        """The recording, after a silence that lasts until the client has subscribed to everything."""
        silent_us = 0
        while not subscribed.is_set():
            yield silent_us, '{"data":[{"service":"LEVELONE_FUTURES","content":[]}]}'
            silent_us += 10_000
        recorded_frames = list(tape.frames())
        for at_us, frame in recorded_frames:
            yield silent_us + at_us - recorded_frames[0][0], frame

    async with (
        SchwabSimulator(faults=Faults(futures_depth=True), tape=replace(tape, frames=reel)) as simulator,
        streaming(simulator, tmp_path, None) as (_, served),
    ):
        subscribed.set()
        await until(
            lambda: all(served.content(*each)[-1:] == events[-1:] for each, events in then.items()), every_s=0.1
        )
    for each, events in then.items():
        # What came before a subscription was served is merged into its snapshot, and the first top of book tells how
        # things stood when depth was refused, which may be in the middle of the recording.
        now = served.content(*each)[1 if each[0] == "level2" else 0 :]
        assert now == events[-len(now) :], each
        assert len(now) > 0.5 * len(events) > 2, each


async def test_a_tape_gives_each_client_what_it_asked_for(tmp_path: Path) -> None:
    """Other keys are left out, broken frames go to all, and the loop begins again."""

    def reel() -> Iterator[tuple[int, str]]:
        yield from frames({"key": "/ES", "3": 1.0}, {"key": "/NQ", "3": 2.0, "1": 1.5})
        yield T0 + 200_000, '{"data":[{"broken'

    tape = Tape(reel, frozenset({"LEVELONE_FUTURES"}), speed=20, loop=True)
    async with (
        SchwabSimulator(tape=tape) as simulator,
        streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (client, served),
    ):
        await until(lambda: len(served.of("tick")) >= 3)
        await until(lambda: client.counts["undecodable"] >= 2)
        simulator.step()
    assert {event["symbol"] for event in served.of("tick")} == {"/NQ:XCME"}
    assert {event["last_price"] for event in served.of("tick")} == {2.0}


async def test_who_comes_late_gets_the_state_so_far(tmp_path: Path) -> None:
    """The tape began with another client; a new session's snapshot is the state so far."""
    tape = Tape(
        lambda: frames({"key": "/NQ", "3": 2.0, "1": 1.5}, {"key": "/NQ", "1": 1.75}),
        frozenset({"LEVELONE_FUTURES"}),
        speed=50,
    )
    async with SchwabSimulator(tape=tape) as simulator:
        async with streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (_, first):
            await until(lambda: len(first.of("tick")) == 2)
        async with streaming(simulator, tmp_path, None, ["/NQ:XCME"]) as (_, second):
            await until(lambda: second.of("tick"))
    assert [(event["last_price"], event["bid_price"]) for event in second.of("tick")] == [(2.0, 1.75)]
