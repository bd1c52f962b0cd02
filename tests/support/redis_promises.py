"""The promises that hold after any troubles of Redis and of the streamers: what ``redis_schedules`` asserts."""

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from schwabstream.consumer.repeats import RUN_APART
from schwabstream.errors import LeaseLost
from schwabstream.report import Count
from tests.support.deployment import PREFIX, SYMBOLS, Deployment
from tests.support.ledger import Heard, Run
from tests.support.redis_values import Data

KEPT_S = 15.0
EXCUSED_AFTER_S = 20.0
"""A streamer that was paused or cut off may find this much later that it was replaced."""
Hindered = Mapping[str, Sequence[float]]
"""When each streamer began and ceased to be paused or cut off."""
Losses = Sequence[tuple[float, float]]
"""The spans whose writes Redis lost."""
Written = Mapping[tuple[str, int], Sequence[float]]
"""When Redis wrote each event to its stream."""


def judge(deployment: Deployment, lost_after: Losses) -> None:
    """Hold everything that happened against the promises."""
    ledger = deployment.ledger
    crashed = [line for line in deployment.logs if line["event"] == "a part of the run failed; the stream continues"]
    assert not crashed, crashed
    streams = {channel: _in_stream(deployment.redis.data, channel) for channel in ("ticks", "level2", "bars", "status")}
    owners: dict[tuple[str, int], Run] = {}
    for run in ledger.runs:
        _judge_numbers(run, owners)
    for channel, seqs in streams.items():
        _judge_stream(channel, seqs, owners)
    # The streamer that a run replaced may be the first to return to a Redis that has lost the run (docs/adr/0007).
    forgotten = {run for run in ledger.runs if any(began <= run.began <= end for began, end in lost_after)}
    for run in ledger.runs:
        _judge_losses(run, streams, ledger.written, lost_after)
        successors = [each.began for each in ledger.runs if each.streamer != run.streamer and each.began > run.began]
        if run not in forgotten:
            _judge_lease(run, deployment.hindered, successors)
    _judge_last_values(deployment.redis.data)
    for name, heard in ledger.heard.items():
        assert heard.error is None, f"{name} ended: {heard.error}"
        _judge_reader(name, heard, streams, owners)
        if name != "group reader":  # what a consumer did not acknowledge comes again later
            _judge_order(name, heard, owners, forgotten)


def _in_stream(data: Data, channel: str) -> list[int]:
    stream = data.values.get(f"{PREFIX}:stream:{channel}".encode())
    return [orjson.loads(fields[-1])["seq"] for _, fields in stream.entries] if stream else []


def _judge_numbers(run: Run, owners: dict[tuple[str, int], Run]) -> None:
    """A run numbers without holes, and no two runs give the same number."""
    for channel, seqs in run.published.items():
        for before, after in itertools.pairwise(seqs):
            assert after == before + 1 or after - before >= RUN_APART, f"{channel}: {after} after {before}"
        for seq in seqs:
            assert owners.setdefault((channel, seq), run) is run, f"{channel} {seq} was given twice"


def _judge_stream(channel: str, seqs: list[int], owners: dict[tuple[str, int], Run]) -> None:
    """No event is in a stream twice or out of order, and no two runs wrote alternately."""
    twice = [seq for seq, count in Counter(seqs).items() if count > 1]
    assert not twice, f"{channel} twice in the stream: {twice[:5]}"
    turns = [run.number for run, _ in itertools.groupby(owners[channel, seq] for seq in seqs)]
    assert turns == sorted(set(turns)), f"{channel}: runs wrote in turns: {turns}"
    assert seqs == sorted(seqs), f"{channel} is out of order"


def _judge_losses(run: Run, streams: dict[str, list[int]], written: Written, lost_after: Losses) -> None:
    """What is missing in the streams was reported with its count, unless the streamer died with it."""
    missing = [(channel, seq) for channel, seqs in run.published.items() for seq in {*seqs} - {*streams[channel]}]
    counts = run.publisher.counts
    counted = counts[Count.DROPPED] + counts[Count.LOST]
    if run.ended is None:
        assert len(missing) == counted, (
            f"run {run.number} lacks {len(missing)}, and counted {counted}: {sorted(missing)[:5]}"
        )
        reported = sum(each["count"] for each in run.statuses if each["state"] == "dropped" or _is_failover(each))
        assert reported == counted, f"run {run.number} counted {counted} lost events, and announced {reported}"
        assert counts[Count.LOST] == 0 or any(began < end - KEPT_S + 1 for began, end in lost_after), "kept, but lost"
        return
    for channel, seq in missing:
        times = written.get((channel, seq), ())
        excused = all(any(began <= at <= end for began, end in lost_after) for at in times)
        assert excused, f"run {run.number}: {channel} {seq} was acknowledged at {times} and is gone"


