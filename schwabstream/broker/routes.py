"""Where the master is: asked of the Sentinels or of the nodes of a Cluster before each connection.

redis-py connects, with TLS and AUTH; which node to connect to is decided here. Its own clients for Sentinels and
Clusters retry at the old address, among other faults (docs/adr/0015).
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.broker.nodes import Nodes
from schwabstream.broker.url import START, Address, Mode, RedisUrl, cause_of

ASK_LIMIT_S: Final = 1.0
"""For all Sentinels or nodes together, and for each node whose role is asked."""
_CORRECT: Final = "correct REDIS_URL or --redis"
Choose = Callable[[Sequence[Address]], Address]


class NoRoute(RedisConnectionError):
    """No master was found: what is wrong, and the next step. ``lasting``: it will not pass by itself."""

    def __init__(self, trouble: str, step: str = START, *, lasting: bool = False) -> None:
        super().__init__(f"{trouble}: {step}")
        self.trouble, self.step, self.lasting = trouble, step, lasting


class Route(Protocol):
    """The way to the server that a new connection should lead to."""

    mode: Mode

    async def find(self) -> Address:
        """Where that server is now; raises ``NoRoute``."""

    async def close(self) -> None:
        """Close the connections that the questions use."""


class Plain:
    """The way to a single Redis: always its own address."""

    mode: Mode = "single"

    def __init__(self, connection_url: str) -> None:
        parts = urlsplit(connection_url)
        tcp = Address(unquote(parts.hostname or "localhost"), parts.port or 6379)
        self._address = Address(unquote(parts.path), 0) if parts.scheme == "unix" else tcp

    async def find(self) -> Address:
        """The address of the URL."""
        return self._address

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one Sentinel or node answered: the master, the other Sentinels or nodes, and what identifies both.

    ``identity`` is that of the asked one. ``master_id`` is that of the master, empty where it is not named.
    """

    identity: str
    master: Address
    master_id: str = ""
    others: tuple[Address, ...] = ()


