"""A streamer as a child process, which ends with the screen that needs it.

A process rather than a task: drawing must not delay reading the socket, and the child's exit code shows why it ended.
The last lines of its standard error are kept to explain a failure.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence

from schwabstream import errors
from schwabstream.commands.child_process import dies_with_parent
from schwabstream.errors import SchwabStreamError
from schwabstream.escapes import safe

STOP_LIMIT_S = 6.0
_KEPT_LINES = 20


@contextlib.asynccontextmanager
async def own_stream(symbols: Sequence[str], redis_url: str | None, *, simulate: bool) -> AsyncIterator["OwnStream"]:
    """Stream the symbols for the duration of the block, into that Redis or, when None, the configured one."""
    words = ["stream", "run", "--no-live", *(word for text in symbols for word in ("--symbols", text))]
    words += ["--redis", redis_url] if redis_url else []
    words += ["--simulate"] if simulate else []
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schwabstream",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C goes to the screen, which ends the child cleanly
        preexec_fn=dies_with_parent(),
    )
    stream = OwnStream(child)
    watch = asyncio.create_task(stream.watch(), name="child streamer")
    try:
        yield stream
    finally:
        if child.returncode is None:
            child.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(watch), STOP_LIMIT_S)
        except TimeoutError:
            child.kill()
            await watch


class OwnStream:
    """The child while it runs; ``ended`` is set once it has."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._lines: list[str] = []
        self.ended = asyncio.Event()

    async def watch(self) -> None:
        """Read the child's log until it ends."""
        if self._child.stderr is not None:
            async for line in self._child.stderr:
                self._lines = [*self._lines[1 - _KEPT_LINES :], line.decode(errors="replace").strip()]
        await self._child.wait()
        self.ended.set()

    def check(self) -> None:
        """Raise the error for the child's exit code once it has ended."""
        if not self.ended.is_set():
            return
        errors_logged = [
            line.removeprefix("schwabstream: ") for line in self._lines if line.startswith("schwabstream: ")
        ]
        last = f" ({safe(self._lines[-1])[:200]})" if self._lines else ""
        reason = (
            errors_logged[-1] if errors_logged else f"the stream ended with exit code {self._child.returncode}{last}"
        )
        raise _error_of(self._child.returncode or 1)(reason)


def _error_of(exit_code: int) -> type[SchwabStreamError]:
    """The most general error with that exit code."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SchwabStreamError))
    return next((kind for kind in kinds if kind.exit_code == exit_code), SchwabStreamError)
