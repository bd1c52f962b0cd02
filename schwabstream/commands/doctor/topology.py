"""The checks of Sentinels, of a Cluster and of replicas: could a failover succeed, and would it lose anything?"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schwabstream.broker.url import RENEW, START, Address, parse_redis_url, prefix_at, slot_of
from schwabstream.commands.doctor.findings import Finding, failed, ok, unchecked, warning
from schwabstream.commands.doctor.inspection import Asked, Inspection, Member, NoAnswer, Sentinel, Server
from schwabstream.terminal.text import counted

TOPOLOGY_FINDINGS = ("redis topology", "redis failover", "redis replicas")
KEPT_S = 15
"""How long the publisher keeps acknowledged events (docs/adr/0016)."""
_START_SENTINELS = "start the missing Sentinels: a majority of all must agree to a failover"
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Outlook:
    """The master and its replicas, as the majority names them, and how long the failure detection takes."""

    master: Address
    replicas: tuple[Address, ...]
    detect_ms: int | None
    """None on a Cluster, where only the nodes' own configuration has it, and if no Sentinel shows it."""
    shorten: str
    """The command that shortens that time."""


async def examine_topology(url: str, prefix: str) -> list[Finding]:
    """The findings about Sentinels, the Cluster and replicas; a single one for a single Redis."""
    parsed, prefix = parse_redis_url(url), prefix_at(url, prefix)
    inspection = Inspection(parsed, prefix)
    if parsed.mode == "single":
        return [ok(TOPOLOGY_FINDINGS[0], "a single Redis; while it is down, the streamer buffers events")]
    if parsed.mode == "sentinel":
        finding, outlook = look_at_sentinels(parsed.master_name, await inspection.ask_sentinels())
    else:
        slot = slot_of(prefix)
        finding, outlook = look_at_members(slot, prefix, await inspection.ask_members(slot))
    if outlook is None:
        return [finding, *(unchecked(name, "the master is unknown") for name in TOPOLOGY_FINDINGS[1:])]
    servers = await inspection.ask_servers((outlook.master, *outlook.replicas))
    return [finding, look_at_failover(outlook, servers), look_at_replicas(outlook, servers)]


def look_at_sentinels(name: str, answers: Asked[Sentinel]) -> tuple[Finding, Outlook | None]:
    """Whether enough Sentinels answer and agree, and the master that they name."""
    topic, total = TOPOLOGY_FINDINGS[0], len(answers)
    found = {node: each for node, each in answers.items() if not isinstance(each, NoAnswer)}
    silent = _silent(answers)
    if not found:
        return failed(topic, f"no Sentinel answers ({silent})", _step(answers.values(), START), 8), None
    master, votes = Counter(each.master for each in found.values()).most_common(1)[0]
    if master is None:
        detail = f"the Sentinels monitor no master named {name}"
        return failed(topic, detail, "correct the name after the last / of REDIS_URL or --redis", 8), None
    if votes * 2 <= len(found):
        names = ", ".join(sorted({str(each.master) for each in found.values()}))
        return failed(topic, f"the Sentinels name different masters ({names})", "wait until they agree", 8), None
    views = [each for each in found.values() if each.master == master]
    replicas = tuple(dict.fromkeys(replica for each in views for replica in each.replicas))
    detect_ms = max((each.detect_ms for each in views if each.detect_ms), default=None)
    shorten = f"SENTINEL SET {name} down-after-milliseconds 5000 on every Sentinel"
    outlook = Outlook(master, tuple(each for each in replicas if each != master), detect_ms, shorten)
    quorum = next((each.quorum for each in views if each.quorum), None)
    what = f"sentinel {name}: master {master}, named by {votes} of {counted(total, 'Sentinel')}"
    what += f", quorum {quorum}" if quorum else ""
    few = "most Sentinels do not answer" if len(found) * 2 <= total else None
    restart = _step(answers.values(), _START_SENTINELS)
    if trouble := next((each.no_quorum for each in views if each.no_quorum), few):
        return warning(topic, f"{what}; no failover is possible: {trouble}", restart), outlook
    if silent:
        return warning(topic, f"{what}; no answer from {silent}", restart), outlook
    if total < 3:
        return warning(topic, what, "run three Sentinels on three hosts, so that one of them may fail"), outlook
    return ok(topic, what), outlook


