"""A publisher with its lease and its readers while the master is killed, on a real Sentinel set and a real Cluster.

Both start from the configuration files of the operations pages, with passwords and permissions. The other faults, and
how long each may take, are in ``tests/long/topologies.py``.
"""

from typing import get_args

import pytest

from tests.support.failover import Trial
from tests.support.topology import Kind, topology


@pytest.mark.parametrize("mode", get_args(Kind))
def test_nothing_is_lost_when_the_master_is_killed(mode: Kind) -> None:
    """The surviving stream has every event once and in order; a reader receives each event once or reports its loss."""
    with topology(mode, detect_s=1.0, secured=True, min_replicas=None) as at, Trial(at, rate=500) as trial:
        at.kill_master()
        trial.await_readers()
        found = trial.finish()
        assert [node.ask("ACL", "LOG") for node in at.nodes if node.alive] == [[]] * (len(at.nodes) - 1)
    assert (found.lost, found.told, found.twice, found.in_order) == (0, 0, 0, True), found
    assert (found.ended, found.took_over, found.dropped, found.redis["changes"]) == (None, False, 0, 1), found
    for name, received in found.readers.items():
        assert (received.ended, received.twice, received.in_order, received.is_honest) == (None, 0, True, True), name
    assert [found.readers[name].lost for name in ("read_stream", "group")] == [0, 0], found
