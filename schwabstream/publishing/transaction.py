"""Sends packed transactions over one redis-py connection, fenced by a lease when there is one.

redis-py connects (TLS, AUTH, ACLs, unix sockets). This module packs commands and reads replies itself, because
redis-py's command path takes many times longer than Redis takes to answer (docs/adr/0003). A fenced writer watches its
claims, so Redis discards a transaction after they changed. Claims that have expired are taken back and the transaction
is sent again; claims that another streamer holds end the writing (docs/adr/0007).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import hiredis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schwabstream.broker.client import address_of, connection_pool
from schwabstream.broker.url import Address, cause_of, parse_redis_url, redact_url, unavailable
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.publishing.election import Found, Rival, Verdict, judge
from schwabstream.publishing.fence import Fence, describe
from schwabstream.publishing.packing import command
from schwabstream.publishing.reply_protocol import Replied, ReplyProtocol

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
NOTICE_TIMEOUT_S = 0.4
ROUND_TRIP_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_MULTI, _EXEC = command("MULTI"), command("EXEC")
Failed = Callable[[RedisUnavailable | LeaseLost], None]
_TENURE_REPLIES, _CLAIM_REPLIES = 3, 6


_CAUSES = {
    "READONLY": "it is a replica",
    "MOVED": "another node of the Cluster has the keys",
    "ASK": "the keys are moving to another node of the Cluster",
    "TRYAGAIN": "the keys are moving to another node of the Cluster",
    "CLUSTERDOWN": "the Cluster does not accept writes",
    "MASTERDOWN": "it is a replica without its master",
    "LOADING": "it is loading its data",
    "NOREPLICAS": "it requires more replicas than it has",
}


def _cause(refusal: Exception) -> str:
    """Why Redis refused, in words where its reply is terse, to be appended to a message."""
    words = _CAUSES.get(str(refusal).partition(" ")[0])
    return f": {words} ({refusal})" if words else f" ({refusal})"


class TransactionWriter:
    """One connection to Redis, which can be opened again, with one transaction in flight at a time.

    ``replied`` gets the replies of each transaction, including the errors of single commands. ``refused`` gets those to
    the commands of a transaction that Redis discarded because of an error, and returns whether it has sent another.
    ``failed`` is called once when the connection becomes unusable: Redis did not run the transaction in flight, or its
    outcome is unknown. ``round_trip_s`` is how long the last transaction took, None before the first, and
    ``answered_at`` the time of its replies on the clock ``now``. ``leads_to`` is the server that an open connection
    leads to, or None.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        replied: Replied,
        failed: Failed,
        refused: Callable[[list[Any]], bool] = lambda _: False,
        *,
        fence: Fence | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = redact_url(redis_url)
        self._replied, self._failed, self._refused, self._fence = replied, failed, refused, fence
        self._pool = connection_pool(
            redis_url,
            prefix,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self.route, self.master_name = self._pool.route, parse_redis_url(redis_url).master_name
        self.leads_to: Address | None = None
        self._connection: AbstractConnection | None = None
        self._link: ReplyProtocol | None = None
        self._held = self._led = self._repeated = False
        self._rival: Rival | None = None
        self._packed, self._queued = b"", 0
        self._tenure, self._claim, self._renewal, self._watch = b"", b"", b"", b""
        self._ours: list[bytes] = []
        if fence is not None:
            self._ours = [fence.holder.encode(), fence.account.encode()]
            keys, life = (fence.key, fence.account_key), fence.life_ms
            # A later holder that Redis has forgotten shows itself by its fencing number.
            self._watch = command("WATCH", *keys, fence.tenures_key) + command("MGET", *keys)
            self._tenure = command("ZADD", fence.tenures_key, "GT", fence.tenure, fence.account)
            self._tenure += command("ZMSCORE", fence.tenures_key, fence.account) + command("GET", fence.key)
            # UNWATCH first: a watched key that this connection changes counts as changed, too.
            self._claim = command("UNWATCH") + command("SET", fence.account_key, fence.account, "NX", "PX", life)
            self._claim += command("SET", fence.key, fence.holder, "NX", "PX", life)
            self._claim += command("PTTL", fence.key) + self._watch
            self._renewal = command("PEXPIRE", fence.key, life)
        self._now = now
        self._sent_at: float | None = None
        self.answered_at = 0.0
        self.round_trip_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a transaction is in flight."""
        return self._sent_at is not None

    async def connect(self, questions: Sequence[bytes] = ()) -> list[Any]:
        """Connect, take or confirm the claims, and return the replies to ``questions``, packed commands that only read.

        Raises ``RedisUnavailable`` or ``LeaseLost``.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
                self._link = ReplyProtocol(self._connection, self._fail)
                if self._fence is not None:
                    self._check_tenure(self._fence, await self._link.ask(self._tenure, _TENURE_REPLIES))
                    replies = await self._link.ask(self._claim, _CLAIM_REPLIES)
                    self._check_claim(self._fence, replies, reconnected=self._led)
                # After the claims: a streamer that takes them from now on makes Redis discard the next transaction.
                found = await self._link.ask(b"".join(questions), len(questions)) if questions else []
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise unavailable(self.url, error) from error
        self.leads_to = address_of(self._connection)
        return found

    def leave(self, master: Address) -> None:
        """Give up the connection, because that other server is the master now."""
        self._fail(RedisUnavailable(f"{self.leads_to} is no longer the master of Redis at {self.url}: {master} is"))

    def transact(self, commands: Iterable[bytes], count: int) -> None:
        """Send ``count`` packed commands as one transaction; ``replied`` or ``failed`` gets its outcome."""
        if self._link is None:
            self._fail(ConnectionError("no connection"))
            return
        self._packed = b"".join((_MULTI, self._renewal, *commands, _EXEC, self._watch))
        self._queued = count + 1 if self._renewal else count
        self._repeated = False
        if self._held or self._fence is None:
            self._send(self._link)
        else:
            self._take_back(self._link)

    def check(self) -> None:
        """Fail when Redis has not answered the transaction in flight for too long."""
        if self._sent_at is not None and self._now() - self._sent_at > REPLY_TIMEOUT_S:
            self._fail(TimeoutError())

    async def disconnect(self) -> None:
        """Close the connection; :meth:`connect` opens a new one."""
        self._sent_at = self.leads_to = None
        if self._link is not None:
            self._link.release()
            self._link = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            await self._pool.release(self._connection)
            self._connection = None

    async def notify(self, publish: Sequence[bytes], record: Sequence[bytes]) -> None:
        """Send notices outside of any batch, on a new connection, when batches no longer succeed.

        Both have one command for each notice; those of ``record`` are sent only if no other streamer holds the lease.
        """
        unanswered = self._sent_at is not None and self._now() - self._sent_at > NOTICE_TIMEOUT_S
        await self.disconnect()
        if unanswered:
            return
        with contextlib.suppress(RedisError, OSError, TimeoutError, hiredis.HiredisError):  # the run is over anyway
            async with asyncio.timeout(NOTICE_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
                link = self._link = ReplyProtocol(self._connection, self._fail)
                if self._fence is None:
                    await link.ask(b"".join((*publish, *record)), len(publish) + len(record))
                    return
                questions = self._watch + command("ZMSCORE", self._fence.tenures_key, self._fence.account)
                *_, found, newest = await link.ask(b"".join((*publish, questions)), len(publish) + 3)
                free = isinstance(found, list) and {*found} <= {None, *self._ours}
                if free and isinstance(newest, list) and float(newest[0] or 0) <= self._fence.tenure:
                    recording = b"".join((_MULTI, *record, _EXEC, self._watch))
                    *_, found = await link.ask(recording, len(record) + 4)
                self._held = found == self._ours

    async def close(self) -> None:
        """Release the claims that this writer still holds, and close the connection."""
        if self._fence is not None and self._link is not None and self._sent_at is None and self._held:
            release = _MULTI + command("DEL", self._fence.key, self._fence.account_key) + _EXEC
            with contextlib.suppress(OSError, TimeoutError, hiredis.HiredisError):  # the claims expire
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._link.ask(release, 3)
        await self.disconnect()
        await self._pool.disconnect()

    def _send(self, link: ReplyProtocol) -> None:
        """Send the packed transaction."""
        self._sent_at = self._now()
        link.exchange(self._packed, self._queued, 1 if self._fence is None else 3, self._take)

    def _take(self, replies: list[Any]) -> None:
        """Act on the replies to a transaction; unexpected acknowledgements come before them."""
        self.answered_at = self._now()
        self.round_trip_s = self.answered_at - (self._sent_at or 0.0)
        self._sent_at = None
        if self._fence is not None:
            self._held = replies[-1] == self._ours
            del replies[-2:]
        outcome = replies[-1]
        if isinstance(outcome, list):
            self._packed = b""
            self._replied(outcome if self._fence is None else outcome[1:])
        elif outcome is not None:
            refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
            # Before the outcome come the replies to MULTI, to the renewal of the lease, and to each command.
            if not self._refused(replies[1 if self._fence is None else 2 : -1]):
                self._fail(RedisUnavailable(f"Redis at {self.url} refused a batch{_cause(refusals[0])}"))
        elif self._link is None or self._repeated:
            self._fail(RedisUnavailable(f"Redis at {self.url} discarded a batch"))
        else:
            self._repeated = True
            self._take_back(self._link)

    def _take_back(self, link: ReplyProtocol) -> None:
        """Take back the expired claims unless there was a later holder, then send the discarded transaction again."""
        self._sent_at = self._now()
        link.request(self._tenure, _TENURE_REPLIES, self._tenure_found)

    def _tenure_found(self, replies: list[Any]) -> None:
        if self._fence is None or self._link is None:
            return
        try:
            self._check_tenure(self._fence, replies)
        except (RedisUnavailable, LeaseLost) as error:
            self._fail(error)
            return
        self._link.request(self._claim, _CLAIM_REPLIES, self._taken_back)

    def _taken_back(self, replies: list[Any]) -> None:
        self._sent_at = None
        if self._fence is None or self._link is None:
            return
        try:
            self._check_claim(self._fence, replies, reconnected=False)
        except (RedisUnavailable, LeaseLost) as error:
            self._fail(error)
            return
        if any(taken is not None for taken in replies[1:3]):
            log.warning("the lease had expired and was free: taken back, nothing is lost")
        self._send(self._link)

    def _check_tenure(self, fence: Fence, replies: list[Any]) -> None:
        """Raise the error that the replies mean, unless this is the newest tenure of the account."""
        self._refuse(replies)
        _, (newest,), holder = replies
        if float(newest) > fence.tenure:
            later = None if holder in (None, self._ours[0]) else holder.decode(errors="replace")
            raise fence.lost(later, None)

    def _refuse(self, replies: list[Any]) -> None:
        """Raise ``RedisUnavailable`` if Redis refused a command of a claim."""
        refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if refusals:
            raise RedisUnavailable(f"Redis at {self.url} refused the streamer's lease{_cause(refusals[0])}")

    def _check_claim(self, fence: Fence, replies: list[Any], *, reconnected: bool) -> None:
        """Raise the error that the replies to a claim mean, unless the claim succeeded."""
        self._refuse(replies)
        holder, account = (None if each is None else each.decode(errors="replace") for each in replies[-1])
        found = Found(holder, account, replies[3] / 1000, self._now())
        verdict, self._rival = judge(fence, found, self._rival, reconnected=reconnected)
        if verdict is Verdict.LOST:
            raise fence.lost(holder, account)
        if verdict is Verdict.UNDECIDED and holder is not None:
            raise RedisUnavailable(
                f"Redis at {self.url} holds the lease of an earlier streamer ({describe(holder)}), which expires in "
                f"{found.left_s:.0f} s unless that streamer renews it"
            )
        if verdict is Verdict.UNDECIDED or account is None:
            raise RedisUnavailable(f"Redis at {self.url} keeps no lease at {fence.key}: delete the value stored there")
        self._held = self._led = True

    def _fail(self, error: Exception) -> None:
        """Report the end of this connection once, as one of our own errors."""
        self.leads_to = None
        self._sent_at = None
        if self._link is not None:
            self._link.release()
            self._link = None
        if not isinstance(error, RedisUnavailable | LeaseLost):
            cause = error
            error = RedisUnavailable(f"the connection to Redis at {self.url} broke ({cause_of(cause)})")
            error.__cause__ = cause
        self._failed(error)
