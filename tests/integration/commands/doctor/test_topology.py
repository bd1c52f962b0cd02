"""``doctor`` on a real Sentinel set and a real Cluster."""

from schwabstream.commands.doctor.findings import Verdict
from schwabstream.commands.doctor.topology import examine_topology
from tests.support.topology import RedisCluster, SentinelSet


async def test_a_sentinel_set() -> None:
    """With passwords for Redis and Sentinels all is seen; a Sentinel and a replica that are down are named."""
    with SentinelSet(secured=True, min_replicas=1) as topology:
        findings = await examine_topology(topology.url, "market_data")
        assert [(each.name, each.verdict) for each in findings] == [
            ("redis topology", Verdict.OK),
            ("redis failover", Verdict.OK),
            ("redis replicas", Verdict.OK),
        ]
        assert f"master {topology.master.address}, named by 3 of 3 Sentinels, quorum 2" in findings[0].detail
        replica = topology.replicas[0]
        topology.sentinels[0].kill()
        replica.kill()
        sentinels, _, replicas = await examine_topology(topology.url, "market_data")
        assert f"no answer from {topology.sentinels[0].address}: Connection refused" in sentinels.detail
        assert (replicas.verdict, replicas.detail.partition(" (")[0]) == (
            Verdict.WARNING,
            f"{replica.address} does not answer",
        )
        assert "PASSWORD" not in str(findings)


async def test_a_cluster() -> None:
    """The owner of the prefix's slot and its replica are found; a replica that is down is named."""
    with RedisCluster() as topology:
        owner, failover, replicas = await examine_topology(topology.url, "market_data")
        assert (
            f"slot {topology.slot} of {{market_data}} is at {topology.master.address}, cluster_state ok" in owner.detail
        )
        assert (failover.verdict, replicas.verdict) == (Verdict.WARNING, Verdict.OK)
        assert "CONFIG SET min-replicas-to-write 1" in (failover.fix or "")
        replica = topology.replicas[0]
        replica.kill()
        owner, _, replicas = await examine_topology(topology.url, "market_data")
        assert [each.verdict for each in (owner, replicas)] == [Verdict.WARNING] * 2
        assert replica.address in replicas.detail
