"""The server to which a publisher writes, when to look for another, and whether one could take over (docs/adr/0015)."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from schwabstream.broker.watch import MasterWatch
from schwabstream.publishing.transaction import TransactionWriter
from schwabstream.report import Count, RedisReport
from schwabstream.side_tasks import end, start_beside

if TYPE_CHECKING:
    from schwabstream.broker.url import Address


log = structlog.get_logger(__name__)

CERTAIN: Final = 2
"""How many questions in a row must find that no failover is possible; a busy machine may miss a single answer."""


class Master:
    """The master that the last connection of ``writer`` led to; counts its changes in ``counts``.

    While it is :meth:`watched`, a connection to a server that is no longer the master is closed, and the log shows when
    too few Sentinels answer for a failover, and when enough answer again.
    """

    def __init__(
        self, writer: TransactionWriter, counts: Counter[str], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._writer, self._counts = writer, counts
        self._watch = MasterWatch(
            writer.route, lambda: writer.leads_to, writer.leave, asked=self._note_obstacle, sleep=sleep
        )
        self._address: Address | None = None
        self._doubts = 0

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch the master for the length of the block."""
        watch = start_beside(self._watch.run(), "watch of the master")
        try:
            yield
        finally:
            await end(watch)

    def note(self) -> None:
        """Note where a new connection leads."""
        address = self._writer.leads_to
        if address is not None and self._address not in (None, address):
            self._counts[Count.MASTER_CHANGES] += 1
        self._address = address or self._address

    def _note_obstacle(self) -> None:
        """Log once that no failover is possible, and once that one is possible again."""
        obstacle = self._writer.route.no_failover
        if obstacle is not None:
            self._doubts += 1
            if self._doubts == CERTAIN:
                log.warning(f"{obstacle}: no failover is possible", step="start the missing Sentinels")
            return
        if self._doubts >= CERTAIN:
            log.info("most Sentinels answer again: a failover is possible")
        self._doubts = 0

    @property
    def report(self) -> RedisReport:
        """The mode, the address of the last connection, and the counts of this run."""
        return RedisReport(
            mode=self._writer.route.mode,
            name=self._writer.master_name or None,
            master=str(self._address or ""),
            changes=self._counts[Count.MASTER_CHANGES],
            sent_again=self._counts[Count.SENT_AGAIN],
            already_there=self._counts[Count.ALREADY_THERE],
            lost=self._counts[Count.LOST],
        )