def look_at_members(slot: int, prefix: str, answers: Asked[Member]) -> tuple[Finding, Outlook | None]:
    """Whether the Cluster serves the prefix's slot, and the owner of the slot."""
    topic, silent = TOPOLOGY_FINDINGS[0], _silent(answers)
    found = {node: each for node, each in answers.items() if not isinstance(each, NoAnswer)}
    if not found:
        return failed(topic, f"no node of the Cluster answers ({silent})", _step(answers.values(), START), 8), None
    owner, votes = Counter(each.owner for each in found.values()).most_common(1)[0]
    if owner is None or votes * 2 <= len(found):
        detail = f"the nodes do not agree on the owner of slot {slot} of {prefix}"
        return failed(topic, detail, "assign all slots: redis-cli --cluster fix", 8), None
    replicas = dict.fromkeys(each for view in found.values() if view.owner == owner for each in view.replicas)
    shorten = "CONFIG SET cluster-node-timeout 5000 on every node"
    outlook = Outlook(owner, tuple(replicas), None, shorten)
    bad = [str(node) for node, each in found.items() if each.state != "ok"]
    what = f"cluster: {counted(len(answers), 'node')}, slot {slot} of {prefix} is at {owner}"
    if bad:
        detail = f"{what}; cluster_state is not ok at {_listed(bad)}"
        return warning(topic, detail, "find the failed nodes with CLUSTER NODES, and start them"), outlook
    if silent:
        fix = _step(answers.values(), "start that node, or remove it with CLUSTER FORGET")
        return warning(topic, f"{what}; no answer from {silent}", fix), outlook
    return ok(topic, f"{what}, cluster_state ok"), outlook


def look_at_failover(outlook: Outlook, servers: Asked[Server]) -> Finding:
    """Whether a replica could take over, soon enough, and without losing what an isolated master accepts."""
    topic, master = TOPOLOGY_FINDINGS[1], servers[outlook.master]
    if isinstance(master, NoAnswer):
        detail = f"the master {outlook.master} does not answer ({master})"
        return failed(topic, detail, _step([master], "start it, or wait until a replica has taken over"), 8)
    needed, replicas = _number(master.settings, "min-replicas-to-write"), master.replicas
    detect_ms = outlook.detect_ms or _number(master.settings, "cluster-node-timeout")
    what = f"{counted(replicas, 'replica')} connected, min-replicas-to-write {_shown(needed)}"
    what += f", a failure is noticed after {detect_ms / 1000:g} s" if detect_ms else ""
    if needed and replicas < needed:
        return failed(topic, f"{what}: the master refuses all writes", "start the missing replicas", 8)
    fixes = []
    if not replicas:
        fixes.append("start a replica: without one, nothing takes over")
    if needed == 0:
        # With a single replica, its failure or a failover would stop all writes.
        first = "" if replicas > 1 else "with two replicas, "
        set_one = "CONFIG SET min-replicas-to-write 1 on every server"
        fixes.append(f"{first}{set_one}: an isolated master then accepts no events")
    if detect_ms and detect_ms > KEPT_S * 1000:
        fixes.append(f"{outlook.shorten}: the streamer keeps what Redis acknowledged for {KEPT_S} s")
    return warning(topic, what, "; ".join(fixes)) if fixes else ok(topic, what)


def look_at_replicas(outlook: Outlook, servers: Asked[Server]) -> Finding:
    """Whether each replica is in step and has the settings that it needs as the next master."""
    topic, master = TOPOLOGY_FINDINGS[2], servers[outlook.master]
    if not outlook.replicas:
        return ok(topic, "none")
    theirs = {} if isinstance(master, NoAnswer) else master.settings
    troubles = [f"{node} {what}" for node in outlook.replicas for what in _troubles(servers[node], theirs)]
    names = ", ".join(map(str, outlook.replicas[:_LISTED]))
    if troubles:
        fix = "start or repair that server; give every server the same settings, because any can become the master"
        return warning(topic, _listed(troubles), fix)
    return ok(topic, f"{names}: in step with the master, with the same limits")


def _troubles(server: Server | NoAnswer, masters: Mapping[str, str]) -> list[str]:
    """What is wrong with one replica."""
    if isinstance(server, NoAnswer):
        return [f"does not answer ({server})"]
    found = [] if server.in_step or not server.role else ["is not connected to its master"]
    if server.settings.get("maxmemory", "0") != "0" and server.settings.get("maxmemory-policy") != "noeviction":
        found.append(f"has maxmemory-policy {server.settings.get('maxmemory-policy')} instead of noeviction")
    found += [
        f"has another {name} than the master"
        for name in ("client-output-buffer-limit", "min-replicas-to-write")
        if name in server.settings and server.settings[name] != masters.get(name, server.settings[name])
    ]
    return found


def _step(answers: Iterable[object], usual: str) -> str:
    """The next step when some of the servers do not answer; ``usual`` unless it is because of a certificate."""
    return RENEW if any(isinstance(each, NoAnswer) and each.untrusted for each in answers) else usual


def _silent(answers: Mapping[Address, object]) -> str:
    """The servers without an answer, each with the reason."""
    return _listed([f"{node}: {each}" for node, each in answers.items() if isinstance(each, NoAnswer)])


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return "; ".join(texts[:_LISTED]) + more


def _number(settings: Mapping[str, str], name: str) -> int | None:
    text = settings.get(name, "")
    return int(text) if text.isdecimal() else None


def _shown(value: int | None) -> str:
    return "unknown" if value is None else str(value)
