"""Random troubles, seeded, on virtual time, and the promises that must hold after them.

``tests/integration/test_faults.py`` plays a few, always the same. ``python tests/long/fault_schedules.py`` plays 10,000
others on all cores, and ``--first SEED --count 1`` one of them again.
"""

import asyncio
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from schwabstream.simulator.streamer import Session

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types
    from pathlib import Path

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.fault_troubles import TROUBLES, Begin
from tests.support.seeds import play_all, seeds_from
from tests.support.stage import Stage, play
from tests.support.virtual_time import START

SYMBOLS = ("/MNQ:XCME", "/MES:XCME", "AAPL")
SERVICE_OF = {"/MNQ": "LEVELONE_FUTURES", "/MES": "LEVELONE_FUTURES", "AAPL": "LEVELONE_EQUITIES"}
ALIAS_OF = {"/MNQ": "/MNQ:XCME", "/MES": "/MES:XCME", "AAPL": "AAPL"}
WEEKEND = START - 3 * 86_400
"""Saturday: every market is closed, yet what is sent must arrive all the same."""
TROUBLE_S = 240.0
"""Troubles begin within this time."""
RECOVERY_S = 800.0
"""An eviction's pause, the longest backoff and two hard limits fit into this."""
SETTLE_S = 4.0
"""Within this time of the last entry its gap is reported."""
CONNECTIONS_A_MINUTE = 15
TOKEN_CALLS_A_MINUTE = 30
FIRST_NUMBER = 1_000_000_000


@dataclass(slots=True)
class Sent:
    """One entry that the simulator sent; ``certain`` unless it may have been spoiled on purpose."""

    at: float
    session: int
    certain: bool


@dataclass
class Floor:
    """A market of numbered entries, so that each one sent can be recognized when it is published."""

    stage: Stage
    sent: dict[str, dict[int, Sent]] = field(default_factory=lambda: {key: {} for key in SERVICE_OF})
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(FIRST_NUMBER))
    _sessions: dict[Session, int] = field(default_factory=dict)

    async def trade(self, interval_s: float) -> None:
        """Send an entry of every subscribed key now and then, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            for session in self.stage.simulator.live_sessions():
                for key in SERVICE_OF:
                    self._send(session, key)

    def _send(self, session: Session, key: str) -> None:
        simulator, service = self.stage.simulator, SERVICE_OF[key]
        faults = simulator.faults
        muted = not faults.data or faults.black_hole or service in faults.muted_services or key in faults.silent_keys
        muted = muted or not faults.changes_per_s
        if muted or key not in session.subscriptions.get(service, ()):
            return
        number = next(self._numbers)
        quote = simulator.market.quote(key)
        contract = quote.instrument.contract if quote and faults.root_stream_key == "contract" else ""
        entry = {"key": contract or key, "1": 99.5, "3": 100.0, "8": number, "34": simulator.now_ms()}
        number_of = self._sessions.setdefault(session, len(self._sessions))
        self.sent[key][number] = Sent(self.stage.time.wall(), number_of, certain=not faults.truncate_share)
        message = {"service": service, "timestamp": simulator.now_ms(), "command": "SUBS", "content": [entry]}
        simulator.feed.send_frame(session, [message])

    def published(self, key: str) -> set[int]:
        """The numbers that arrived at the publisher."""
        ticks = self.stage.tape.ticks(ALIAS_OF[key])
        return {tick["total_volume"] for tick in ticks if (tick["total_volume"] or 0) >= FIRST_NUMBER}


@dataclass
class Outcome:
    """What one schedule came to."""

    seed: int
    troubles: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    connections_a_minute: int = 0
    token_calls_a_minute: int = 0
    entries: int = 0
    gaps: int = 0
    recovery_s: float = 0.0


def play_schedule(outcome: Outcome) -> None:
    """Play the schedule of its seed and note what it comes to; raises ``AssertionError`` when a promise is broken."""
    seed = outcome.seed
    rng = random.Random(seed)
    start = rng.choice((START, START, START, WEEKEND))

    async def story(stage: Stage) -> None:
        if rng.random() < 0.3:
            stage.proxy.spoil.latency_s = (0.001, 0.025)
        floor = Floor(stage)
        await stage.streaming()
        market = asyncio.create_task(floor.trade(rng.choice((1.0, 2.0, 4.0))))
        await _make_trouble(stage, rng, outcome)
        outcome.recovery_s = await recovered(stage, floor)
        market.cancel()
        await asyncio.wait({market})
        await asyncio.sleep(SETTLE_S + stage.proxy.worst_delay_s)
        judge(stage, floor, outcome)

    play(story, *SYMBOLS, seed=seed, start=start, pulse=False, proxied=True, auto_refresh=True)


async def _make_trouble(stage: Stage, rng: random.Random, outcome: Outcome) -> None:
    """Some troubles, overlapping by chance; at the end all are over."""
    loop = asyncio.get_running_loop()
    plan: list[tuple[float, Callable[[], None]]] = []
    for _ in range(rng.randint(1, 5)):
        name = rng.choice(list(TROUBLES))
        begins, lasts = rng.uniform(0.0, TROUBLE_S), rng.choice((0.5, 5.0, 20.0, 45.0, 100.0)) * rng.uniform(0.5, 1.5)
        outcome.troubles.append(f"{begins:.0f}+{lasts:.0f} {name}")
        plan.append((begins, _beginning(stage, rng, TROUBLES[name], plan, begins + lasts)))
    began = loop.time()
    while plan:
        plan.sort(key=lambda step: step[0])
        at, step = plan.pop(0)
        await asyncio.sleep(max(0.0, began + at - loop.time()))
        step()
    stage.simulator.faults.reset()


def _beginning(
    stage: Stage, rng: random.Random, begin: Begin, plan: list[tuple[float, Callable[[], None]]], ends: float
) -> Callable[[], None]:
    def run() -> None:
        if undo := begin(stage, rng):
            plan.append((ends, undo))

    return run


async def recovered(stage: Stage, floor: Floor) -> float:
    """Wait until entries sent after the last trouble arrive, of every symbol; a person logs in when asked to."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    latest = {key: max(floor.sent[key], default=0) for key in SERVICE_OF}
    while not (
        stage.client.state == "streaming"
        and all(max(floor.published(key), default=0) > latest[key] for key in SERVICE_OF)
    ):
        assert loop.time() - began < RECOVERY_S, (
            f"not streaming again: {stage.client.state}, {stage.tape.statuses[-3:]}"
        )
        if stage.client.state == "login_required":
            stage.log_in()
        await asyncio.sleep(5.0)
    return loop.time() - began


