"""The right to publish: the two claims in Redis that fence every write, and how messages name their holders. No I/O.

The lease names the one process that streams an account. The claim to the prefix names the one account that publishes
under it (docs/adr/0007). Both expire unless they are renewed.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from schwabstream.errors import LeaseLost
from schwabstream.escapes import safe

LIFE_MS = 10_000
SIMULATION = "simulation"
"""The account of simulated prices, in place of a customer id."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lease, and a random number, by which no two holders are ever the same."""

    number: int
    host: str
    pid: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value in Redis; raises ``ValueError`` when it does not name a holder."""
        number, _, process = text.partition(":")
        host, _, pid = process.rpartition(":")
        return cls(int(number), host, int(pid))

    def __str__(self) -> str:
        return f"{self.number}:{self.host}:{self.pid}"


def digest(account: str) -> str:
    """The hash of an account, which Redis holds in place of the customer id."""
    return hashlib.sha256(account.encode()).hexdigest()[:16]


def lease_key(prefix: str, customer_id: str) -> str:
    """The key of the lease of one account."""
    return f"{prefix}:lease:{digest(customer_id)}"


def tenures_key(prefix: str) -> str:
    """The key of the newest fencing numbers, a sorted set of accounts."""
    return f"{prefix}:lease:tenures"


def describe(holder: str | None) -> str:
    """The holder for messages: its host and process id."""
    if holder is None:
        return "none"
    try:
        process = Holder.parse(holder)
    except ValueError:
        return "an unknown program"
    return f"host {safe(process.host)}, pid {process.pid}"


@dataclass(frozen=True, slots=True)
class Fence:
    """The condition for writing: ``key`` holds ``holder``, and ``account_key``, the claim to the prefix, ``account``.

    Both expire after ``life_ms`` unless they are renewed. ``tenure`` is the fencing number, which rises with each
    holder. ``tenures_key`` holds the newest number of each account and does not expire, so a lease that has lapsed is
    not taken back after a later holder has written.
    """

    key: str
    holder: str
    account_key: str
    account: str
    life_ms: int = LIFE_MS
    tenure: int = 0

    @property
    def tenures_key(self) -> str:
        """The key of the newest fencing numbers."""
        return tenures_key(self.account_key.removesuffix(":owner"))

    def lost(self, holder: str | None, account: str | None) -> LeaseLost:
        """The error when the two keys hold these values in place of this fence's own."""
        if account not in (None, self.account):
            return foreign_prefix(self.account_key.removesuffix(":owner"))
        if holder is None:
            return LeaseLost("another streamer has streamed this account meanwhile: this one stops publishing")
        return LeaseLost(f"another streamer took over this account ({describe(holder)}): this one stops publishing")


def foreign_prefix(prefix: str, holder: str | None = None) -> LeaseLost:
    """The error for a prefix that belongs to another account; ``holder`` is its streamer, or None."""
    streamer = f"the streamer of another account ({describe(holder)})" if holder else "another account's streamer"
    return LeaseLost(
        f"{streamer} publishes under the prefix {safe(prefix)!r}, and one prefix belongs to one account: "
        "set another SCHWAB_REDIS_PREFIX, or stop that streamer"
    )
