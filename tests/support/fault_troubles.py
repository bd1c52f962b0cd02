"""The troubles of the fault schedules: each begins at one moment, and ends when its undo is called.

They happen to the simulated Schwab, to the network in front of it, and to the login.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from schwabstream.simulator import Faults
from tests.support.fault_proxy import Spoil
from tests.support.stage import Stage

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
