"""A streamer's publisher and its readers through a failover, and what each of them lost, against the surviving stream.

The truth is the stream of the master that is left. What was published is known from the publisher, what was received
from the readers; both are processes of their own (``failover_roles``).
"""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.topology import Topology

ROLES = Path(__file__).with_name("failover_roles.py")
SETTLED_S = 0.5
"""The first events of a reader are last values, which are no history."""
END_LIMIT_S = 60.0
READERS = ("subscribe", "symbol", "read_stream", "group")
SYMBOL_STEP, SYMBOL_OFFSET = 50, 7
"""Every 50th event is of the symbol that one of the readers asks for."""


@dataclass(frozen=True)
class Received:
    """What one reader received; ``told`` is how many lost events its gaps count, None when a gap has no count.

    ``spans`` are the first and the last of each run of lost events, as numbers from the first published; ``gaps`` are
    the reports of the reader.
    """

    lost: int
    told: int | None
    twice: int
    in_order: bool
    silence_s: float
    spans: list[tuple[int, int]]
    gaps: list[str]
    ended: str | None

    @property
    def is_honest(self) -> bool:
        """Whether it reported everything that it lost."""
        return self.told is None or self.lost <= self.told


@dataclass(frozen=True)
class Evidence:
    """One run: what the surviving stream holds of what was published, what was reported, and what readers received."""

    published: int
    lost: int
    twice: int
    in_order: bool
    silence_s: float
    dropped: int
    told: int
    redis: dict[str, Any]
    readers: dict[str, Received]
    took_over: bool
    ended: str | None

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


class Trial:
    """A publisher and its readers at a topology, from the first event received to :meth:`finish`."""

    def __init__(self, topology: Topology, *, rate: int = 1_000) -> None:
        self._topology, self._rate = topology, rate
        self._began = 0.0
        self._stack = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._logs: dict[str, IO[str]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack, "publish", "--rate", str(self._rate))
            self._start(stack, "read")
            self._stack = stack.pop_all()
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack, role: str, *options: str) -> None:
        """Start one of the two and wait until it is ready."""
        command = [sys.executable, str(ROLES), role, self._topology.url, *options]
        errors = self._logs[role] = stack.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 - on the stack
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=errors)
        stack.callback(_end, process)
        self._processes[role] = process
        self._line(role)

    def _line(self, role: str) -> dict[str, Any]:
        """The next line that the process prints."""
        output = self._processes[role].stdout
        assert output is not None
        if line := output.readline():
            return dict(json.loads(line))
        raise RuntimeError(f"{role} ended: {self.log(role)}")

    def await_readers(self) -> None:
        """Return when each reader hears events again after a second of silence."""
        missing = set(READERS)
        while missing:
            missing.discard(self._line("read")["resumed"])

    def log(self, role: str) -> str:
        """What the process logged so far."""
        self._logs[role].seek(0)
        return self._logs[role].read()

    def finish(self) -> Evidence:
        """Stop the publisher, then the readers, and compare."""
        stopped_at = time.monotonic()
        published = self._finish("publish", None)
        seqs = published["seqs"]
        received = self._finish("read", {name: _asked(name, seqs)[-1] for name in READERS})
        stream = [event["seq"] for event in self._topology.surviving_stream()]
        told = [event for event in self._topology.surviving_stream("status") if event.get("detail") == "redis-failover"]
        return Evidence(
            published=len(seqs),
            lost=len(set(seqs).difference(stream)),
            twice=len(stream) - len(set(stream)),
            in_order=_rises(dict.fromkeys(stream)),
            silence_s=round(published["silence_s"], 2),
            dropped=published["dropped"],
            told=sum(event.get("count") or 0 for event in told),
            redis=published["redis"],
            readers={name: self._received(name, found, seqs) for name, found in received["readers"].items()},
            took_over=(received["took_over_at"] or stopped_at) < stopped_at,
            ended=published["ended"],
        )

    def _finish(self, role: str, order: Any) -> dict[str, Any]:
        process = self._processes[role]
        output, _ = process.communicate(f"{json.dumps(order)}\n", timeout=END_LIMIT_S)
        if process.returncode or not output:
            raise RuntimeError(f"{role} ended with {process.returncode}: {self.log(role)}")
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found

    def _received(self, name: str, found: dict[str, Any], seqs: list[int]) -> Received:
        heard: list[tuple[int, float]] = [(seq, at) for seq, at in found["heard"]]
        asked = _asked(name, seqs)
        first = 0
        if name in ("subscribe", "symbol"):
            first = max((seq for seq, at in heard if at < heard[0][1] + SETTLED_S), default=0)
        after = [seq for seq, _ in heard if seq > first]
        lost = {seq for seq in asked if seq > first}.difference(after)
        return Received(
            lost=len(lost),
            told=_told(found["gaps"]),
            twice=sum(Counter(after).values()) - len(set(after)),
            in_order=_rises(dict.fromkeys(after)),
            silence_s=round(_longest_gap([at for _, at in heard if at > self._began]), 2),
            spans=_spans(sorted(lost), seqs, len(seqs) // len(asked)),
            gaps=[gap["reason"] for gap in found["gaps"]],
            ended=found["ended"],
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _asked(name: str, seqs: list[int]) -> list[int]:
    """The published events that this reader asked for."""
    return seqs[SYMBOL_OFFSET::SYMBOL_STEP] if name == "symbol" else seqs


def _spans(lost: list[int], seqs: list[int], step: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for number in (seq - seqs[0] for seq in lost):
        if spans and spans[-1][1] + step == number:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _told(gaps: list[dict[str, Any]]) -> int | None:
    own = [gap["count"] for gap in gaps if gap["detail"] != "redis-failover"]
    return None if None in own else sum(own)


def _rises(seqs: Collection[int]) -> bool:
    return list(seqs) == sorted(seqs)


def _longest_gap(times: Sequence[float]) -> float:
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)