def judge(stage: Stage, floor: Floor, outcome: Outcome) -> None:
    """Hold everything that happened against the promises."""
    assert stage.run is not None
    assert not stage.run.done(), "the streamer ended"
    outcome.counts = stage.client.counts
    outcome.connections_a_minute = stage.most_connections_a_minute()
    outcome.token_calls_a_minute = stage.most_refreshes_a_minute()
    outcome.gaps = len(stage.tape.announced("gap"))
    assert outcome.connections_a_minute <= CONNECTIONS_A_MINUTE
    assert outcome.token_calls_a_minute <= TOKEN_CALLS_A_MINUTE
    tolerance_s = 0.003 + stage.proxy.worst_delay_s
    for key, sent in floor.sent.items():
        outcome.entries += len(sent)
        gaps = [gap for gap in stage.tape.announced("gap") if ALIAS_OF[key] in gap["symbols"]]
        spans = [(gap["lost_at"] / 1000, gap["restored_at"] / 1000) for gap in gaps]
        _judge_losses(key, sent, floor.published(key), spans, tolerance_s)
        _judge_gaps(key, sent, floor.published(key), spans, tolerance_s)
    _judge_order(stage)


def _judge_losses(
    key: str, sent: dict[int, Sent], published: set[int], spans: list[tuple[float, float]], tolerance_s: float
) -> None:
    """No entry is lost outside a reported gap."""
    for number, entry in sent.items():
        if number not in published and entry.certain:
            reported = any(start - tolerance_s <= entry.at <= end + tolerance_s for start, end in spans)
            assert reported, f"{key} {number} of {entry.at:.3f} is lost outside {spans}"


def _judge_gaps(
    key: str, sent: dict[int, Sent], published: set[int], spans: list[tuple[float, float]], tolerance_s: float
) -> None:
    """Gaps of a symbol lie one behind the other, and begin no earlier than its data ended."""
    for (_, ended), (started, _) in itertools.pairwise(spans):
        assert ended <= started + 0.001, f"{key}: gaps overlap: {spans}"
    for start, end in spans:
        assert start <= end
        before = [sent[number].session for number in published if sent[number].at <= start]
        if not before:
            continue
        ended_session = max(before)
        late = [
            sent[number].at
            for number in published
            if sent[number].session == ended_session and start + tolerance_s < sent[number].at < end - tolerance_s
        ]
        assert not late, f"{key}: data of {late} arrived in the gap {start, end}"


def _judge_order(stage: Stage) -> None:
    """Every session after the first restores each symbol once at most, and nothing but what was lost."""
    reported: Counter[str] = Counter()
    for status in stage.tape.statuses:
        if status["state"] in ("waiting", "evicted", "login_required"):
            reported.clear()
        elif status["state"] == "gap":
            reported.update(status["symbols"])
            assert max(reported.values()) == 1, f"two gaps for one outage: {reported}"


def _play_one(seed: int) -> tuple[Outcome, str]:
    outcome = Outcome(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            play_schedule(outcome)
        except Exception as error:  # noqa: BLE001 - whatever breaks a promise is reported with its seed
            return outcome, verdict(outcome, error)
    return outcome, ""


def verdict(outcome: Outcome, error: Exception) -> str:
    """What broke which promise, as one line."""
    return f"seed {outcome.seed} ({'; '.join(outcome.troubles)}): {type(error).__name__}: {error}"


def play_many(seeds: Iterable[int]) -> tuple[list[Outcome], list[str]]:
    """Play schedules on all cores; returns what those that held came to, and which broke what."""
    return play_all(_play_one, seeds)


def main(words: Sequence[str] | None = None) -> int:
    """Play schedules from one seed on, a fresh one unless it is given; print those that fail, and the worst figures."""
    seeds = seeds_from(words, __doc__.partition("\n")[0])
    began = time.monotonic()
    outcomes, failures = play_many(seeds)
    if outcomes:
        for name in ("connections_a_minute", "token_calls_a_minute", "recovery_s", "gaps"):
            worst = max(outcomes, key=lambda outcome: getattr(outcome, name))
            print(f"most {name}: {getattr(worst, name):g} (seed {worst.seed}: {'; '.join(worst.troubles)})")
        print(f"{sum(outcome.entries for outcome in outcomes)} entries, {sum(o.gaps for o in outcomes)} gaps")
    print(f"{len(outcomes)} held, {len(failures)} failed, {time.monotonic() - began:.0f} s")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
