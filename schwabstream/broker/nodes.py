"""Sends commands to single Sentinels and nodes, over connections that stay open in between, and reads the replies.

The replies name addresses, the kind of a server, and with it the URL that suits the server.
"""

import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from schwabstream.broker.client import cancellation_heeded
from schwabstream.broker.url import Address
from schwabstream.escapes import safe

ASK_LIMIT_S: Final = 1.0
"""The limit for one question, and for a round of questions that are asked at the same time."""
FIRST_LIMIT_S: Final = 2.5
"""The limit for the first answer of all: a busy machine may take longer than usual while a program starts."""
_LONGEST_HOST: Final = 253  # of a name in DNS
_UNUSED: Final = frozenset({"host", "port", "db", "max_connections", "health_check_interval", "retry_on_timeout"})
Command = tuple[str, ...]
Ask = Callable[..., Awaitable[Any]]
"""Sends one command to a server, and returns the reply or the error reply."""


class Nodes:
    """Keeps at most one connection to each server, with the TLS options and login of a URL, or with another login."""

    def __init__(self, connection_url: str, **login: str | None) -> None:
        options: dict[str, Any] = dict(parse_url(connection_url))
        self._kind: Callable[..., AbstractConnection] = options.pop("connection_class", Connection)
        limits = {"socket_connect_timeout": FIRST_LIMIT_S, "socket_timeout": FIRST_LIMIT_S, "protocol": 2}
        self._options = {name: value for name, value in options.items() if name not in _UNUSED} | login | limits
        self._kept: dict[Address, AbstractConnection] = {}
        self.secure = self._kind is SSLConnection

    async def ask(self, node: Address, *commands: Command) -> list[Any]:
        """The replies to the commands, including error replies. Raises redis-py's errors and OSError."""
        with cancellation_heeded():
            kept = self._kept.pop(node, None)
            if kept is not None:
                # The server may have closed an idle connection; only a new one shows whether it is down.
                with contextlib.suppress(RedisConnectionError, OSError):
                    return await self._exchange(node, kept, commands)
            return await self._exchange(node, self._kind(host=node.host, port=node.port, **self._options), commands)

    async def close(self) -> None:
        """Close the connections; the next question opens one."""
        while self._kept:
            _, connection = self._kept.popitem()
            await connection.disconnect(nowait=True)

    async def _exchange(
        self, node: Address, connection: AbstractConnection, commands: tuple[Command, ...]
    ) -> list[Any]:
        try:
            await connection.connect()
            for command in commands:
                await connection.send_command(*command)
            replies = [await _reply(connection) for _ in commands]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, hiredis.HiredisError):
                raise InvalidResponse(str(error)) from error
            raise
        if self._kept.setdefault(node, connection) is not connection:  # a concurrent question has kept its own
            await connection.disconnect(nowait=True)
        return replies


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def address_in(reply: Any, asked: Address) -> Address | None:
    """The address in a list that begins with a host and a port; None for anything else.

    A server that names no host, or a loopback address, means its own machine, so the host that was asked replaces it.
    """
    if not isinstance(reply, list | tuple) or len(reply) < 2:
        return None
    host, port = text_of(reply[0] or ""), text_of(reply[1])
    if len(host) > _LONGEST_HOST or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        return None
    unnamed = host in ("", "?") or (_is_loopback(host) and not _is_loopback(asked.host))
    return Address(asked.host if unnamed else host, int(port))


def pairs_in(reply: Any) -> dict[str, str]:
    """Names and values from a flat list (RESP2) or a map (RESP3); empty for anything else."""
    if isinstance(reply, dict):
        return {text_of(name): text_of(value) for name, value in reply.items()}
    words = [text_of(each) for each in reply] if isinstance(reply, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def text_of(value: Any) -> str:
    """A reply of any type as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


async def url_for(ask: Ask, node: Address, scheme: str) -> str:
    """The URLs, joined by "or", that suit the server at that address. Raises what ``ask`` raises."""
    place = str(node) if node.port else "HOST:PORT"
    mode = pairs_in(await ask("HELLO")).get("mode")  # no ACL can forbid it
    if mode == "cluster":
        return f"{scheme}+cluster://{place}"
    if mode != "sentinel":
        return f"{scheme}://{place}"
    names = await masters_of(ask) or ["NAME"]
    return safe(" or ".join(f"{scheme}+sentinel://{place}/{quote(name)}" for name in names))


async def masters_of(ask: Ask) -> list[str]:
    """The names of the masters that a Sentinel watches; empty when it does not list them."""
    masters = await ask("SENTINEL", "MASTERS")
    return sorted(filter(None, (pairs_in(each).get("name") for each in masters))) if isinstance(masters, list) else []


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
