"""Distinguishes quiet from dead, for each service and key of one session; pure: it decides, and its caller acts.

A silent key or service in an open market is first probed: its subscription is sent again, which may bring a snapshot
even in a quiet market. Whether Schwab answers so is unknown (protocol 10), so silence after a probe proves little.
It costs one new session, and another only after more data has arrived than that session's snapshot; three an hour at
most. Closed and halted markets owe no data.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from schwabstream.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of silence until a first snapshot counts as missing, until a probe, and from the probe to the verdict.

    ``sessions_an_hour``: the most new sessions that the silence of one key or service may cost.
    """

    first_snapshot_s: float = 9.0
    service_soft_s: float = 60.0
    key_soft_s: float = 300.0
    hard_s: float = 20.0
    sessions_an_hour: int = 3


@dataclass(frozen=True, slots=True)
class NeverCame:
    """This key has had no snapshot since its subscription was acknowledged; subscribing it again may help."""

    service: str
    key: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Subscribe these keys again; ``whole`` when the whole service is silent."""

    service: str
    keys: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Silent:
    """These keys did not answer their probe, and a new session did not help either."""

    service: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """These keys, which were reported before, deliver again."""

    service: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dead:
    """These keys did not answer their probe: only a new session can help. ``since``: the time of their last data."""

    service: str
    keys: tuple[str, ...]
    since: float


UNKNOWN_SYMBOL = "Symbol not found"  # trap T5

Finding = NeverCame | Probe | Silent | Recovered | Dead
IsOpen = Callable[[Instrument], bool]


LONGEST_SILENCE_S = 300.0


class Silence:
    """``limit_s``: how many seconds a session may be silent, without even a heartbeat, before it counts as dead.

    Schwab's heartbeat period is unknown (protocol 10). In closed markets it may be longer than the limit, so each
    session that ended by silence alone doubles the limit for the next, up to ``LONGEST_SILENCE_S``.
    """

    def __init__(self, limit_s: float) -> None:
        self._configured_s = self.limit_s = limit_s

    def ended_a_session(self) -> None:
        """Double the limit for the next session."""
        self.limit_s = max(self._configured_s, min(2 * self.limit_s, LONGEST_SILENCE_S))

    def expect_data(self) -> bool:
        """Go back to the configured limit; returns whether that changes it."""
        changes, self.limit_s = self.limit_s != self._configured_s, self._configured_s
        return changes


@dataclass(slots=True)
class LivenessHistory:
    """The new sessions that the silence of services and keys has cost, over the whole run.

    ``escalated``: keys and services whose silence ended a session and that have not delivered since; ``given``: the
    times of these sessions by key or service; ``delivered``: the book services that ever delivered.
    """

    escalated: set[str] = field(default_factory=set)
    given: dict[str, list[float]] = field(default_factory=dict)
    delivered: set[str] = field(default_factory=set)

    def forget(self, key: str) -> None:
        """Forget a key that is not wanted any more."""
        self.escalated.discard(key)
        self.given.pop(key, None)

    def given_lately(self, name: str, now: float) -> list[float]:
        """The times of new sessions for this key or service in the last hour."""
        return [at for at in self.given.get(name, ()) if now - at < 3600.0]


@dataclass(slots=True)
class _Watched:
    """One key or service: the time of its last data, ``probed_at`` during a probe, ``reported`` after a report."""

    heard_at: float
    probed_at: float | None = None
    reported: bool = False
    ever_heard: bool = False

    def hear(self, now: float) -> None:
        """Note that it delivered."""
        self.heard_at, self.probed_at, self.reported, self.ever_heard = now, None, False, True

    def excuse(self, now: float) -> None:
        """Start counting silence from now: no data is due."""
        self.heard_at, self.probed_at = now, None


class Liveness:
    """Watches one session. Times are monotonic seconds.

    Judges each level-1 service by all of its keys, each key alone, and each book service as a whole once it has
    delivered: a book service is silent for an equity that is listed elsewhere.
    """

    def __init__(self, limits: Limits, history: LivenessHistory) -> None:
        self._limits, self._history = limits, history
        self._services: dict[str, _Watched] = {}
        self._keys: dict[str, _Watched] = {}
        self._service_of: dict[str, str] = {}
        self._updates: dict[str, int] = {}
        self._books: dict[str, _Watched] = {}
        self._book_keys: dict[str, tuple[str, ...]] = {}
        self._books_since: dict[str, float] = {}

    def subscribed(self, service: str, keys: Iterable[str], now: float) -> None:
        """Note that the level-1 subscription of these keys was acknowledged."""
        self._services.setdefault(service, _Watched(now))
        for key in keys:
            if key not in self._service_of:
                self._service_of[key] = service
                self._keys[key] = _Watched(now)

    def forget(self, key: str) -> None:
        """Stop watching the level 1 of this key, which is not wanted any more."""
        service = self._service_of.pop(key, None)
        self._keys.pop(key, None)
        self._updates.pop(key, None)
        self._history.forget(key)
        if service is not None and service not in self._service_of.values():
            del self._services[service]

    def aim_books(self, service: str, keys: tuple[str, ...], now: float) -> None:
        """Note the keys that are subscribed at this book service."""
        if self._book_keys.get(service, ()) == keys:
            return
        if not keys:
            del self._books[service], self._book_keys[service], self._books_since[service]
            return
        self._books.setdefault(service, _Watched(now))
        self._book_keys[service] = keys
        self._books_since[service] = now

    def check(
        self, instruments: Mapping[str, Instrument], is_open: IsOpen, now: float, heard: Collection[str] = ()
    ) -> list[Finding]:
        """The findings to act on; call it about once a second. ``heard``: services with data since the last call."""
        findings: list[Finding] = []
        owing: dict[str, list[str]] = {service: [] for service in self._services}
        service_of, updates = self._service_of, self._updates
        for key, watched in self._keys.items():
            instrument, service = instruments[key], service_of[key]
            # Of thousands of keys, most have no update in most seconds.
            if not instrument.fresh or instrument.updates != updates.get(key):
                findings += self._listen(key, instrument, watched, now)
            # An unknown symbol never owes data, so it is skipped before asking whether its market is open.
            if _is_unknown(instrument):
                continue
            if is_open(instrument):
                # Keys without any data are reported by name; they count for the service only while it has no data.
                if instrument.fresh or not self._services[service].ever_heard:
                    owing[service].append(key)
            # A closed market owes no changes, but a first snapshot at any hour: the key's silence counts until the
            # snapshot has come or its absence was reported.
            elif instrument.fresh or watched.reported:
                watched.excuse(now)
        # Services come after all of their keys, because each key may just have delivered.
        for service, keys in owing.items():
            findings += self._judge_service(service, self._services[service], keys, self._limits.service_soft_s, now)
            if self._services[service].probed_at is None:  # else the whole service is being probed
                findings += self._judge_keys(service, instruments, is_open, now)
        for service in self._books:
            findings += self._look_at_books(service, instruments, is_open, now, heard)
        return findings

    def _listen(self, key: str, instrument: Instrument, watched: _Watched, now: float) -> list[Finding]:
        """Note updates of the key since the last call; report a missing first snapshot, or that the key is back."""
        before, self._updates[key] = self._updates.get(key), instrument.updates
        service = self._service_of[key]
        # First, because the refusal arrives as an update of the key and would count as data below.
        if _is_unknown(instrument):
            already, watched.reported = watched.reported, True
            return [] if already else [NeverCame(service, key)]
        if instrument.fresh and instrument.updates != before:
            recovered = watched.reported
            watched.hear(now)
            self._services[service].hear(now)
            # The session's snapshot proves nothing: even a service that is otherwise dead sends it.
            if instrument.updates > instrument.first_update:
                self._history.escalated -= {key, service}
            return [Recovered(service, (key,))] if recovered else []
        if not instrument.fresh and not watched.reported and now - watched.heard_at >= self._limits.first_snapshot_s:
            watched.reported, watched.probed_at = True, now
            return [NeverCame(service, key)]
        return []

    def _judge_service(
        self, service: str, watched: _Watched, owing: list[str], soft_s: float, now: float
    ) -> list[Finding]:
        # First: a market that closes between probe and verdict owes no data.
        if not owing:
            watched.excuse(now)
            return []
        if watched.probed_at is None:
            if now - watched.heard_at < soft_s:
                return []
            watched.probed_at = now
            return [Probe(service, tuple(owing), whole=True)]
        if now - watched.probed_at < self._limits.hard_s:
            return []
        since = watched.heard_at
        if self._is_worth_a_session(service, now):
            return [Dead(service, tuple(owing), since)]
        watched.excuse(now)
        already, watched.reported = watched.reported, True
        silent = [key for key in owing if not (self._keys[key].reported if service in self._services else already)]
        for key in silent if service in self._services else ():
            self._keys[key].reported = True
        return [Silent(service, tuple(silent))] if silent else []

    def _judge_keys(
        self, service: str, instruments: Mapping[str, Instrument], is_open: IsOpen, now: float
    ) -> list[Finding]:
        findings: list[Finding] = []
        due = []
        soft_before, hard_before = now - self._limits.key_soft_s, now - self._limits.hard_s
        for key, watched in self._keys.items():
            overdue = watched.heard_at <= soft_before if watched.probed_at is None else watched.probed_at <= hard_before
            instrument = instruments[key]
            if not overdue or self._service_of[key] != service or _is_unknown(instrument) or not is_open(instrument):
                continue
            if watched.probed_at is None:
                watched.probed_at = now
                due.append(key)
            else:
                findings += self._judge_key(key, instrument, watched, now)
        if due:
            findings.append(Probe(service, tuple(due), whole=False))
        return findings

    def _judge_key(self, key: str, instrument: Instrument, watched: _Watched, now: float) -> list[Finding]:
        """The verdict on a key that did not answer its probe; a key without any data in this run costs no session."""
        service = self._service_of[key]
        if instrument.updates and self._is_worth_a_session(key, now):
            return [Dead(service, (key,), watched.heard_at)]
        watched.excuse(now)
        already, watched.reported = watched.reported, True
        return [] if already else [Silent(service, (key,))]

    def _is_worth_a_session(self, name: str, now: float) -> bool:
        """Whether the silence of this key or service may cost a session, which then counts for all that are silent."""
        history, silent_since = self._history, now - self._limits.hard_s
        if name in history.escalated or len(history.given_lately(name, now)) >= self._limits.sessions_an_hour:
            return False
        for watched in (self._services, self._keys, self._books):
            silent = [each for each, it in watched.items() if it.heard_at <= silent_since]
            history.escalated.update(silent)
            history.given.update({each: [*history.given_lately(each, now), now] for each in silent})
        return True

    def _look_at_books(
        self, service: str, instruments: Mapping[str, Instrument], is_open: IsOpen, now: float, heard: Collection[str]
    ) -> list[Finding]:
        watched, keys = self._books[service], self._book_keys[service]
        if service in heard:
            recovered = watched.reported
            watched.hear(now)
            self._history.delivered.add(service)
            # Every book is whole, so only the time distinguishes the session's first books from later ones.
            if now - self._books_since[service] > self._limits.first_snapshot_s:
                self._history.escalated.discard(service)
            return [Recovered(service, keys)] if recovered else []
        if service not in self._history.delivered:
            return []
        owing = [key for key in keys if is_open(instruments[key])]
        return self._judge_service(service, watched, owing, self._limits.key_soft_s, now)


def _is_unknown(instrument: Instrument) -> bool:
    return instrument.info.get("description") == UNKNOWN_SYMBOL
