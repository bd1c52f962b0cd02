"""One connection to the Redis model: its commands, transaction and subscriptions, and the replies that wait."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis

from tests.support.redis_replies import encode

if TYPE_CHECKING:
    from tests.support.redis_model import RedisModel


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, model: "RedisModel") -> None:
        self.model, self.number = model, 0
        self.transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self.protocol = 2
        self.unread: deque[bytes] = deque()
        self.queue: list[list[bytes]] | None = None
        self.refused, self.dirty = False, False
        self.watched: set[bytes] = set()
        self.channels: dict[bytes, None] = {}
        self.shards: dict[bytes, None] = {}
        self.blocked: tuple[list[bytes], asyncio.TimerHandle | None] | None = None
        self.replies: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.model.attach(self)

    def data_received(self, data: bytes) -> None:
        """Run what is complete, unless the server does nothing at the moment."""
        self.model.note(self, data)
        self.unread.append(data)
        self.go_on()

    def go_on(self) -> None:
        """Run the commands that have arrived, up to one that waits, then send all replies."""
        self._run_all()
        self.model.flush()

    def _run_all(self) -> None:
        while not self.model.frozen and self.blocked is None and self.transport is not None:
            words = self._reader.gets()
            if words is False:
                if not self.unread:
                    return
                self._reader.feed(self.unread.popleft())
            elif words:
                self.model.run(self, words)

    def eof_received(self) -> bool:
        """Close, too."""
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection."""
        self.transport = None
        self.unblock()
        self.model.detach(self)

    def unblock(self) -> None:
        """Wait no longer."""
        if self.blocked is not None and self.blocked[1] is not None:
            self.blocked[1].cancel()
        self.blocked = None

    def send(self, value: Any) -> None:
        """Add a reply; :meth:`RedisModel.flush` sends it, as Redis does before it waits for commands."""
        if not self.replies:
            self.model.unsent.append(self)
        self.replies.append(encode(value, self.protocol))

    def flush(self) -> None:
        """Send the replies."""
        replies, self.replies = self.replies, []
        if self.transport is not None:
            self.transport.write(b"".join(replies))

    def end(self) -> None:
        """Reset the connection."""
        if self.transport is not None:
            self.transport.abort()
