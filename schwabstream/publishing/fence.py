"""Who may publish: the two claims in Redis that fence every write, and their holders in words. No I/O.

The lease names the one process that streams an account; the prefix's claim names the one account that publishes
under it (docs/adr/0007). Both expire by themselves.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from schwabstream.errors import LeaseLost
from schwabstream.escapes import safe

LIFE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Holder:
    """Who streams: a fencing number that rises with each change of hands, and the process it was given to."""

    number: int
    host: str
    pid: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands in Redis; ``ValueError`` when it is no holder."""
        number, _, process = text.partition(":")
        host, _, pid = process.rpartition(":")
        return cls(int(number), host, int(pid))

    def __str__(self) -> str:
        return f"{self.number}:{self.host}:{self.pid}"


def digest(account: str) -> str:
    """What stands for an account in Redis; the customer id itself goes nowhere."""
    return hashlib.sha256(account.encode()).hexdigest()[:16]


def lease_key(prefix: str, customer_id: str) -> str:
    """The lease's key for one account."""
    return f"{prefix}:lease:{digest(customer_id)}"


def describe(holder: str | None) -> str:
    """The holder as people would call it."""
    if holder is None:
        return "nobody"
    try:
        known = Holder.parse(holder)
    except ValueError:
        return "an unknown program"
    return f"host {safe(known.host)}, pid {known.pid}"


@dataclass(frozen=True, slots=True)
class Fence:
    """What a writer works under: ``key`` must hold ``holder``, and ``account_key``, the prefix's claim, ``account``.

    Neither lives longer than ``life_ms`` when it is not renewed.
    """

    key: str
    holder: str
    account_key: str
    account: str
    life_ms: int = LIFE_MS

    def check(self, holder: str, account: str) -> LeaseLost | None:
        """Why what stands at the two keys keeps this writer from writing; None when it does not."""
        if account != self.account:
            return foreign_prefix(self.account_key.removesuffix(":owner"))
        if holder != self.holder:
            return LeaseLost(f"another streamer took over this account ({describe(holder)}): this one stops publishing")
        return None


def foreign_prefix(prefix: str, holder: str | None = None) -> LeaseLost:
    """The error for a prefix that belongs to another account, whose streamer ``holder`` is when that is known."""
    streamer = f"the streamer of another account ({describe(holder)})" if holder else "another account's streamer"
    return LeaseLost(
        f"{streamer} publishes under the prefix {safe(prefix)!r}, and one prefix belongs to one account: "
        "set another SCHWAB_REDIS_PREFIX, or stop that streamer"
    )
