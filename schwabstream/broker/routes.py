"""The interface of a route, which finds the server for a new connection, and the fixed route to a single Redis."""

from typing import Protocol
from urllib.parse import unquote, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError

from schwabstream.broker.url import Address, Mode
from schwabstream.escapes import safe


class NoRoute(RedisConnectionError):
    """No master was found: ``trouble`` is what is wrong, ``step`` what to do; waiting does not help if ``lasting``."""

    def __init__(self, trouble: str, step: str, *, lasting: bool = False) -> None:
        self.trouble, self.step, self.lasting = safe(trouble), step, lasting
        super().__init__(f"{self.trouble}: {step}")


class Route(Protocol):
    """Finds the server to which a new connection should lead.

    ``no_failover`` is why no failover is possible, as the last question showed; None if one is, or if that is unknown.
    """

    mode: Mode
    no_failover: str | None

    async def find(self) -> Address:
        """The address of that server now; raises ``NoRoute``."""

    async def close(self) -> None:
        """Close the connections that the questions use."""


class Plain:
    """The route to a single Redis: always the address in the URL."""

    mode: Mode = "single"
    no_failover: str | None = None

    def __init__(self, connection_url: str) -> None:
        parts = urlsplit(connection_url)
        tcp = Address(unquote(parts.hostname or "localhost"), parts.port or 6379)
        self._address = Address(unquote(parts.path), 0) if parts.scheme == "unix" else tcp

    async def find(self) -> Address:
        """The address in the URL."""
        return self._address

    async def close(self) -> None:
        """Do nothing: no questions were asked."""
