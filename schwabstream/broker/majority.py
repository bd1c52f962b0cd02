"""Asks all Sentinels, or all nodes of a Cluster, for the master, and counts their answers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from schwabstream.broker.nodes import ASK_LIMIT_S, FIRST_LIMIT_S
from schwabstream.broker.url import Address

SETTLE_S: Final = 0.1
"""How long to wait for the others after a majority has agreed; a question without an answer costs its connection."""
MOST: Final = 32
"""How many servers are asked, besides the seeds: each question is a connection, and a reply can name thousands."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one Sentinel or node: the master, and the other Sentinels or nodes.

    ``identity`` identifies the server that answered, at whichever of its addresses it was asked. ``master_id``
    identifies the master; empty if only its address is named.
    """

    identity: str
    master: Address
    master_id: str = ""
    others: tuple[Address, ...] = ()


@dataclass(slots=True)
class Round:
    """One round of questions: the addresses asked and reached, the answers by identity, and the failures."""

    nodes: dict[Address, None]
    reached: set[Address] = field(default_factory=set)
    answers: dict[str, Answer] = field(default_factory=dict)
    failures: dict[Address, Exception] = field(default_factory=dict)

    def add(self, nodes: Iterable[Address]) -> None:
        """Ask these, too, as far as ``MOST`` allows."""
        for node in nodes:
            if len(self.nodes) >= MOST:
                break
            self.nodes[node] = None

    @property
    def elected(self) -> Address | None:
        """The master that more than half of the answers name; None without such a majority."""
        leading = self._leading()
        if len(leading) * 2 <= len(self.answers):
            return None
        own = self.answers.get(leading[0].master_id)
        if own is not None:  # a node that has handed over its slot learns of the new owner first
            return own.master
        return Counter(sorted(each.master for each in leading)).most_common(1)[0][0]

    @property
    def agreed(self) -> bool:
        """Whether more than half of all servers asked, including those without an answer, name the same master."""
        unanswered = len(self.nodes) - len(self.reached)
        return len(self._leading()) * 2 > len(self.answers) + unanswered

    def _leading(self) -> list[Answer]:
        """The answers for the master that most of them name."""
        by_master: dict[str, list[Answer]] = {}
        for each in self.answers.values():
            by_master.setdefault(each.master_id or str(each.master), []).append(each)
        return max(by_master.values(), key=len, default=[])


class Majority:
    """Asks the ``seeds``, and the servers that their answers name, with ``ask``; remembers them.

    It remembers and asks at most ``MOST`` of them, and all seeds. A round takes at most ``ASK_LIMIT_S``. Until a server
    has answered for the first time, a round without any answer takes ``FIRST_LIMIT_S``, because its failure ends the
    program.
    """

    def __init__(self, seeds: Iterable[Address], ask: Callable[[Address], Awaitable[Answer]]) -> None:
        self._seeds, self._ask = tuple(seeds), ask
        self._named: tuple[Address, ...] = ()

    async def ask_all(self) -> Round:
        """Ask all of them at the same time, until all have answered, a majority agrees or the time is up."""
        time_of = asyncio.get_running_loop().time
        began = time_of()
        ends_at = began + (ASK_LIMIT_S if self._named else FIRST_LIMIT_S)
        result = Round(dict.fromkeys(self._seeds))
        result.add(self._named)
        tasks: dict[Address, asyncio.Task[Answer]] = {}
        try:
            while True:
                for node in result.nodes.keys() - tasks:
                    tasks[node] = asyncio.ensure_future(self._ask(node))
                    tasks[node].add_done_callback(_retrieve)
                waiting = {node: task for node, task in tasks.items() if not task.done()}
                if not waiting or time_of() >= ends_at:
                    break
                await asyncio.wait(waiting.values(), timeout=ends_at - time_of(), return_when=asyncio.FIRST_COMPLETED)
                for node, task in waiting.items():
                    if task.done():
                        _note(result, node, task)
                if result.answers:
                    ends_at = min(ends_at, max(began + ASK_LIMIT_S, time_of() + SETTLE_S))
                if result.agreed:
                    ends_at = min(ends_at, time_of() + SETTLE_S)
        finally:
            await _cancel(tasks.values())
        if result.answers:
            named = dict.fromkeys(each for answer in result.answers.values() for each in answer.others)
            # A Sentinel does not name itself.
            self._named = tuple(named | dict.fromkeys(result.reached))[:MOST]
        return result


def _note(result: Round, node: Address, task: asyncio.Task[Answer]) -> None:
    """Keep the answer of a finished task, or its error; an answer of a hostile server can raise any of these."""
    try:
        answer = task.result()
    except (RedisError, OSError, TimeoutError, ValueError, TypeError, LookupError) as error:
        result.failures[node] = error
    else:
        result.reached.add(node)
        result.answers[answer.identity] = answer
        result.add(answer.others)


async def _cancel(tasks: Collection[asyncio.Task[Answer]]) -> None:
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)


def _retrieve(task: asyncio.Task[Answer]) -> None:
    """Retrieve the error of a task that nobody waits for any more, or asyncio would log it."""
    if not task.cancelled():
        task.exception()
