"""The names whose writes Redis refuses while it accepts the rest of a batch, and the commands to send again."""

from collections.abc import Collection, Iterable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_STEPS: Final = {
    "NOPERM": "allow the command and the name in the ACL of the streamer's Redis user",
    "WRONGTYPE": "rename or delete the key, which another program uses",
}


class Refusals:
    """``newest`` holds the refused names, each with the newest command for it, None where nothing is worth repeating.

    A name is logged when Redis first refuses it and when Redis takes it again.
    """

    def __init__(self) -> None:
        self.newest: dict[str, bytes | None] = {}

    def note(self, name: str, reply: object, newest: bytes | None) -> bool:
        """Take the reply to one command that writes to ``name``; returns whether it is a refusal."""
        if not isinstance(reply, Exception):
            if name in self.newest:
                del self.newest[name]
                log.info("redis accepts writes to a name again", name=name)
            return False
        if name not in self.newest:
            step = _STEPS.get(str(reply).partition(" ")[0], "correct what the reason names")
            log.error("redis refuses writes to a name; other writes continue", name=name, reason=str(reply), step=step)
        self.newest[name] = newest or self.newest.get(name)
        return True

    def repeatable(self, written: Collection[str]) -> Iterable[tuple[str, bytes]]:
        """The names and commands to send again, except for names that the batch writes to anyway.

        A channel may be quiet for days after its key was repaired.
        """
        return [(name, packed) for name, packed in self.newest.items() if packed and name not in written]
