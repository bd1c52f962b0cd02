"""Takes turns with the other streamers of an account: streams with the lease, waits without it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from schwabstream.errors import LeaseLost, LoginRequired, ProtocolError, RedisUnavailable, Refused, SchwabUnavailable
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.lease import Lease

log = structlog.get_logger(__name__)

SHORT_PAUSE_S, LONG_PAUSE_S = 10.0, 300.0


async def take_turns(
    lease: Lease,
    lead: Callable[[Fence], Awaitable[None]],
    *,
    standby: bool,
    take_over: bool,
    stopping: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run ``lead`` under the lease until one ends without error, or ``stopping``; raises the error that ends the run.

    Without ``standby`` a lease that is held raises ``LeaseLost``; with ``take_over`` the first one is taken by force.
    """
    lost = False
    while not stopping():
        fence = await lease.take(wait=standby, by_force=take_over)
        take_over = False
        try:
            await lead(fence)
            return
        except LeaseLost as error:
            lost = True
            log.warning("lease lost: stopped publishing and logged out", reason=str(error))
        except (SchwabUnavailable, RedisUnavailable, LoginRequired, ProtocolError, Refused) as error:
            # A start that fails ends the run (docs/adr/0005), but a standby started long ago.
            if not (lost or lease.waited):
                raise
            pause_s = SHORT_PAUSE_S if isinstance(error, SchwabUnavailable | RedisUnavailable) else LONG_PAUSE_S
            log.warning("taking over failed; another standby may try", reason=str(error), again_in_s=pause_s)
            await sleep(pause_s)
