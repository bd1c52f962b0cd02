"""Puts Redis, the streamer, the subscriber and a client together, and measures the client over one load.

The client has the first core to itself, streamer and subscriber the others; Redis goes where the kernel puts it. Every
measurement has a Redis and a directory of its own, so that none finds what another left.
"""

import bisect
import contextlib
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from benchmarks.frames import Workload, symbols
from benchmarks.front import write_token_file
from benchmarks.processes import (
    CLIENT_CORES,
    OTHER_CORES,
    ROOT,
    Process,
    clean_environment,
    cpu_ns,
    go,
    line,
    redis_server,
    resident_mib,
    running,
)


class Client(StrEnum):
    """Who is measured: schwab-py's way, ours without streams, ours as it comes."""

    BASELINE = "schwab-py"
    PUBLISHING = "publishing only"
    DEFAULT = "default"


PUBLISHING_ONLY = {"SCHWAB_REDIS_STREAM_MAXLEN": "0"}


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: ``events`` made events, ``repeat`` times over, at ``rate`` a second or as fast as they are read.

    ``rest_s`` is how long the client is looked at afterwards, with nothing sent; ``screen`` the terminal that it draws
    its table on.
    """

    workload: Workload
    events: int
    repeat: int = 1
    rate: float = 0
    symbols: int = 200
    crowd: int = 0
    rest_s: float = 0
    screen: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """How many events must reach a subscriber."""
        return self.events * self.repeat


@dataclass(frozen=True, slots=True)
class Measured:
    """One run; ``holes`` counts numbers that never came, None where there are none; latencies of paced runs.

    ``rest_percent`` is what the client takes of a core when nothing comes any more.
    """

    events: int
    lost: int
    holes: int | None
    seconds: float
    events_per_s: float
    cpu_us_per_event: float
    redis_cpu_us_per_event: float
    p50_us: float | None
    p99_us: float | None
    start_mib: float
    end_mib: float
    peak_mib: float
    rest_percent: float | None

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stage:
    """The running processes, for code that observes or disturbs them."""

    client_pid: int
    redis_pid: int

    def cpu_ns(self) -> tuple[int, int]:
        """What client and Redis have used so far."""
        return cpu_ns(self.client_pid), cpu_ns(self.redis_pid)


def measure(load: Load, client: Client, during: Callable[[Stage], None] = lambda _: None) -> Measured:
    """Run once; ``during`` is called right before the frames start. Raises ``RuntimeError`` when nothing arrives."""
    _warm_up(client)
    return _measure(load, client, during)


@functools.cache
def _warm_up(client: Client) -> None:
    """Run it once without looking, for its bytecode."""
    _measure(Load(Workload.MIX, 500), client, lambda _: None)


def _measure(load: Load, client: Client, during: Callable[[Stage], None]) -> Measured:
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schwabstream-bench-")))
        redis, port = stack.enter_context(redis_server(home))
        watching = ("--role", "stamp" if load.rate else "count", "--expected", load.expected)
        subscriber = stack.enter_context(_role("subscriber", "--port", port, *watching))
        line(subscriber)
        if load.crowd:
            line(stack.enter_context(_role("subscriber", "--port", port, "--role", "crowd", "--size", load.crowd)))
        sending = ("--workload", load.workload, "--events", load.events, "--symbols", load.symbols)
        streamer = stack.enter_context(_role("flood", *sending, "--repeat", load.repeat, "--rate", load.rate))
        where = line(streamer)
        errors = stack.enter_context((home / "stderr").open("w+"))
        process = stack.enter_context(_client(client, load, home, port, where, errors))
        try:
            line(streamer, while_lives=process)
            stage = Stage(process.pid, redis.pid)
            start_mib, (client_ns, redis_ns) = resident_mib(process.pid), stage.cpu_ns()
            during(stage)
            go(streamer)
            result = line(subscriber, while_lives=process)
            client_used, redis_used = (
                now - then for now, then in zip(stage.cpu_ns(), (client_ns, redis_ns), strict=True)
            )
            sent = line(streamer, while_lives=process)
            rest_percent = _at_rest(stage, load.rest_s) if load.rest_s else None
            return _measured(load, result, sent, (client_used, redis_used), start_mib, process.pid, rest_percent)
        except (RuntimeError, ZeroDivisionError) as error:
            errors.seek(0)
            raise RuntimeError(f"{client} did not get through {load} ({error}): {errors.read()[-2000:]}") from error


def _at_rest(stage: Stage, seconds: float) -> float:
    """What the client takes of a core, in percent."""
    (before_ns, _), started = stage.cpu_ns(), time.monotonic()
    time.sleep(seconds)
    return round((stage.cpu_ns()[0] - before_ns) / 1e7 / (time.monotonic() - started), 2)


def _measured(
    load: Load,
    result: Mapping[str, Any],
    sent: Mapping[str, Any],
    used_ns: tuple[int, int],
    start_mib: float,
    pid: int,
    rest_percent: float | None,
) -> Measured:
    events: int = result["events"]
    seconds = (result["last_ns"] - sent["started_ns"]) / 1e9
    p50, p99 = _latencies(result.get("stamps", []), sent["stamps"])
    numbered = result["numbered"]
    return Measured(
        events=events,
        lost=load.expected - events,
        holes=None if numbered is None else numbered - events,
        seconds=round(seconds, 3),
        events_per_s=round(events / seconds),
        cpu_us_per_event=round(used_ns[0] / 1e3 / events, 3),
        redis_cpu_us_per_event=round(used_ns[1] / 1e3 / events, 3),
        p50_us=p50,
        p99_us=p99,
        start_mib=round(start_mib, 1),
        end_mib=round(resident_mib(pid), 1),
        peak_mib=round(resident_mib(pid, "VmHWM"), 1),
        rest_percent=rest_percent,
    )


def _latencies(seen: Sequence[Sequence[int]], sent: Sequence[Sequence[int]]) -> tuple[float | None, float | None]:
    """Median and 99th percentile from the socket to the subscriber, in µs, without the first tenth (warm-up)."""
    if not sent or not seen:
        return None, None
    firsts, times = [number for number, _ in sent], [at_ns for _, at_ns in sent]
    taken = [at_ns - times[bisect.bisect_right(firsts, number) - 1] for number, at_ns in seen]
    taken = sorted(taken[len(taken) // 10 :])
    return round(taken[len(taken) // 2] / 1e3, 1), round(taken[len(taken) * 99 // 100] / 1e3, 1)


def _role(name: str, *words: object) -> contextlib.AbstractContextManager[Process]:
    return running([sys.executable, "-m", f"benchmarks.{name}", *map(str, words)], OTHER_CORES, cwd=ROOT)


def _client(
    client: Client, load: Load, home: Path, redis_port: int, where: Mapping[str, Any], errors: IO[str]
) -> contextlib.AbstractContextManager[Process]:
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    if client is Client.BASELINE:
        command = [sys.executable, "-m", "benchmarks.baseline", "--ws", where["ws"], "--redis", redis_url]
        return running(command, CLIENT_CORES, stderr=errors, cwd=ROOT)
    write_token_file(home / ".tokens" / "schwab_token.json")
    futures, equities = symbols(load.symbols)
    environment = clean_environment() | {
        "SCHWAB_API_BASE_URL": f"http://127.0.0.1:{where['http']}",
        "SCHWAB_CLIENT_ID": "benchmark",
        "SCHWAB_CLIENT_SECRET": "benchmark",
        "SCHWAB_SYMBOLS": ",".join([*futures, *equities]),
        "SCHWAB_MAX_SYMBOLS": str(load.symbols + 500),
        "REDIS_URL": redis_url,
        **(PUBLISHING_ONLY if client is Client.PUBLISHING else {}),
        **load.settings,
    }
    command = [sys.executable, "-m", "schwabstream", "stream", "run"]
    if load.screen is None:
        return running([*command, "--no-live"], CLIENT_CORES, stderr=errors, cwd=home, env=environment)
    environment["TERM"] = "xterm-256color"
    return running(command, CLIENT_CORES, stdout=load.screen, stderr=errors, cwd=home, env=environment)