class _Topology(ABC):
    """Asks all known Sentinels or nodes for the master; the majority counts, and the master itself must confirm it."""

    mode: Mode
    _asked: str

    def __init__(self, url: RedisUrl, *, reads: bool = False, choose: Choose = random.choice) -> None:
        self._seeds, self._known = url.seeds, url.seeds
        self._reads = reads and url.from_replica
        self._choose = choose
        self._replica: Address | None = None
        self._nodes = Nodes(_maker(url.connection_url))

    async def find(self) -> Address:
        """Where the master is now, or a replica for readers that want one; raises ``NoRoute``."""
        answers, failures = await self._ask_all()
        master = self._elected(answers)
        if master is None:
            raise self._no_master(answers, failures)
        role = await self._role(master)
        if self._reads and (replica := await self._find_replica(role)):
            return replica
        return master

    async def close(self) -> None:
        """Close the connections that the questions use."""
        await self._nodes.close()

    @abstractmethod
    async def _ask(self, node: Address) -> Answer:
        """Ask one Sentinel or node; raises redis-py's errors, OSError and ``NoRoute``."""

    def _elected(self, answers: dict[str, Answer]) -> Address | None:
        """The master that more than half of the answers name."""
        return _majority([(each.master_id, each.master) for each in answers.values()], len(answers))

    def _no_master(self, answers: dict[str, Answer], failures: dict[Address, Exception]) -> NoRoute:
        """The error for answers without a majority, or for none."""
        if answers:
            named = ", ".join(sorted({str(each.master) for each in answers.values()}))
            return NoRoute(f"the {self._asked} name different masters ({named})", "wait until they agree")
        lasting = [each for each in failures.values() if isinstance(each, NoRoute)]
        if lasting:
            return lasting[0]
        asked = ", ".join(map(str, self._known))
        causes = ", ".join(dict.fromkeys(map(cause_of, failures.values()))) or "no answer in time"
        return NoRoute(f"none of the {self._asked} answers ({asked}: {causes})")

    async def _ask_all(self) -> tuple[dict[str, Answer], dict[Address, Exception]]:
        """The answers by identity, and the failures, as soon as a majority of all known ones agrees or time is up."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + ASK_LIMIT_S
        asked: dict[asyncio.Task[Answer], Address] = {}
        answers: dict[str, Answer] = {}
        failures: dict[Address, Exception] = {}
        known = dict.fromkeys((*self._seeds, *self._known))
        try:
            while True:
                for node in known.keys() - asked.values():
                    asked[loop.create_task(self._ask(node))] = node
                waiting = [task for task in asked if not task.done()]
                if not waiting or loop.time() >= ends_at:
                    break
                await asyncio.wait(waiting, timeout=ends_at - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    if task.done() and (answer := _result(task, asked[task], failures)):
                        answers[answer.identity] = answer
                        known |= dict.fromkeys(answer.others)
                votes = [(each.master_id, each.master) for each in answers.values()]
                if _majority(votes, len(known)):
                    break
        finally:
            await _cancel(asked)
        if answers:
            named = [other for answer in answers.values() for other in answer.others]
            self._known = tuple(dict.fromkeys((*self._seeds, *named)))
        return answers, failures

    async def _role(self, master: Address) -> list[Any]:
        """The answer to ROLE of the master, empty where this user may not ask; raises ``NoRoute`` for another role."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                role, *_ = await self._nodes.ask(master, ("ROLE",))
                if isinstance(role, NoPermissionError):
                    hello, *_ = await self._nodes.ask(master, ("HELLO",))  # no ACL can forbid it
                    role = [_pairs(hello).get("role")]
        except (RedisError, OSError, TimeoutError) as error:
            raise NoRoute(f"the {self._asked} name {master}, which does not answer ({cause_of(error)})") from error
        if not isinstance(role, list) or not role or _text(role[0]) not in ("master", "None"):
            raise NoRoute(f"the {self._asked} name {master}, which is not a master yet", "wait for the failover to end")
        return role

    async def _find_replica(self, role: list[Any]) -> Address | None:
        """A healthy replica of the master, the last one while it is healthy; None when there is none."""
        replicas = [found for each in (role[2] if len(role) > 2 else ()) if (found := _address(each))]
        if self._replica in replicas:
            replicas.remove(self._replica)
            order = [self._replica]
        else:
            order = []
        while order or replicas:
            if order:
                replica = order.pop()
            else:
                replica = self._choose(replicas)
                replicas.remove(replica)
            if await self._follows(replica):
                self._replica = replica
                return replica
        self._replica = None
        return None

    async def _follows(self, replica: Address) -> bool:
        """Whether a replica answers and is connected to its master."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                role, *_ = await self._nodes.ask(replica, ("ROLE",))
        except (RedisError, OSError, TimeoutError):
            return False
        return isinstance(role, list) and len(role) > 3 and [_text(role[0]), _text(role[3])] == ["slave", "connected"]


class Sentinels(_Topology):
    """The way to the master that Sentinels name."""

    mode: Mode = "sentinel"
    _asked = "Sentinels"

    def __init__(self, url: RedisUrl, *, reads: bool = False, choose: Choose = random.choice) -> None:
        super().__init__(url, reads=reads, choose=choose)
        self._name = url.master_name
        login = {"username": url.sentinel_username, "password": url.sentinel_password}
        self._sentinels = Nodes(_maker(url.connection_url, **login))

    async def close(self) -> None:
        """Close the connections that the questions use."""
        await super().close()
        await self._sentinels.close()

    async def _ask(self, node: Address) -> Answer:
        master, sentinels, identity = await self._sentinels.ask(
            node,
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
            ("SENTINEL", "SENTINELS", self._name),
            ("SENTINEL", "MYID"),
        )
        if isinstance(master, ResponseError):
            raise NoRoute(f"{node} is not a Sentinel ({cause_of(master)})", _CORRECT, lasting=True)
        address = _address(master)
        if address is None:
            trouble = f"the Sentinel {node} knows no master of the name {self._name!r}"
            raise NoRoute(trouble, _CORRECT, lasting=True)
        others = [_pairs(each) for each in sentinels] if isinstance(sentinels, list) else []
        found = (_address([each.get("ip"), each.get("port")]) for each in others)
        named = str(node) if isinstance(identity, ResponseError) else _text(identity)  # before Redis 6.2
        return Answer(named, address, others=tuple(each for each in found if each))


class Slots(_Topology):
    """The way to the master that owns a hash slot of a Cluster."""

    mode: Mode = "cluster"
    _asked = "nodes of the Cluster"

    def __init__(self, url: RedisUrl, slot: int, *, reads: bool = False, choose: Choose = random.choice) -> None:
        super().__init__(url, reads=reads, choose=choose)
        self._slot = slot

    async def _ask(self, node: Address) -> Answer:
        slots, identity = await self._nodes.ask(node, ("CLUSTER", "SLOTS"), ("CLUSTER", "MYID"))
        if isinstance(slots, ResponseError):
            raise NoRoute(f"{node} is not a node of a Cluster ({cause_of(slots)})", _CORRECT, lasting=True)
        owner: tuple[Address, str] | None = None
        others: list[Address] = []
        for first, last, *members in slots if isinstance(slots, list) else ():
            found = [
                (address, _text((*each, b"", b"")[2])) for each in members if (address := _address(each, node.host))
            ]
            others += [address for address, _ in found]
            if found and first <= self._slot <= last:
                owner = found[0]
        if owner is None:
            step = "assign all slots (redis-cli --cluster fix)"
            raise NoRoute(f"the node {node} of the Cluster knows no owner of the slot {self._slot}", step)
        return Answer(_text(identity), *owner, others=tuple(dict.fromkeys(others)))

    def _elected(self, answers: dict[str, Answer]) -> Address | None:
        """The owner that most name; an owner that has given the slot away is the first to name the next one."""
        owner = super()._elected(answers)
        if owner is None:
            return None
        by_id = {each.master_id: each for each in answers.values() if each.master == owner}
        following = next((answers[each] for each in by_id if each in answers), None)
        return owner if following is None else following.master


def _maker(connection_url: str, **login: Any) -> Callable[[Address], AbstractConnection]:
    """A function that makes connections with the URL's TLS and login, or another login."""
    options: dict[str, Any] = dict(parse_url(connection_url))
    kind = options.pop("connection_class", Connection)
    unused = ("db", "max_connections", "health_check_interval", "retry_on_timeout", "protocol")
    options = {name: value for name, value in options.items() if name not in unused} | login
    limits = {"socket_connect_timeout": ASK_LIMIT_S, "socket_timeout": ASK_LIMIT_S}
    if kind is not SSLConnection:
        kind = Connection

    def make(node: Address) -> AbstractConnection:
        made: AbstractConnection = kind(**(options | limits), host=node.host, port=node.port, protocol=2)
        return made

    options.pop("host", None)
    options.pop("port", None)
    return make


