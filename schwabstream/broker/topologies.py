"""The routes to the master in a topology: by asking its Sentinels, or the nodes of its Cluster.

They decide which server to connect to; redis-py connects, with TLS and AUTH. Its own clients for Sentinels and Clusters
are not used, because they retry at the old address, among other faults (docs/adr/0015).
"""

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from schwabstream.broker.majority import Answer, Majority, Round
from schwabstream.broker.nodes import ASK_LIMIT_S, Ask, Nodes, address_in, masters_of, pairs_in, text_of, url_for
from schwabstream.broker.routes import NoRoute
from schwabstream.broker.url import RENEW, START, Address, Mode, RedisUrl, cause_of, flaw_of_certificate

_PAUSE: Final = "wait until the change of master has ended"
_LOGIN: Final = "correct the user and password in REDIS_URL or --redis; every server needs the same users"
Choose = Callable[[Sequence[Address]], Address]


class _Topology(ABC):
    """A route to the server that the majority names and that confirms being the master, or to one of its replicas.

    ``choose`` picks a replica for ``reads``; the route stays with it as long as it is connected to its master.
    """

    mode: Mode
    no_failover: str | None = None
    _asked: str
    _announce: str

    def __init__(self, url: RedisUrl, *, reads: bool = False, choose: Choose = random.choice) -> None:
        self._reads = reads and url.from_replica
        self._choose = choose
        self._replica: Address | None = None
        self._nodes = Nodes(url.connection_url)
        self._majority = Majority(url.seeds, self._ask)

    async def find(self) -> Address:
        """The address of the master now, or of a replica for readers that want one; raises ``NoRoute``."""
        found = await self._majority.ask_all()
        self.no_failover = self._obstacle(found)
        if found.elected is None:
            raise self._none_elected(found)
        replicas = await self._confirm(found.elected, found)
        if self._reads:
            self._replica = await self._first_healthy(replicas)
            return self._replica or found.elected
        return found.elected

    async def close(self) -> None:
        """Close the connections that the questions use."""
        await self._nodes.close()

    @abstractmethod
    async def _ask(self, node: Address) -> Answer:
        """Ask one Sentinel or node; raises redis-py's errors, OSError and ``NoRoute``."""

    def _obstacle(self, found: Round) -> str | None:  # noqa: ARG002 - in a Cluster, the masters alone decide
        """Why no failover is possible, judged by the number of answers; None if one is, or if that is unknown."""
        return None

    async def _why_no_failover(self, asked: Round) -> str:  # noqa: ARG002 - a Cluster does not report it
        """Why the Sentinels cannot promote another node, as the end of a sentence; empty when unknown."""
        return ""

    async def _other(self, nodes: Nodes, node: Address, wanted: str) -> NoRoute:
        """The error for a server of another kind than the URL names."""
        url = await url_for(_question(nodes, node), node, "rediss" if nodes.secure else "redis")
        return NoRoute(f"{node} is not {wanted}", f"set REDIS_URL or --redis to {url}", lasting=True)

    def _none_elected(self, found: Round) -> NoRoute:
        """The error for a round without a majority, or without an answer."""
        if found.answers:
            named = ", ".join(sorted({str(each.master) for each in found.answers.values()}))
            return NoRoute(f"the {self._asked} name different masters ({named})", _PAUSE)
        for failure in found.failures.values():
            if isinstance(failure, NoRoute):
                return failure
        causes = ", ".join(dict.fromkeys(map(cause_of, found.failures.values()))) or "no answer in time"
        step = RENEW if any(map(flaw_of_certificate, found.failures.values())) else START
        return NoRoute(f"none of the {self._asked} answers ({', '.join(map(str, found.nodes))}: {causes})", step)

    async def _confirm(self, master: Address, asked: Round) -> list[Address]:
        """The replicas that the master names; raises ``NoRoute`` if it does not answer or is not a master."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                (role,) = await self._nodes.ask(master, ("ROLE",))
                if isinstance(role, ResponseError):
                    (role,) = await self._nodes.ask(master, ("HELLO",))  # no ACL can forbid it
                    role = [pairs_in(role).get("role", "master")]  # nor does a Redis before 6 have ACLs
        except AuthenticationError as error:
            raise NoRoute(f"the master {master} does not accept the login", _LOGIN) from error
        except (RedisError, OSError, TimeoutError) as error:
            named = f"the {self._asked} name {master} as the master"
            if (flaw := flaw_of_certificate(error)) is not None:
                raise NoRoute(f"{named}, but its certificate cannot be trusted ({flaw})", RENEW) from error
            trouble = f"{named}, but it does not answer ({cause_of(error)})"
            step = f"start it, or let it announce an address that can be reached from here ({self._announce})"
            raise NoRoute(trouble + await self._why_no_failover(asked), step) from error
        if not isinstance(role, list) or not role or text_of(role[0]) != "master":
            raise NoRoute(f"the {self._asked} name {master}, which is not a master now", _PAUSE)
        replicas = role[2] if len(role) > 2 and isinstance(role[2], list) else []
        return [found for each in replicas if (found := address_in(each, master))]

    async def _first_healthy(self, replicas: list[Address]) -> Address | None:
        """A replica that is connected to its master, preferably the one used last; None without any."""
        left = list(dict.fromkeys(replicas))
        while left:
            replica = self._replica if self._replica in left else self._choose(left)
            left.remove(replica)
            if await self._follows(replica):
                return replica
        return None

    async def _follows(self, replica: Address) -> bool:
        """Whether a replica answers and is connected to its master."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                (role,) = await self._nodes.ask(replica, ("ROLE",))
        except (RedisError, OSError, TimeoutError):
            return False
        return isinstance(role, list) and [text_of(each) for each in (*role[:1], *role[3:4])] == ["slave", "connected"]


