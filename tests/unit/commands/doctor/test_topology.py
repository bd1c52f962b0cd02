"""What ``doctor`` concludes from the answers of Sentinels, nodes and replicas."""

import pytest

from schwabstream.broker.url import RENEW, START, Address
from schwabstream.commands.doctor.findings import Finding, Verdict
from schwabstream.commands.doctor.inspection import Member, NoAnswer, Sentinel, Server
from schwabstream.commands.doctor.topology import (
    Outlook,
    look_at_failover,
    look_at_members,
    look_at_replicas,
    look_at_sentinels,
)

A, B, C = (Address(f"10.0.0.{number}", 6379) for number in (1, 2, 3))
SENTINELS = [Address(f"10.0.0.{number}", 26379) for number in (1, 2, 3)]
LIMITS = {"client-output-buffer-limit": "pubsub 1 1 1", "min-replicas-to-write": "1", "maxmemory": "0"}
MASTER, REPLICA = Server("master", False, 2, LIMITS), Server("slave", True, 0, LIMITS)
AGREED = Sentinel(A, tuple(SENTINELS), (B, C), 2, 5000)
VIEW = Member("ok", A, (B,), (A, B, C))


def outlook(detect_ms: int | None = 5000) -> Outlook:
    """A master with two replicas."""
    return Outlook(A, (B, C), detect_ms, "SHORTEN")


def shown(finding: Finding) -> tuple[Verdict, str, str]:
    """The verdict, the detail and the fix."""
    return finding.verdict, finding.detail, finding.fix or ""


def test_sentinels_that_agree() -> None:
    """With three Sentinels that agree, the master, the votes and the quorum are shown."""
    finding, found = look_at_sentinels("mymaster", dict.fromkeys(SENTINELS, AGREED))
    assert shown(finding) == (
        Verdict.OK,
        "sentinel mymaster: master 10.0.0.1:6379, named by 3 of 3 Sentinels, quorum 2",
        "",
    )
    assert found is not None
    assert (found.master, found.replicas, found.detect_ms) == (A, (B, C), 5000)


REFUSED = NoAnswer("refused")
NO_QUORUM = Sentinel(A, no_quorum="NOQUORUM 1 usable Sentinels")


@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ([AGREED, AGREED, REFUSED], Verdict.WARNING, "no answer from 10.0.0.3:26379: refused"),
        ([AGREED, REFUSED, REFUSED], Verdict.WARNING, "no failover is possible: most Sentinels do not answer"),
        ([AGREED, NO_QUORUM, AGREED], Verdict.WARNING, "no failover is possible: NOQUORUM 1 usable"),
        ([AGREED, AGREED, Sentinel(B)], Verdict.OK, "master 10.0.0.1:6379, named by 2 of 3 Sentinels"),
        ([AGREED, Sentinel(B)], Verdict.FAILED, "name different masters (10.0.0.1:6379, 10.0.0.2:6379)"),
        ([AGREED, AGREED], Verdict.WARNING, "named by 2 of 2 Sentinels"),
        ([Sentinel(None)] * 3, Verdict.FAILED, "monitor no master named mymaster"),
        ([REFUSED] * 3, Verdict.FAILED, "no Sentinel answers"),
    ],
)
def test_sentinels_that_do_not(answers: list[Sentinel | NoAnswer], verdict: Verdict, words: str) -> None:
    """What keeps a run from working fails; what only rules out a failover is a warning; both have a next step."""
    finding, found = look_at_sentinels("mymaster", dict(zip(SENTINELS, answers, strict=False)))
    assert (finding.verdict, finding.code) == (verdict, 8 if verdict is Verdict.FAILED else 0)
    assert words in finding.detail
    assert bool(finding.fix) is (verdict is not Verdict.OK)
    assert (found is None) is (verdict is Verdict.FAILED)


@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ([VIEW, VIEW, VIEW], Verdict.OK, "3 nodes, slot 7 of {p} is at 10.0.0.1:6379, cluster_state ok"),
        ([VIEW, VIEW, REFUSED], Verdict.WARNING, "no answer from 10.0.0.3:6379: refused"),
        ([VIEW, Member("fail", A, (B,), ())], Verdict.WARNING, "cluster_state is not ok at 10.0.0.2:6379"),
        ([VIEW, Member("ok", B, (), ())], Verdict.FAILED, "do not agree on the owner of slot 7"),
        ([Member("ok", None, (), ())] * 3, Verdict.FAILED, "do not agree on the owner of slot 7"),
        ([REFUSED] * 3, Verdict.FAILED, "no node of the Cluster answers"),
    ],
)
def test_nodes_of_a_cluster(answers: list[Member | NoAnswer], verdict: Verdict, words: str) -> None:
    """The slot needs an owner that most nodes agree on; a node that is down or unsure is a warning."""
    finding, found = look_at_members(7, "{p}", dict(zip((A, B, C), answers, strict=False)))
    assert finding.verdict is verdict
    assert words in finding.detail
    assert (found is None) is (verdict is Verdict.FAILED)


