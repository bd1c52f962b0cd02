"""A Sentinel set and a Redis Cluster of real servers on loopback, and what can happen to them.

They start from the configuration files that the operations pages show, with other ports, shorter silences and no
persistence. Unless ``secured``, no client needs a password; ``min_replicas`` None leaves what the file says. Everything
is synchronous and ends with the block.
"""

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self, get_args

import orjson
import redis

from tests.support.redis_node import Node, free_ports
from tests.support.waiting import block_until

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
PASSWORD, SENTINEL_PASSWORD = "REDIS-PASSWORD", "SENTINEL-PASSWORD"
_OPEN = (f"user default on >{PASSWORD}", f"requirepass {SENTINEL_PASSWORD}")
MASTER_NAME = "mymaster"
PREFIX = "{market_data}"
SLOTS = 16384

Kind = Literal["sentinel", "cluster"]


class Topology(ABC):
    """What both kinds have in common; ``nodes`` are the Redis servers, Sentinels are not among them."""

    mode: Kind
    prefix: str

    def __init__(
        self, *, detect_s: float = 2.0, min_replicas: int | None = 0, secured: bool = False, password: str = PASSWORD
    ) -> None:
        self._detect_ms = int(detect_s * 1000)
        self._limits = () if min_replicas is None else ("--min-replicas-to-write", min_replicas)
        self.password = password if secured else None
        self.nodes: list[Node] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schwabstream-")))
            stack.callback(self._end)
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        for node in self._servers():
            node.kill()
            node.client.close()

    @abstractmethod
    def _start(self) -> None:
        """Start the servers and wait until a failover could succeed."""

    def _servers(self) -> list[Node]:
        return self.nodes

    def _text(self, name: str) -> str:
        """A file of the operations pages, without its passwords for clients unless this topology is secured."""
        text = (OPERATIONS / name).read_text(encoding="utf-8")
        if self.password is not None:
            return text.replace(PASSWORD, self.password)
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_OPEN))

    def _node(self, text: str, *options: object, port: int) -> Node:
        common = (*self._limits, "--appendonly", "no", "--repl-diskless-sync-delay", 0)
        words = [str(word) for word in (*common, *options)]
        node = Node(self._folder / str(port), text, *words, port=port, password=self.password)
        self.nodes.append(node)
        return node

    @property
    @abstractmethod
    def url(self) -> str:
        """What REDIS_URL would be."""

    @property
    @abstractmethod
    def master(self) -> Node:
        """The master for the prefix, as those that answer see it."""

    @property
    def replicas(self) -> list[Node]:
        """The living replicas of the master."""
        master = self.master
        return [node for node in self.nodes if node.alive and node.follows == master.port]

    def kill_master(self) -> Node:
        """End the master's process and return it; ``start`` brings it back."""
        master = self.master
        master.kill()
        return master

    def freeze_master(self) -> Node:
        """Stop the master's process, which keeps its connections, and return it."""
        master = self.master
        master.freeze()
        return master

    def thaw(self) -> None:
        """Let every frozen server go on."""
        for node in self._servers():
            if node.frozen:
                node.thaw()

    def cut_replicas(self) -> None:
        """Cut the master's replicas off: its clients notice nothing, its replicas keep what they have."""
        master = self.master
        master.ask("ACL", "SETUSER", "replica", "off")
        master.ask("CLIENT", "KILL", "USER", "replica")

    def join_replicas(self) -> None:
        """Let the replicas of the master copy again."""
        self.master.ask("ACL", "SETUSER", "replica", "on")

    @abstractmethod
    def fail_over(self) -> None:
        """Ask for a planned failover; returns before it is over."""

    def await_new_master(self, old: Node) -> Node:
        """Wait until another node is master, and return it."""

        def found() -> Node | None:
            with contextlib.suppress(redis.RedisError, LookupError):
                master = self.master
                return master if master is not old and master.is_master else None
            return None

        node: Node = block_until(found, every_s=0.02)
        return node

    def surviving_stream(self, channel: str = "ticks") -> list[dict[str, Any]]:
        """The events in a channel's stream at the present master, oldest first."""
        return list(self._stream(channel))

    def _stream(self, channel: str) -> Iterator[dict[str, Any]]:
        master, start = self.master, "-"
        key = f"{self.prefix}:stream:{channel}"
        while entries := _entries(master, key, start):
            start = f"({entries[-1][0]}"
            yield from (orjson.loads(fields["event"]) for _, fields in entries)