class Sentinels(_Topology):
    """A route to the master that Sentinels name."""

    mode: Mode = "sentinel"
    _asked = "Sentinels"
    _announce = "replica-announce-ip"

    def __init__(self, url: RedisUrl, *, reads: bool = False, choose: Choose = random.choice) -> None:
        super().__init__(url, reads=reads, choose=choose)
        self._name, self._total = url.master_name, len(url.seeds)
        self._sentinels = Nodes(
            url.connection_url, username=url.sentinel_username, password=url.sentinel_password, client_name=None
        )

    async def close(self) -> None:
        """Close the connections that the questions use."""
        await super().close()
        await self._sentinels.close()

    async def _ask(self, node: Address) -> Answer:
        try:
            master, others, identity = await self._sentinels.ask(
                node,
                ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
                ("SENTINEL", "SENTINELS", self._name),
                ("SENTINEL", "MYID"),
            )
        except AuthenticationError as error:
            step = "set sentinel_username and sentinel_password after the ? of REDIS_URL"
            raise NoRoute(f"the Sentinel {node} does not accept the login", step, lasting=True) from error
        if isinstance(master, NoPermissionError):
            trouble = f"the Sentinel {node} does not let this user ask for the master ({master})"
            raise NoRoute(trouble, "grant its user +sentinel|get-master-addr-by-name", lasting=True)
        if isinstance(master, ResponseError):
            raise await self._other(self._sentinels, node, "a Sentinel")
        if master is None:
            names = ", ".join(await masters_of(_question(self._sentinels, node)))
            trouble = f"the Sentinel {node} monitors no master named {self._name!r}"
            trouble += f" (it monitors {names})" if names else ""
            raise NoRoute(trouble, "correct the name after the hosts in REDIS_URL or --redis", lasting=True)
        address = address_in(master, node)
        if address is None:
            raise ValueError("an answer without an address")
        listed = [pairs_in(each) for each in others] if isinstance(others, list) else []
        named = (address_in([each.get("ip"), each.get("port")], node) for each in listed)
        return Answer(
            str(node) if isinstance(identity, ResponseError) else text_of(identity),  # before Redis 6.2
            address,
            others=tuple(each for each in named if each),
        )

    def _obstacle(self, found: Round) -> str | None:
        """Which Sentinels are missing for a failover; each names all others, the unreachable ones included."""
        if found.answers:
            others = max(len(set(each.others)) for each in found.answers.values())
            # Without the right to ask for the others, only the addresses are known.
            self._total = max(others + 1, len(found.answers)) if others else len(found.nodes)
        silent = self._total - len(found.answers)
        if silent * 2 < self._total:
            return None
        return (
            f"{silent} of {self._total} Sentinels do not answer" if self._total > 1 else "the Sentinel does not answer"
        )

    async def _why_no_failover(self, asked: Round) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_LIMIT_S):
                for node in asked.reached:
                    with contextlib.suppress(RedisError, OSError):
                        (answer,) = await self._sentinels.ask(node, ("SENTINEL", "CKQUORUM", self._name))
                        if isinstance(answer, ResponseError) and str(answer).startswith("NOQUORUM"):
                            return f", and too few Sentinels agree to promote another node ({answer})"
        return ""


class Slots(_Topology):
    """A route to the master that owns a hash slot of a Cluster."""

    mode: Mode = "cluster"
    _asked = "nodes of the Cluster"
    _announce = "cluster-announce-ip"

    def __init__(self, url: RedisUrl, slot: int, *, reads: bool = False, choose: Choose = random.choice) -> None:
        super().__init__(url, reads=reads, choose=choose)
        self._slot = slot

    async def _ask(self, node: Address) -> Answer:
        try:
            slots, identity = await self._nodes.ask(node, ("CLUSTER", "SLOTS"), ("CLUSTER", "MYID"))
        except AuthenticationError as error:
            raise NoRoute(f"the node {node} does not accept the login", _LOGIN) from error
        if isinstance(slots, NoPermissionError):
            step = "grant its user +cluster|slots and +cluster|myid"
            raise NoRoute(
                f"the node {node} does not let this user ask for the owner of a slot ({slots})", step, lasting=True
            )
        if isinstance(slots, ResponseError):
            raise await self._other(self._nodes, node, "a node of a Cluster")
        owner: tuple[Address, str] | None = None
        others: dict[Address, None] = {}
        for first, last, *members in slots:
            found = [(at, text_of(each[2])) for each in members if (at := address_in(each, node))]
            others |= dict.fromkeys(at for at, _ in found)
            if found and first <= self._slot <= last:
                owner = found[0]
        if owner is None:
            step = "assign every slot to a node: redis-cli --cluster fix"
            raise NoRoute(f"the node {node} names no owner of hash slot {self._slot}", step, lasting=True)
        return Answer(text_of(identity), *owner, others=tuple(others))


def _question(nodes: Nodes, node: Address) -> Ask:
    """A function that sends one command to a node."""

    async def ask(*words: str) -> Any:
        (answer,) = await nodes.ask(node, words)
        return answer

    return ask
