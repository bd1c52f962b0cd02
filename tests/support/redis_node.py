"""One Redis server of a topology: a Redis of a Sentinel set or a Cluster, or a Sentinel."""

import contextlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.conftest import RedisServer

ANSWER_LIMIT_S = 5.0


class Node(RedisServer):
    """One server of a topology; ``alive`` while it runs and is not frozen."""

    def __init__(self, folder: Path, text: str, *options: str, port: int, password: str | None) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed: apt-get install redis-server")
        folder.mkdir()
        self.file = folder / "redis.conf"
        self.file.write_text(text)
        super().__init__(program, folder, str(self.file), *options, port=port)
        self.client.close()
        self.client = redis.Redis(
            port=port, password=password, decode_responses=True, socket_timeout=ANSWER_LIMIT_S, protocol=2
        )
        self.alive = False

    @property
    def frozen(self) -> bool:
        """Whether its process is there and stopped."""
        return self._process is not None and not self.alive

    @property
    def address(self) -> str:
        """Its address as reports show it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        self.alive = True

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        self.alive = False
        super().freeze()

    def thaw(self) -> None:
        """Let it go on."""
        super().thaw()
        self.alive = True

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.alive = False
        super().kill()

    def ask(self, *words: object) -> Any:
        """The reply to a command as Redis sent it; redis-py parses only what is one word."""
        return self.client.execute_command(*words)

    @property
    def is_master(self) -> bool:
        """Whether it takes itself for a master; an old one does for some seconds after a planned failover."""
        return bool(self.ask("ROLE")[0] == "master")

    @property
    def follows(self) -> int | None:
        """The port of its master; None for a master."""
        role = self.ask("ROLE")
        return None if role[0] == "master" else int(role[2])

    @property
    def is_linked(self) -> bool:
        """Whether this replica copies from its master as it writes."""
        return bool(self.client.info("replication").get("master_link_status") == "up")


def free_ports(count: int) -> list[int]:
    """Ports that are free, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]
