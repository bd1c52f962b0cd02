"""Tells quiet from dead, per service and per key, for one session; pure, it decides and others act.

A service or key that owes data is probed first: its subscription is sent again, and Schwab answers that with a
snapshot however quiet the market is (protocol 3.5, 3.6). Only a service that stays silent after its probe is dead. What
a market that is closed or halted does not send is never missed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from schwabstream.market import Instrument


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of silence: until a first snapshot is missed, until a probe, and from the probe to the verdict."""

    first_snapshot_s: float = 9.0
    service_soft_s: float = 60.0
    key_soft_s: float = 300.0
    hard_s: float = 20.0


@dataclass(frozen=True, slots=True)
class NeverCame:
    """No snapshot of this key since its subscription was acknowledged."""

    key: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Send the subscription of these keys again; ``whole`` when all of the service is silent."""

    service: str
    keys: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Silent:
    """A key did not answer its probe."""

    key: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A key that was reported has updated again."""

    key: str


@dataclass(frozen=True, slots=True)
class Dead:
    """A whole service did not answer its probe: only a new session can help."""

    service: str


Finding = NeverCame | Probe | Silent | Recovered | Dead


@dataclass(slots=True)
class _Watched:
    """Since when something is silent; ``probed_at`` while a probe is out, ``told`` once its silence was reported."""

    heard_at: float
    probed_at: float | None = None
    told: bool = False
    ever_heard: bool = False

    def hear(self, now: float) -> None:
        """Take a sign of life."""
        self.heard_at, self.probed_at, self.told, self.ever_heard = now, None, False, True


class Liveness:
    """Watches level 1 of one session. Times are monotonic seconds.

    ``escalated`` names services whose silence already cost a session: they are probed and told, but not given another
    one until they have delivered again, so that one dead service does not take the living ones down with it.
    """

    def __init__(self, limits: Limits, escalated: set[str]) -> None:
        self._limits = limits
        self._escalated = escalated
        self._services: dict[str, _Watched] = {}
        self._keys: dict[str, _Watched] = {}
        self._service_of: dict[str, str] = {}
        self._updates: dict[str, int] = {}

    def subscribed(self, service: str, keys: Iterable[str], now: float) -> None:
        """Note that the subscription of these keys was acknowledged."""
        self._services.setdefault(service, _Watched(now))
        for key in keys:
            if key not in self._service_of:
                self._service_of[key] = service
                self._keys[key] = _Watched(now)

    def check(
        self, instruments: Mapping[str, Instrument], is_open: Callable[[Instrument], bool], now: float
    ) -> list[Finding]:
        """What must be done now; call it every second or so."""
        findings: list[Finding] = []
        owing: dict[str, list[str]] = {service: [] for service in self._services}
        for key, watched in self._keys.items():
            instrument = instruments[key]
            service = self._service_of[key]
            if self._listen(key, instrument, watched, now):
                findings.append(Recovered(key))
            if not instrument.fresh and not watched.told and now - watched.heard_at >= self._limits.first_snapshot_s:
                watched.told = True
                findings.append(NeverCame(key))
            if is_open(instrument):
                # Keys that never came are reported by name; they speak for the service only while nothing else does.
                if instrument.fresh or not self._services[service].ever_heard:
                    owing[service].append(key)
            elif instrument.fresh:
                watched.heard_at, watched.probed_at = now, None
        for service, keys in owing.items():
            findings += self._judge_service(service, keys, now)
            findings += self._judge_keys(service, keys, now)
        return findings

    def _listen(self, key: str, instrument: Instrument, watched: _Watched, now: float) -> bool:
        """Take note when the key has updated since the last look; True when that ends a reported silence."""
        if instrument.updates == self._updates.get(key):
            return False
        first_look = key not in self._updates
        self._updates[key] = instrument.updates
        if first_look and not instrument.fresh:
            return False
        recovered = watched.told
        watched.hear(now)
        self._services[self._service_of[key]].hear(now)
        self._escalated.discard(self._service_of[key])
        return recovered

    def _judge_service(self, service: str, owing: list[str], now: float) -> list[Finding]:
        watched = self._services[service]
        if not owing:
            watched.heard_at, watched.probed_at = now, None
            return []
        if watched.probed_at is None:
            if now - watched.heard_at < self._limits.service_soft_s:
                return []
            watched.probed_at = now
            return [Probe(service, tuple(owing), whole=True)]
        if now - watched.probed_at < self._limits.hard_s:
            return []
        watched.heard_at, watched.probed_at = now, None
        if service in self._escalated:
            told, watched.told = watched.told, True
            return [] if told else [Silent(key) for key in owing]
        self._escalated.add(service)
        return [Dead(service)]

    def _judge_keys(self, service: str, owing: list[str], now: float) -> list[Finding]:
        if self._services[service].probed_at is not None:
            return []  # the whole service is in question
        findings: list[Finding] = []
        due = []
        for key in owing:
            watched = self._keys[key]
            if watched.probed_at is None and now - watched.heard_at >= self._limits.key_soft_s:
                watched.probed_at = now
                due.append(key)
            elif watched.probed_at is not None and now - watched.probed_at >= self._limits.hard_s and not watched.told:
                watched.told = True
                findings.append(Silent(key))
        if due:
            findings.append(Probe(service, tuple(due), whole=False))
        return findings