def _majority(votes: list[tuple[str, Address]], voters: int) -> Address | None:
    """The address that more than half of the voters name; with an id, all its addresses count together."""
    counted = Counter(identity or str(address) for identity, address in votes)
    for name, count in counted.most_common(1):
        if count * 2 > voters:
            return Counter(sorted(each for identity, each in votes if (identity or str(each)) == name)).most_common(1)[
                0
            ][0]
    return None


def _result(task: asyncio.Task[Answer], node: Address, failures: dict[Address, Exception]) -> Answer | None:
    """The answer of a finished task, or None, with its error among the failures."""
    try:
        return task.result()
    except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
        failures[node] = error
        return None


async def _cancel(tasks: dict[asyncio.Task[Answer], Address]) -> None:
    pending: list[asyncio.Task[Answer]] = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)


def _address(reply: Any, default_host: str = "") -> Address | None:
    """The address in a list that begins with a host and a port; None for anything else."""
    if not isinstance(reply, list | tuple) or len(reply) < 2 or not _text(reply[1]).isdecimal():
        return None
    host = "" if reply[0] is None else _text(reply[0])
    host = default_host if host in ("", "?") else host
    return Address(host, int(_text(reply[1]))) if host else None


def _pairs(reply: Any) -> dict[str, str]:
    """Names and values from a flat list; empty for anything else."""
    words = [_text(each) for each in reply] if isinstance(reply, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
