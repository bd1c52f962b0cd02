"""Calls a person: runs the operator's command once for each occasion that needs someone.

The command runs without a shell and without our settings in its environment. It gets the StatusEvent on standard input,
and is killed after 30 seconds. Its failures are logged and affect nothing else. Past calls are stored beside the token
file, so that a restart does not repeat them.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import orjson
import structlog

from schwabstream.auth.files import replace_file
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import ConfigurationError, SchwabStreamError
from schwabstream.events import status_event
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.status import Status

log = structlog.get_logger(__name__)

LIMIT_S = 30.0
LEAVING_LIMIT_S = 1.0
LOOK_EVERY_S = 60.0
QUIET_S = 3600.0
_SAME_LOGIN_S = 3600.0
_STDERR_SHOWN = 500
_LASTING = frozenset(Status)


class Occasion(StrEnum):
    """Why a person is called; the ``detail`` of the event, unless the event has its own."""

    LOGIN_REQUIRED = "login_required"
    EVICTED = "evicted"
    LOGIN_DUE = "login_due"
    GAVE_UP = "gave_up"


def split_command(command: str) -> list[str]:
    """The words of the command; raises ``ConfigurationError`` for an invalid one."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"SCHWAB_ALERT_COMMAND: {error}; quote it as in a shell") from None
    if not words:
        raise ConfigurationError("SCHWAB_ALERT_COMMAND: the command is empty")
    return words


class AlertHistory:
    """The past occasions with their times, in seconds since the epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._times: dict[str, float] = {}
        # A missing or invalid file causes one extra alert at most.
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            content = orjson.loads(path.read_bytes())
            if isinstance(content, dict):
                self._times = {name: at for name, at in content.items() if isinstance(at, int | float)}

    def get(self, occasion: Occasion) -> float | None:
        """The time of the last call, or of the login that it was about; None without a call."""
        return self._times.get(occasion)

    def add(self, occasion: Occasion, at: float) -> None:
        """Store the time of a call."""
        self._times[occasion.value] = at
        self._save()

    def forget(self, before: Mapping[Occasion, float]) -> None:
        """Forget each occasion whose last call was before the given time."""
        over = [each for each, at in before.items() if self._times.get(each, at) < at]
        for each in over:
            del self._times[each]
        if over:
            self._save()

    def _save(self) -> None:
        try:
            replace_file(self._path, orjson.dumps(self._times))
        except OSError as error:
            log.debug("the alert history was not saved", reason=error.strerror)


class Alerts:
    """Calls a person through ``command``: enter :meth:`running`, and pass each StatusEvent to :meth:`take_status`."""

    def __init__(
        self,
        command: str,
        history: AlertHistory,
        *,
        environment: Mapping[str, str],
        limit_s: float = LIMIT_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._words = split_command(command)
        self._history, self._environment = history, environment
        self._limit_s, self._wall = limit_s, wall
        self._queued: deque[dict[str, Any]] = deque()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._state = "connecting"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Run the command when needed for the duration of the block; at its end, a running command gets a second."""
        task = start_beside(self._run(), "alerts")
        try:
            yield self
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVING_LIMIT_S):
                    await self._idle.wait()
            await end(task)

    def take_status(self, event: Mapping[str, Any]) -> None:
        """Check one published StatusEvent; returns at once."""
        state = event["state"]
        if state not in _LASTING:
            return
        self._state = state
        if state == "streaming":
            now = self._wall()
            # A fight over the connection or a restart loop streams briefly each time, and is still one occasion.
            quiet_since = now - QUIET_S
            self._history.forget(
                {Occasion.LOGIN_REQUIRED: now, Occasion.EVICTED: quiet_since, Occasion.GAVE_UP: quiet_since}
            )
        elif state in (Occasion.LOGIN_REQUIRED, Occasion.EVICTED):
            occasion = Occasion(state)
            self._call_once(occasion, {"detail": occasion.value, **event})

    async def gave_up(self, error: SchwabStreamError) -> None:
        """Alert that the run ends because of ``error``, and wait until the command has ended."""
        reason = f"the streamer gave up: {error}"
        self._call_once(Occasion.GAVE_UP, self._event("stopped", reason, Occasion.GAVE_UP))
        await self._idle.wait()

    async def watch_login(
        self, tokens: Callable[[], TokenSet | None], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Alert once per login, until cancelled, when the next one is due within 24 hours."""
        while True:
            login = tokens()
            reminder = login.login_reminder(self._wall()) if login else None
            if login and login.login_due_at is not None and reminder:
                before = self._history.get(Occasion.LOGIN_DUE)
                if before is None or abs(before - login.login_due_at) > _SAME_LOGIN_S:
                    self._queue(self._event(self._state, reminder, Occasion.LOGIN_DUE))
                    self._history.add(Occasion.LOGIN_DUE, login.login_due_at)
            await sleep(LOOK_EVERY_S)

    def _event(self, state: str, reason: str, occasion: Occasion) -> dict[str, Any]:
        return status_event(state, reason, int(self._wall() * 1000) * 1000, detail=occasion.value)

    def _call_once(self, occasion: Occasion, event: dict[str, Any]) -> None:
        if self._history.get(occasion) is None:
            self._history.add(occasion, self._wall())
            self._queue(event)

    def _queue(self, event: dict[str, Any]) -> None:
        self._queued.append(event)
        self._idle.clear()
        self._work.set()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queued:
                await self._call(self._queued.popleft())
            self._idle.set()

    async def _call(self, event: dict[str, Any]) -> None:
        """Run the command for one event, within the time limit; logs every failure."""
        try:
            async with asyncio.timeout(self._limit_s):
                code, output = await self._execute(orjson.dumps(event))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if isinstance(error, TimeoutError):
                reason = f"it did not end within {self._limit_s:g} s and was killed"
            code, output = None, reason
        if code != 0:
            log.error("the alert command failed", exit_code=code, reason=output, command=self._words[0])
        else:
            log.info("a person was called", state=event["state"], reason=event["reason"])

    async def _execute(self, payload: bytes) -> tuple[int, str]:
        """The command's exit code and the beginning of its standard error; kills its process group when cancelled.

        Uses files, not pipes: they need no reader while it runs, and its child processes cannot keep them open.
        """
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(payload)
            stdin.seek(0)
            process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=stdin,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                env=self._environment,
                start_new_session=True,  # so that its child processes can be killed with it
            )
            try:
                code = await process.wait()
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
            stderr.seek(0)
            return code, stderr.read(_STDERR_SHOWN).decode(errors="replace").strip()
