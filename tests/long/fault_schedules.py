"""Random troubles, seeded, played on virtual time, and the promises that must hold whatever happened.

``python -m pytest tests/integration/test_faults.py`` plays 100, always the same; ``python
tests/long/fault_schedules.py`` plays 10,000 that nobody has seen, on all cores, and ``--first SEED --count 1`` one of
them again.
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
from typing import Any

from schwabstream.simulator import Faults
from schwabstream.simulator.streamer import Session

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types
    from pathlib import Path

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.fault_proxy import Spoil
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

Undo = Callable[[], None]
Begin = Callable[[Stage, random.Random], Undo | None]


def _switch(**switches: Any) -> Begin:
    """Set switches of the simulator, and set them back."""

    def begin(stage: Stage, _: random.Random) -> Undo:
        faults, before = stage.simulator.faults, Faults()
        for name, value in switches.items():
            setattr(faults, name, value)

        def undo() -> None:
            for name in switches:
                setattr(faults, name, getattr(before, name))

        return undo

    return begin


def _and_drop(begin: Begin) -> Begin:
    """The same, while the stream has to come back."""

    def dropping(stage: Stage, rng: random.Random) -> Undo | None:
        undo = begin(stage, rng)
        stage.simulator.close_all()
        return undo

    return dropping


def _close(code: int | None) -> Begin:
    def begin(stage: Stage, _: random.Random) -> None:
        stage.simulator.close_all(code)

    return begin


def _spoil(*, reset_after: bool = False, **switches: Any) -> Begin:
    """Set switches of the proxy; a black hole ends with the connections it swallowed bytes of."""

    def begin(stage: Stage, _: random.Random) -> Undo:
        spoil, before = stage.proxy.spoil, Spoil()
        for name, value in switches.items():
            setattr(spoil, name, value)

        def undo() -> None:
            for name in switches:
                setattr(spoil, name, getattr(before, name))
            if reset_after:
                stage.proxy.reset_all()

        return undo

    return begin


def _refuse_commands(stage: Stage, rng: random.Random) -> Undo:
    services = ("SUBS", "LEVELONE_FUTURES", "LEVELONE_EQUITIES", "CHART_EQUITY", "NASDAQ_BOOK", "ADD")
    return _and_drop(_switch(command_codes={rng.choice(services): rng.choice((9, 11, 12, 19, 20, 21, 22, 24, 30))}))(
        stage, rng
    ) or (lambda: None)


def _ignore_commands(stage: Stage, rng: random.Random) -> Undo:
    services = ("SUBS", "LEVELONE_FUTURES", "CHART_FUTURES", "NASDAQ_BOOK", "FUTURES_BOOK")
    return _and_drop(_switch(unanswered={rng.choice(services)}))(stage, rng) or (lambda: None)


def _expire_token(stage: Stage, _: random.Random) -> None:
    stage.simulator.oauth.revoke_access()
    stage.simulator.close_all()


def _expire_login(stage: Stage, _: random.Random) -> Undo:
    stage.simulator.oauth.revoke_refresh()
    stage.simulator.oauth.revoke_access()
    stage.simulator.close_all()
    return stage.log_in


def _evict(stage: Stage, _: random.Random) -> None:
    stage.simulator.evict_all()


def _storm(stage: Stage, _: random.Random) -> Undo:
    """Somebody else takes the connection again and again."""
    loop = asyncio.get_running_loop()
    timer: list[asyncio.TimerHandle] = []

    def strike() -> None:
        stage.simulator.evict_all()
        timer[:] = [loop.call_later(7.0, strike)]

    strike()
    return lambda: timer[0].cancel()  # noqa: PLW0108 - the timer of that moment


def _half_open(stage: Stage, _: random.Random) -> Undo:
    stage.proxy.spoil.half_open = True
    stage.proxy.reset_all(towards_client=False)

    def undo() -> None:
        stage.proxy.spoil.half_open = False
        stage.proxy.reset_all()

    return undo


def _reset(stage: Stage, _: random.Random) -> None:
    stage.proxy.reset_all()


def _token_error(stage: Stage, rng: random.Random) -> Undo:
    kinds = ("server_error", "rate_limited", "forbidden_html", "empty_401", "not_json", "drop", "bare_unsupported")
    _expire_token(stage, rng)
    return _switch(token_error=rng.choice(kinds), retry_after_s=rng.choice((None, 2, 20)))(stage, rng) or (lambda: None)


def _rest_error(stage: Stage, rng: random.Random) -> Undo:
    kinds = ("server_error", "rate_limited", "forbidden_html", "gateway_fault", "not_json", "drop", "silence")
    begin = _switch(rest_error=rng.choice(kinds), retry_after_s=rng.choice((None, 2, 20)))
    return _and_drop(begin)(stage, rng) or (lambda: None)


TROUBLES: dict[str, Begin] = {
    **{f"close {code}": _close(code) for code in (None, 1000, 1001, 1006, 1011, 1012)},
    "reset": _reset,
    "half-open": _half_open,
    "network black hole": _spoil(black_hole=True, reset_after=True),
    "network refuses": _and_drop(_spoil(refuse=True)),
    "cut in the handshake": _and_drop(_spoil(drop_after_bytes=60)),
    "cut in the login": _and_drop(_spoil(drop_after_bytes=300)),
    "cut after the login": _and_drop(_spoil(drop_after_bytes=900)),
    "slow drip": _spoil(bytes_per_s=4000.0),
    "latency": _spoil(latency_s=(0.001, 0.025)),
    "server refuses": _and_drop(_switch(refuse=True)),
    "handshake dropped": _and_drop(_switch(drop_in_handshake=True)),
    "handshake 503": _and_drop(_switch(handshake_status=503)),
    "handshake late": _and_drop(_switch(handshake_delay_s=12.0)),
    "server black hole": _switch(black_hole=True),
    "no pongs": _switch(pongs=False),
    "login unanswered": _and_drop(_switch(login_unanswered=True)),
    "login dropped": _and_drop(_switch(login_drop=True)),
    "login late": _and_drop(_switch(login_delay_s=4.0)),
    "login denied": _and_drop(_switch(login_code=3)),
    "login evicted": _and_drop(_switch(login_code=12)),
    "login failed": _and_drop(_switch(login_code=9)),
    "commands refused": _refuse_commands,
    "commands unanswered": _ignore_commands,
    "commands late": _and_drop(_switch(command_delay_s=2.0, serial_commands=True)),
    "symbol limit": _and_drop(_switch(max_keys=1)),
    "code 30": lambda stage, _: stage.simulator.stop_all(),
    "eviction": _evict,
    "eviction storm": _storm,
    "heartbeats only": _switch(data=False),
    "rare heartbeats": _switch(heartbeat_interval_s=75.0),
    "quiet, rare heartbeats": _switch(changes_per_s=0.0, heartbeat_interval_s=75.0),
    "quiet, no second snapshots": _switch(changes_per_s=0.0, snapshot_on_resubscribe=False),
    "no second snapshots": _switch(snapshot_on_resubscribe=False),
    "roots under contracts": _and_drop(_switch(root_stream_key="contract")),
    "nothing at all": _switch(data=False, heartbeats=False),
    "no heartbeats": _switch(heartbeats=False),
    "mute service": _switch(muted_services={"LEVELONE_FUTURES"}),
    "silent key": _switch(silent_keys={"/MES"}),
    "batch cut": _and_drop(_switch(batch_limit=1)),
    "garbage": _switch(garbage_share=0.5),
    "truncated": _switch(truncate_share=0.5),
    "nan": _switch(nan_share=0.5),
    "500 kB frames": _switch(padding_bytes=500_000),
    "token expired": _expire_token,
    "login expired": _expire_login,
    "token endpoint": _token_error,
    "rest": _rest_error,
    "drops": _and_drop(_switch(drop_every_s=(1.0, 8.0))),
}


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
        """Send an entry of every subscribed key now and then, for ever."""
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
    """Some troubles, overlapping as chance wills; at the end all are over."""
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