@pytest.mark.parametrize(
    ("master", "detect_ms", "verdict", "words"),
    [
        (MASTER, 5000, Verdict.OK, "2 replicas connected, min-replicas-to-write 1, a failure is noticed after 5 s"),
        (MASTER, 30_000, Verdict.WARNING, "SHORTEN: the streamer keeps what Redis acknowledged for 15 s"),
        (
            Server("master", False, 2, {"min-replicas-to-write": "0"}),
            5000,
            Verdict.WARNING,
            "; CONFIG SET min-replicas",
        ),
        (
            Server("master", False, 1, {"min-replicas-to-write": "0"}),
            5000,
            Verdict.WARNING,
            "with two replicas, CONFIG",
        ),
        (Server("master", False, 0, {}), 5000, Verdict.WARNING, "start a replica"),
        (Server("master", False, 0, LIMITS), 5000, Verdict.FAILED, "the master refuses all writes"),
        (Server("master", False, 2, {"cluster-node-timeout": "15001"}), None, Verdict.WARNING, "after 15.001 s"),
        (REFUSED, 5000, Verdict.FAILED, "the master 10.0.0.1:6379 does not answer (refused)"),
    ],
)
def test_a_failover(master: Server | NoAnswer, detect_ms: int | None, verdict: Verdict, words: str) -> None:
    """A replica, min-replicas-to-write and a detection time within what is kept: each has its fix."""
    finding = look_at_failover(outlook(detect_ms), {A: master})
    assert finding.verdict is verdict
    assert words in f"{finding.detail}; {finding.fix}"


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        (REPLICA, None),
        (Server("", False, 0), None),
        (REFUSED, "10.0.0.3:6379 does not answer (refused)"),
        (Server("slave", False, 0, LIMITS), "10.0.0.3:6379 is not connected to its master"),
        (Server("slave", True, 0, LIMITS | {"min-replicas-to-write": "0"}), "another min-replicas-to-write than"),
        (Server("slave", True, 0, {"client-output-buffer-limit": "none"}), "another client-output-buffer-limit than"),
        (
            Server("slave", True, 0, LIMITS | {"maxmemory": "9", "maxmemory-policy": "allkeys-lru"}),
            "has maxmemory-policy allkeys-lru instead of noeviction",
        ),
    ],
)
def test_replicas(replica: Server | NoAnswer, words: str | None) -> None:
    """A replica must be in step and have the master's limits; what this user may not see does not count."""
    finding = look_at_replicas(outlook(), {A: MASTER, B: REPLICA, C: replica})
    assert (finding.verdict is Verdict.OK) is (words is None)
    assert words is None or words in finding.detail


def test_a_server_whose_certificate_cannot_be_trusted_needs_another_certificate() -> None:
    """Starting a server does not help against its certificate, so the next step names the certificate."""
    expired = NoAnswer("TLS: certificate has expired", untrusted=True)
    findings = [
        look_at_sentinels("mymaster", dict(zip(SENTINELS, [AGREED, AGREED, expired], strict=True)))[0],
        look_at_sentinels("mymaster", dict.fromkeys(SENTINELS, expired))[0],
        look_at_members(7, "{p}", dict(zip((A, B, C), [VIEW, VIEW, expired], strict=True)))[0],
        look_at_members(7, "{p}", dict.fromkeys((A, B, C), expired))[0],
        look_at_failover(outlook(), {A: expired}),
    ]
    assert {finding.fix for finding in findings} == {RENEW}


def test_another_trouble_with_tls_does_not_blame_the_certificate() -> None:
    """A server without TLS behind ``rediss://`` has no certificate to replace."""
    plain = NoAnswer("TLS: WRONG_VERSION_NUMBER")
    finding, _ = look_at_sentinels("mymaster", dict.fromkeys(SENTINELS, plain))
    assert "TLS: WRONG_VERSION_NUMBER" in finding.detail
    assert finding.fix == START
