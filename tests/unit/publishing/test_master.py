"""Where the publisher writes: the report of it, and the end of a connection to a former master."""

import asyncio
from collections import Counter
from typing import Any

from structlog.testing import capture_logs

from schwabstream.broker.url import Address
from schwabstream.publishing.master import Master
from schwabstream.report import RedisReport

ONE, TWO = Address("127.0.0.1", 7001), Address("127.0.0.1", 7002)


class Writer:
    """A writer whose connection leads where the test says; its route names ``master``."""

    def __init__(self) -> None:
        self.leads_to: Address | None = None
        self.master = ONE
        self.no_failover: str | None = None
        self.mode, self.master_name, self.route = "sentinel", "mymaster", self
        self.left: list[Address] = []

    async def find(self) -> Address:
        """Name the master."""
        return self.master

    def leave(self, master: Address) -> None:
        """Note what the connection was given up for."""
        self.left.append(master)
        self.leads_to = None


def master_of(writer: Any, counts: Counter[str], sleep: Any = asyncio.sleep) -> Master:
    """The master that this writer writes to."""
    return Master(writer, counts, sleep)


def test_each_other_master_is_counted_once() -> None:
    """A reconnect to the same server is no change; the address is known while no connection is open."""
    writer, counts = Writer(), Counter[str]({"sent again": 5, "already there": 6, "lost": 7})
    master = master_of(writer, counts)
    assert master.report.master == ""
    for address in (ONE, ONE, None, TWO, None, TWO, ONE):
        writer.leads_to = address
        master.note()
    writer.leads_to = None
    assert master.report == RedisReport(
        mode="sentinel",
        name="mymaster",
        master="127.0.0.1:7001",
        changes=2,
        sent_again=5,
        already_there=6,
        lost=7,
    )


async def test_a_connection_to_a_former_master_is_given_up() -> None:
    """While watched, a connection ends when the route names another server; one to the master stays."""
    writer, turns = Writer(), asyncio.Semaphore(0)

    async def sleep(_seconds: float) -> None:
        await turns.acquire()

    writer.leads_to = ONE
    async with master_of(writer, Counter(), sleep).watched():
        for master in (ONE, ONE, TWO, TWO):
            writer.master = master
            turns.release()
            for _ in range(5):
                await asyncio.sleep(0)
            assert writer.left == ([TWO] if writer.leads_to is None else [])
    assert writer.left == [TWO]


async def test_a_failover_that_is_impossible_is_logged_once() -> None:
    """Two questions in a row that too few Sentinels answer are one warning, and their return is one line."""
    writer, turns = Writer(), asyncio.Semaphore(0)
    few = "2 of 3 Sentinels do not answer"

    async def sleep(_seconds: float) -> None:
        await turns.acquire()

    async def logged(*obstacles: str | None) -> list[tuple[str, str]]:
        with capture_logs() as logs:
            for obstacle in obstacles:
                writer.no_failover = obstacle
                turns.release()
                for _ in range(5):
                    await asyncio.sleep(0)
        return [(each["log_level"], each["event"]) for each in logs]

    writer.leads_to = ONE
    async with master_of(writer, Counter(), sleep).watched():
        assert await logged(None, few, None, few, None) == []
        assert await logged(few, few, few, "3 of 3 Sentinels do not answer") == [
            ("warning", f"{few}: no failover is possible")
        ]
        assert await logged(None, None) == [("info", "most Sentinels answer again: a failover is possible")]
        assert await logged(few, few) == [("warning", f"{few}: no failover is possible")]
