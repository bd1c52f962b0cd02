"""The way to the server that a connection should lead to, and the address of a single Redis."""

from typing import Protocol
from urllib.parse import unquote, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError

from schwabstream.broker.url import Address, Mode
from schwabstream.escapes import safe


class NoRoute(RedisConnectionError):
    """No master was found: what is wrong, and the next step. ``lasting``: waiting does not help."""

    def __init__(self, trouble: str, step: str, *, lasting: bool = False) -> None:
        self.trouble, self.step, self.lasting = safe(trouble), step, lasting
        super().__init__(f"{self.trouble}: {step}")


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
