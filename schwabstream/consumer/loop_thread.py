"""An event loop in a separate thread, so that blocking callers can use asynchronous code.

A script has no event loop, and a notebook's loop is busy with the cell that calls. Knows neither Redis nor events.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_Served = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class LoopThread:
    """A running event loop; closing it cancels its tasks and ends its thread. Leaving the block closes it.

    It also closes when it is garbage-collected and when the interpreter exits.
    """

    def __init__(self) -> None:
        served: Future[_Served] = Future()
        # A daemon, as the interpreter would otherwise wait for the thread before it lets anything close the loop.
        thread = threading.Thread(target=asyncio.run, args=(_serve(served),), name="schwabstream", daemon=True)
        thread.start()
        self._loop, stop = served.result()
        self.close = weakref.finalize(self, _close, self._loop, stop, thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what the coroutine of ``work`` returns; Ctrl-C ends the wait and leaves the coroutine to the loop."""
        done: Future[T] = Future()
        # The coroutine is created in the thread: here, Ctrl-C could come before it is awaited.
        self._loop.call_soon_threadsafe(lambda: _settle(done, asyncio.ensure_future(work())))
        return done.result()


def _settle(done: "Future[T]", task: "asyncio.Task[T]") -> None:
    """Give ``done`` the result of the task once there is one."""

    def settle(task: "asyncio.Task[T]") -> None:
        if task.cancelled():
            done.cancel()
        elif (error := task.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(task.result())

    task.add_done_callback(settle)


async def _serve(served: "Future[_Served]") -> None:
    stop = asyncio.Event()
    served.set_result((asyncio.get_running_loop(), stop))
    await stop.wait()


def _close(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, thread: threading.Thread) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(stop.set)
    # The garbage collector may run this in the thread itself.
    if thread is not threading.current_thread():
        thread.join()