class SentinelSet(Topology):
    """A master with two replicas and three Sentinels, which know each other when the block begins."""

    mode: Kind = "sentinel"
    prefix = "market_data"

    def __init__(self, *, replicas: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self._replicas = replicas
        self.sentinels: list[Node] = []
        self.sentinel_password = SENTINEL_PASSWORD if self.password is not None else None

    @property
    def url(self) -> str:
        """What REDIS_URL would be."""
        user = f":{self.password}@" if self.password else ""
        query = f"?sentinel_password={self.sentinel_password}" if self.sentinel_password else ""
        hosts = ",".join(sentinel.address for sentinel in self.sentinels)
        return f"redis+sentinel://{user}{hosts}/{MASTER_NAME}{query}"

    @property
    def master(self) -> Node:
        """The master that the first living Sentinel names."""
        sentinel = next(each for each in self.sentinels if each.alive)
        _, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return next(node for node in self.nodes if node.port == int(port))

    def fail_over(self) -> None:
        """Ask a Sentinel for a planned failover; returns before it is over."""
        next(each for each in self.sentinels if each.alive).ask("SENTINEL", "FAILOVER", MASTER_NAME)

    def _servers(self) -> list[Node]:
        return self.sentinels + self.nodes

    def _start(self) -> None:
        ports = free_ports(1 + self._replicas + 3)
        text = self._text("redis-sentinel.conf")
        master = self._node(text, port=ports.pop())
        for _ in range(self._replicas):
            self._node(text, "--replicaof", "127.0.0.1", master.port, port=ports.pop())
        for node in self.nodes:
            node.start()
        block_until(lambda: all(node.is_linked for node in self.nodes[1:]))
        self._start_sentinels(ports)

    def _start_sentinels(self, ports: list[int]) -> None:
        master = self.nodes[0]
        names = {port: f"{port:040x}" for port in ports}
        for port in ports:
            lines = [
                f"sentinel myid {names[port]}",
                *(f"sentinel known-replica {MASTER_NAME} 127.0.0.1 {node.port}" for node in self.nodes[1:]),
                *(f"sentinel known-sentinel {MASTER_NAME} 127.0.0.1 {p} {i}" for p, i in names.items() if p != port),
                f"sentinel down-after-milliseconds {MASTER_NAME} {self._detect_ms}",
            ]
            text = self._text("sentinel.conf").replace("10.0.0.1 6379", f"127.0.0.1 {master.port}")
            text += "\n".join(lines) + "\n"
            folder = self._folder / f"sentinel-{port}"
            node = Node(folder, text, "--sentinel", port=port, password=self.sentinel_password)
            self.sentinels.append(node)
        for sentinel in self.sentinels:
            sentinel.start()
        block_until(lambda: all(map(self._is_ready, self.sentinels)), every_s=0.02)

    def _is_ready(self, sentinel: Node) -> bool:
        """Whether this Sentinel could start a failover: it knows replicas in step and enough Sentinels."""
        found = [_dict(each) for each in sentinel.ask("SENTINEL", "REPLICAS", MASTER_NAME)]
        try:
            sentinel.ask("SENTINEL", "CKQUORUM", MASTER_NAME)
        except redis.ResponseError:
            return False
        return [each["master-link-status"] for each in found] == ["ok"] * self._replicas


class RedisCluster(Topology):
    """Three masters with a replica each, and the slot of ``{market_data}``."""

    mode: Kind = "cluster"
    prefix = PREFIX

    def __init__(self, *, masters: int = 3, replicas: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self._masters, self._replicas = masters, replicas

    @property
    def url(self) -> str:
        """What REDIS_URL would be: the first three nodes, as an operator would name some."""
        user = f":{self.password}@" if self.password else ""
        return f"redis+cluster://{user}{','.join(node.address for node in self.nodes[:3])}"

    @property
    def slot(self) -> int:
        """The slot of the prefix."""
        return int(next(node for node in self.nodes if node.alive).ask("CLUSTER", "KEYSLOT", PREFIX))

    @property
    def master(self) -> Node:
        """The owner of the prefix's slot, by the living node that has seen the newest configuration."""
        slot = self.slot
        views = [self._view(node) for node in self.nodes if node.alive]
        _, port = max(owner for view in views for owner in _owners(view, slot))
        return next(node for node in self.nodes if node.port == port)

    def fail_over(self) -> None:
        """Ask the replica of the slot's owner to take over; returns before it has."""
        self.replicas[0].ask("CLUSTER", "FAILOVER")

    def move_slot(self, *, pause: Any = lambda: None) -> Node:
        """Move the prefix's slot to another master, key by key, with a ``pause`` after each; returns the new owner."""
        slot, source = self.slot, self.master
        ports = {port for other in range(0, SLOTS, 512) for port in self._owner_ports(source, other)}
        masters = [node for node in self.nodes if node.port in ports]
        target = next(node for node in masters if node is not source)
        block_until(lambda: all(source.port in self._owner_ports(node, slot) for node in masters))
        ids = {node: node.ask("CLUSTER", "MYID") for node in (source, target)}
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        user = ("AUTH", self.password) if self.password else ()
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *user, "KEYS", *keys)
            pause()
        for node in (target, source, *masters):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        return target

    def _start(self) -> None:
        count = self._masters * (1 + self._replicas)
        ports = free_ports(2 * count)
        text = self._text("redis-cluster.conf")
        places = list(zip(ports[:count], ports[count:], strict=True))
        for port, bus in places:
            limits = ("--cluster-node-timeout", self._detect_ms)
            node = self._node(text, "--cluster-port", bus, *limits, port=port)
            (node.file.parent / "nodes.conf").write_text(self._membership(places, port))
            node.start()
        block_until(lambda: all(map(self._is_ready, self.nodes)), every_s=0.02)
        block_until(lambda: all(node.is_linked for node in self.nodes[self._masters :]))

    def _membership(self, places: list[tuple[int, int]], own: int) -> str:
        """The file in which a node keeps what it knows of the others: MEET would take seconds to spread it."""
        lines = []
        for index, (port, bus) in enumerate(places):
            first = index % self._masters
            flags, of, slots = "master", "-", _share(index, self._masters)
            if index >= self._masters:
                flags, of, slots = "slave", f"{places[first][0]:040x}", ""
            flags = f"myself,{flags}" if port == own else flags
            lines.append(f"{port:040x} 127.0.0.1:{port}@{bus} {flags} {of} 0 0 {first + 1} connected {slots}".rstrip())
        return "\n".join([*lines, f"vars currentEpoch {self._masters} lastVoteEpoch 0", ""])

    def _is_ready(self, node: Node) -> bool:
        state = str(node.ask("CLUSTER", "INFO"))
        return "cluster_state:ok" in state and self._view(node).count(" connected") == len(self.nodes)

    def _owner_ports(self, node: Node, slot: int) -> set[int]:
        return {port for _, port in _owners(self._view(node), slot)}

    def _view(self, node: Node) -> str:
        return str(node.ask("CLUSTER", "NODES"))


def topology(mode: Kind, **options: Any) -> SentinelSet | RedisCluster:
    """A topology of this kind."""
    assert mode in get_args(Kind)
    return SentinelSet(**options) if mode == "sentinel" else RedisCluster(**options)


def _share(index: int, masters: int) -> str:
    return f"{SLOTS * index // masters}-{SLOTS * (index + 1) // masters - 1}"


def _owners(view: str, slot: int) -> Iterator[tuple[int, int]]:
    """Configuration epoch and port of each node that owns the slot, in the reply to CLUSTER NODES."""
    for line in view.splitlines():
        _, address, flags, _, _, _, epoch, _, *ranges = line.split()
        for each in ranges:
            first, _, last = each.partition("-")
            if "master" in flags and first.isdigit() and int(first) <= slot <= int(last or first):
                yield int(epoch), int(address.partition("@")[0].rpartition(":")[2])


def _entries(node: Node, key: str, start: str) -> list[tuple[str, dict[str, str]]]:
    found: Any = node.client.xrange(key, min=start, count=10_000)
    return list(found)


def _dict(reply: list[str]) -> dict[str, str]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
