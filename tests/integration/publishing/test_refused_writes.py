"""A lease that expires because Redis refuses its renewal; a Redis in memory, on virtual time."""

import asyncio
import random

import pytest

from schwabstream.publishing.election import RETURN_GRACE_S
from schwabstream.publishing.fence import LIFE_MS, Holder
from schwabstream.publishing.lease import Lease
from tests.support.redis_model import RedisModel
from tests.support.virtual_network import NetworkLoop
from tests.support.virtual_time import run_virtual


@pytest.mark.parametrize(
    ("refusal", "lasts_s"),
    [
        ("READONLY You can't write against a read only replica.", 11.2),
        ("NOREPLICAS Not enough good replicas to write.", 22.2),
        ("OOM command not allowed when used memory > 'maxmemory'.", 16.2),
        ("NOREPLICAS Not enough good replicas to write.", 4.2),
    ],
)
def test_a_standby_leaves_the_leader_time_after_redis_refused_its_renewals(refusal: str, lasts_s: float) -> None:
    """A lease whose renewals were refused is reserved after they are accepted again, expired or not."""
    loop = NetworkLoop(random.Random(1).uniform)

    async def scenario() -> float:
        redis = RedisModel(loop.network, loop.time)
        redis.start()
        lease = Lease(f"redis://127.0.0.1:{redis.port}/0", "market_data", wall=loop.time)
        lease.of_account("account")
        leader = await lease.take(wait=True)
        standby = Lease(f"redis://127.0.0.1:{redis.port}/0", "market_data", wall=loop.time)
        standby.of_account("account")
        waiting = asyncio.create_task(standby.take(wait=True))
        await asyncio.sleep(5)
        redis.refusal = refusal
        await asyncio.sleep(lasts_s)
        assert not waiting.done()
        redis.refusal, began = None, loop.time()
        fence = await waiting
        assert Holder.parse(fence.holder) != Holder.parse(leader.holder)
        await lease.close()
        await standby.close()
        return loop.time() - began

    assert 5 + 4.2 < LIFE_MS / 1000 < 5 + 11.2, "the lease expires after the shortest refusal, and during the others"
    assert RETURN_GRACE_S <= run_virtual(scenario(), loop) <= RETURN_GRACE_S + 2
