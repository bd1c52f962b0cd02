"""Collects from each Sentinel and each server of a topology what ``doctor`` checks. Decides nothing.

Every server is asked directly, because a replica may become the master at any time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.broker.client import RedisClient, redis_client
from schwabstream.broker.nodes import address_in, pairs_in
from schwabstream.broker.url import Address, RedisUrl, cause_of, flaw_of_certificate
from schwabstream.escapes import safe

T = TypeVar("T")

ANSWER_LIMIT_S = 3.0
SETTINGS = (
    *("maxmemory", "maxmemory-policy", "client-output-buffer-limit"),
    *("min-replicas-to-write", "min-replicas-max-lag", "cluster-node-timeout"),
)


@dataclass(frozen=True, slots=True)
class Sentinel:
    """What one Sentinel answered."""

    master: Address | None
    others: tuple[Address, ...] = ()
    replicas: tuple[Address, ...] = ()
    quorum: int | None = None
    detect_ms: int | None = None
    no_quorum: str | None = None
    """Why a failover is not possible, in the words of the Sentinel."""


@dataclass(frozen=True, slots=True)
class Member:
    """What one node of a Cluster answered about the prefix's slot."""

    state: str
    owner: Address | None
    replicas: tuple[Address, ...]
    others: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """What one Redis answered about itself; ``settings`` or ``role`` is empty without the permission to ask for it."""

    role: str
    in_step: bool
    """Whether a replica is connected to its master."""
    replicas: int
    """Number of replicas that are connected to a master."""
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a server did not answer."""

    reason: str
    untrusted: bool = False
    """Whether it is because of its certificate."""

    def __str__(self) -> str:
        return self.reason


Asked = dict[Address, T | NoAnswer]
"""The answer of each server, or why there is none."""


class Inspection:
    """Asks the Sentinels and servers of one URL, concurrently."""

    def __init__(self, url: RedisUrl, prefix: str) -> None:
        self._url, self._prefix = url, prefix

    async def ask_sentinels(self) -> Asked[Sentinel]:
        """The answers of every Sentinel in the URL, and of every other one that these name."""
        return await _with_others(self._url.seeds, self._sentinel)

    async def ask_members(self, slot: int) -> Asked[Member]:
        """The answers of every node in the URL, and of every other one that these name."""

        async def ask(node: Address) -> Member:
            async with self._redis(node) as redis:
                info = str(await redis.execute_command("CLUSTER", "INFO"))
                view = str(await redis.execute_command("CLUSTER", "NODES"))
            state = dict(line.partition(":")[::2] for line in info.splitlines()).get("cluster_state", "")
            return read_view(view, node, slot, safe(state))

        return await _with_others(self._url.seeds, ask)

    async def ask_servers(self, servers: Iterable[Address]) -> Asked[Server]:
        """The answers of these servers."""
        return await _ask_all(servers, self._server)

    async def _sentinel(self, node: Address) -> Sentinel:
        name = self._url.master_name
        async with self._redis(node, sentinel=True) as redis:
            found: Any = await redis.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
            master = next(iter(_addresses([found], node)), None)
            if master is None:
                return Sentinel(None)
            others = [pairs_in(each) for each in await _allowed(redis, "SENTINEL", "SENTINELS", name) or ()]
            replicas = [pairs_in(each) for each in await _allowed(redis, "SENTINEL", "REPLICAS", name) or ()]
            facts = pairs_in(await _allowed(redis, "SENTINEL", "MASTER", name))
            trouble = None
            try:
                await _allowed(redis, "SENTINEL", "CKQUORUM", name)
            except ResponseError as error:
                trouble = safe(str(error))
        return Sentinel(
            master,
            tuple(_addresses(([each.get("ip"), each.get("port")] for each in others), node)),
            tuple(_addresses(([each.get("ip"), each.get("port")] for each in replicas), node)),
            _number(facts.get("quorum")),
            _number(facts.get("down-after-milliseconds")),
            trouble,
        )

    async def _server(self, node: Address) -> Server:
        async with self._redis(node) as redis:
            role: Any = await _allowed(redis, "ROLE") or ("",)
            settings = pairs_in(await _allowed(redis, "CONFIG", "GET", *SETTINGS))
        in_step = len(role) > 3 and role[3] == "connected"
        return Server(safe(str(role[0])), in_step, len(role[2]) if role[0] == "master" else 0, settings)

    def _redis(self, node: Address, *, sentinel: bool = False) -> RedisClient:
        """A client for one node, with the URL's options and the login of its kind."""
        parts = urlsplit(self._url.connection_url)
        login: dict[str, Any] = {}
        if sentinel:
            login = {"username": self._url.sentinel_username, "password": self._url.sentinel_password}
        user = "" if sentinel else "".join(parts.netloc.rpartition("@")[:2])
        url = parts._replace(netloc=f"{user}{node}", path="").geturl()
        return redis_client(url, self._prefix, timeout_s=ANSWER_LIMIT_S, decode_responses=True, protocol=2, **login)


def read_view(view: str, asked: Address, slot: int, state: str) -> Member:
    """Read the reply of the node ``asked`` to CLUSTER NODES: one node on each line, failed ones included."""
    owner_id, owner = "", None
    places: dict[str, tuple[str, Address]] = {}
    for line in view.splitlines():
        name, place, flags, of, _, _, _, _, *ranges = line.split()
        address = _addresses([place.partition("@")[0].rpartition(":")[::2]], asked)
        if not address or {"noaddr", "handshake"} & set(flags.split(",")):
            continue
        places[name] = of, address[0]
        if any(_holds(each, slot) for each in ranges):
            owner_id, owner = name, address[0]
    replicas = tuple(address for of, address in places.values() if owner_id and of == owner_id)
    return Member(state, owner, replicas, tuple(address for _, address in places.values()))


def _holds(range_: str, slot: int) -> bool:
    """Whether a range such as ``0-5460`` or ``7`` contains the slot; brackets mark a slot that is being moved."""
    first, _, last = range_.partition("-")
    return first.isdecimal() and int(first) <= slot <= int(last or first)


async def _with_others(seeds: Iterable[Address], ask: Callable[[Address], Awaitable[Any]]) -> Asked[Any]:
    """The answers of the seeds, and then of the others that these name."""
    answers: Asked[Any] = await _ask_all(seeds, ask)
    named = [other for each in answers.values() if not isinstance(each, NoAnswer) for other in each.others]
    return answers | await _ask_all(dict.fromkeys(other for other in named if other not in answers), ask)


async def _ask_all(nodes: Iterable[Address], ask: Callable[[Address], Awaitable[Any]]) -> Asked[Any]:
    async def answer(node: Address) -> Any:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await ask(node)
        except TimeoutError:
            return NoAnswer("no answer in time")
        except (RedisError, OSError, ValueError, TypeError) as error:
            return NoAnswer(cause_of(error), untrusted=flaw_of_certificate(error) is not None)

    asked = list(nodes)
    return dict(zip(asked, await asyncio.gather(*map(answer, asked)), strict=True))


async def _allowed(redis: RedisClient, *words: str) -> Any:
    """The reply to a command; None when this user lacks the permission for it."""
    try:
        return await redis.execute_command(*words)
    except NoPermissionError:
        return None


def _addresses(replies: Iterable[Any], asked: Address) -> list[Address]:
    """The addresses in the replies of a server, each of which begins with a host and a port."""
    found = (address_in(each, asked) for each in replies)
    return [Address(safe(each.host), each.port) for each in found if each]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