def _is_failover(status: dict[str, Any]) -> bool:
    return status["state"] == "gap" and status.get("detail") == "redis-failover"


def _judge_lease(run: Run, hindered: Hindered, successors: Sequence[float]) -> None:
    """A living streamer that reaches Redis is not deposed; ``successors`` began then."""
    if isinstance(run.error, LeaseLost) and run.ended is not None and not run.killed:
        times = hindered[run.streamer]
        # One that was replaced learns it when Redis answers again, however long that takes.
        excused = any(at <= moment <= at + EXCUSED_AFTER_S for at in times for moment in (run.ended, *successors))
        assert excused, f"{run.streamer} was deposed at {run.ended:.3f}: {run.error}"


def _judge_last_values(data: Data) -> None:
    """The last value of each symbol is its newest event in the stream."""
    for channel in ("ticks", "level2"):
        stream = data.values.get(f"{PREFIX}:stream:{channel}".encode())
        newest = {fields[1]: orjson.loads(fields[3])["seq"] for _, fields in stream.entries} if stream else {}
        last = {
            symbol: orjson.loads(event)["seq"]
            for symbol, event in data.values[f"{PREFIX}:last:{channel}".encode()].items()
        }
        assert last == newest, f"last values of {channel}: {last}, and in the stream {newest}"


def _judge_reader(name: str, heard: Heard, streams: dict[str, list[int]], owners: dict[tuple[str, int], Run]) -> None:
    """A reader gets no event twice, in order, and every loss is reported."""
    if name == "group reader":
        unheard = {*streams["ticks"]} - {*heard.events["ticks"]}
        assert not unheard, f"{name} never got ticks {sorted(unheard)[:5]}"
        return
    for channel, seqs in heard.events.items():
        twice = [seq for seq, count in Counter(seqs).items() if count > 1]
        assert not twice, f"{name} got {channel} twice: {twice[:5]}"
    if name == "stream reader":
        unheard = {*streams["ticks"]} - {*heard.events["ticks"]}
        assert not unheard or heard.gaps, f"{name} never got ticks {sorted(unheard)[:5]}"
    if name == "subscriber":
        holes, uncounted = _holes(heard)
        reported = sum(each.count or 0 for each in heard.gaps)
        assert holes - uncounted <= reported <= holes, f"{name} missed {holes} events, and {reported} were reported"


def _judge_order(name: str, heard: Heard, owners: dict[tuple[str, int], Run], forgotten: Collection[Run]) -> None:
    """Events come in order; those of an earlier run may come later if Redis has forgotten that the next one began."""
    for channel, seqs in heard.events.items():
        for before, after in itertools.pairwise(seqs):
            # A deposed streamer still announces its end, with a number of its own run.
            excused = channel == "status" or owners[channel, before] in forgotten
            assert before < after or excused, f"{name} got {channel} out of order: {after} after {before}"


def _holes(heard: Heard) -> tuple[int, int]:
    """How many events are missing, and how many of them the report of a new run, which has no count, may mean.

    After an outage the last values of a run may be the last events of it: the next live one is of another run.
    """
    missing = uncounted = 0
    for seqs in heard.events.values():
        for run in _runs_in(seqs):
            holes = [after - before - 1 for before, after in itertools.pairwise(run)]
            missing += sum(holes)
            uncounted += 0 if run[-1] == max(seqs) else sum(holes[-len(SYMBOLS) :])
    return missing, uncounted


def _runs_in(seqs: Sequence[int]) -> list[list[int]]:
    """The numbers by run; the events of two runs may alternate."""
    runs: list[list[int]] = []
    for seq in seqs:
        run = next((each for each in runs if abs(seq - each[-1]) < RUN_APART), None)
        if run is None:
            runs.append([seq])
        else:
            run.append(seq)
    return runs
