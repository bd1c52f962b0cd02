"""Quiet or dead: what is asked again, what is reported by name, what costs a session, and what never does."""

from collections.abc import Iterable
from datetime import date

from schwabstream.market.instruments import Instrument
from schwabstream.protocol.symbols import parse_symbol
from schwabstream.streaming.liveness import (
    UNKNOWN_SYMBOL,
    Dead,
    Finding,
    Limits,
    Liveness,
    LivenessHistory,
    NeverCame,
    Probe,
    Recovered,
    Silence,
    Silent,
)

FUTURES, EQUITIES, BOOK = "LEVELONE_FUTURES", "LEVELONE_EQUITIES", "NASDAQ_BOOK"
LIMITS = Limits()


class World:
    """Some subscribed keys and a clock; look at ``findings`` after time has passed."""

    def __init__(self, *keys: str, history: LivenessHistory | None = None) -> None:
        today = date(2026, 11, 24)
        self.now = 1000.0
        self.instruments = {key: Instrument(parse_symbol(key, today)) for key in keys}
        self.closed: set[str] = set()
        self.heard: set[str] = set()
        self.history = history or LivenessHistory()
        self.findings: list[tuple[float, Finding]] = []
        self.begin_session()

    def begin_session(self) -> None:
        """Subscribe everything anew."""
        self.liveness = Liveness(LIMITS, self.history)
        self.began = self.now
        self.findings.clear()
        for instrument in self.instruments.values():
            instrument.fresh = False
        for service, is_future in ((FUTURES, True), (EQUITIES, False)):
            keys = [key for key in self.instruments if key.startswith("/") is is_future]
            if keys:
                self.liveness.subscribed(service, keys, self.now)

    def update(self, *keys: str) -> None:
        """Let data of these keys arrive."""
        for instrument in map(self.instruments.__getitem__, keys):
            instrument.updates += 1
            if not instrument.fresh:
                instrument.fresh, instrument.first_update = True, instrument.updates

    def pass_time(
        self, seconds: int, *, updating: Iterable[str] = (), books: Iterable[str] = (), every_s: int = 1
    ) -> None:
        """Look once a second or more rarely, with data of some keys and books arriving before each look."""
        for _ in range(0, seconds, every_s):
            self.now += every_s
            self.update(*updating)
            self.heard |= set(books)
            found = self.liveness.check(self.instruments, lambda it: it.key not in self.closed, self.now, self.heard)
            self.heard = set()
            self.findings += [(self.now - self.began, finding) for finding in found]

    def found(self, kind: type[Finding]) -> list[tuple[float, Finding]]:
        """The findings of one kind, with the seconds since the session began."""
        return [(at, finding) for at, finding in self.findings if isinstance(finding, kind)]


def test_data_is_life() -> None:
    """A symbol that updates is left alone, for hours."""
    world = World("/MNQ", "AAPL")
    world.pass_time(3 * 3600, updating=("/MNQ", "AAPL"))
    assert world.findings == []


def test_a_key_that_never_comes_is_named_within_ten_seconds_of_its_acknowledgement() -> None:
    """A missing first snapshot is reported once, by name, however long it stays missing."""
    world = World("/MNQ", "/ZZZ")
    world.update("/MNQ")
    world.pass_time(400, updating=("/MNQ",))
    ((at, finding),) = world.found(NeverCame)
    assert finding == NeverCame(FUTURES, "/ZZZ")
    assert at <= 10
    assert world.found(Dead) == [], "a symbol that never delivered costs nobody a session"


def test_a_key_that_never_came_is_asked_for_again_now_and_then() -> None:
    """Entitlements and listings change: an open market's missing key is probed every few minutes, without a word."""
    world = World("/MNQ", "/ZZZ")
    world.pass_time(1000, updating=("/MNQ",))
    probes = [finding for _, finding in world.found(Probe)]
    assert 2 <= len(probes) <= 4
    assert set(probes) == {Probe(FUTURES, ("/ZZZ",), whole=False)}
    assert len(world.found(NeverCame)) == 1
    assert world.found(Silent) == []


def test_a_key_that_comes_late_has_recovered() -> None:
    """A reported symbol that delivers after all is reported as back, once."""
    world = World("/MNQ", "/MES")
    world.pass_time(15, updating=("/MNQ",))
    world.pass_time(5, updating=("/MNQ", "/MES"))
    assert [finding for _, finding in world.found(Recovered)] == [Recovered(FUTURES, ("/MES",))]


def test_a_symbol_schwab_does_not_know_is_named_and_then_left_alone() -> None:
    """The frame "Symbol not found" (trap T5) is an answer: it is reported once, and no data is owed."""
    world = World("/GOOG")
    world.update("/GOOG")
    world.instruments["/GOOG"].info["description"] = UNKNOWN_SYMBOL
    world.pass_time(3600)
    assert [finding for _, finding in world.findings] == [NeverCame(FUTURES, "/GOOG")]


def test_a_silent_service_is_probed_and_then_costs_one_session() -> None:
    """Soft limit, probe, hard limit, new session; ``since`` is when the service last delivered."""
    world = World("/MNQ", "/MES")
    world.update("/MNQ", "/MES")
    world.pass_time(1)
    world.pass_time(100)
    ((asked, probe),) = world.found(Probe)
    ((dead, verdict),) = world.found(Dead)
    assert probe == Probe(FUTURES, ("/MNQ", "/MES"), whole=True)
    assert verdict == Dead(FUTURES, ("/MNQ", "/MES"), 1001.0)
    assert asked == 1 + LIMITS.service_soft_s
    assert dead == asked + LIMITS.hard_s


def test_a_probe_that_is_answered_was_quiet_only() -> None:
    """A snapshot after the probe starts the count anew: a quiet night costs a question a minute and nothing else."""
    world = World("/MNQ")
    world.update("/MNQ")
    for _ in range(60):
        world.pass_time(61)
        world.update("/MNQ")
    assert len(world.found(Probe)) >= 55
    assert world.found(Dead) == world.found(Silent) == world.found(Recovered) == []


def test_a_service_that_stays_silent_in_the_next_session_costs_no_other() -> None:
    """When a new session did not help, its keys are reported once, and the living ones stay connected."""
    world = World("/MNQ", "AAPL")
    world.update("/MNQ", "AAPL")
    world.pass_time(90, updating=("/MNQ",))
    assert len(world.found(Dead)) == 1
    world.begin_session()
    world.pass_time(3600, updating=("/MNQ",))
    assert world.found(Dead) == []
    assert [finding for _, finding in world.found(Silent)] == []
    assert [finding for _, finding in world.found(NeverCame)] == [NeverCame(EQUITIES, "AAPL")]


def test_a_service_that_delivered_again_may_cost_a_session_again() -> None:
    """Each new silence is judged anew."""
    world = World("AAPL")
    world.update("AAPL")
    world.pass_time(90)
    world.begin_session()
    world.pass_time(5, updating=("AAPL",))
    world.pass_time(90)
    assert len(world.found(Dead)) == 1


def test_the_first_entries_of_a_new_session_are_no_life() -> None:
    """The cause of the last session's end costs no other until more arrives than the new session's own snapshot."""
    world = World("AAPL")
    world.update("AAPL")
    world.pass_time(90)
    assert len(world.found(Dead)) == 1
    for _ in range(2):
        world.begin_session()
        world.update("AAPL")
        world.pass_time(3600)
        assert world.found(Dead) == []
        assert [finding for _, finding in world.found(Silent)] == [Silent(EQUITIES, ("AAPL",))]
    world.update("AAPL")
    world.pass_time(90)
    assert len(world.found(Dead)) == 1, "the second entry was life"


def test_what_speaks_now_and_then_costs_three_sessions_an_hour_at_most() -> None:
    """Quiet options whose probes are never answered: each update is life, and the sessions they cost are bounded."""
    world = World("AAPL", "MSFT")
    times: list[float] = []
    for minute in range(4 * 60):
        if minute % 4 == 0:
            world.update("AAPL", "MSFT")
        world.pass_time(60)
        if world.found(Dead):
            times.append(world.now)
            world.begin_session()
            world.update("AAPL", "MSFT")
    assert 9 <= len(times) <= 12
    assert all(sum(at <= other < at + 3600 for other in times) <= 3 for at in times)


def test_a_quiet_key_among_living_ones_costs_one_session_though_no_probe_is_answered() -> None:
    """The same for one key of a service that flows."""
    world = World("/MNQ", "/MES")
    world.update("/MNQ", "/MES")
    world.pass_time(400, updating=("/MNQ",))
    assert len(world.found(Dead)) == 1
    for _ in range(2):
        world.begin_session()
        world.update("/MNQ", "/MES")
        world.pass_time(3600, updating=("/MNQ",))
        assert world.found(Dead) == []
    world.pass_time(5, updating=("/MNQ", "/MES"))
    world.pass_time(400, updating=("/MNQ",))
    assert len(world.found(Dead)) == 1


def test_the_first_books_of_a_new_session_are_no_life() -> None:
    """Books are always whole: those within the time of a first snapshot do not count as life."""
    world = World("AAPL")
    world.liveness.aim_books(BOOK, ("AAPL",), world.now)
    world.pass_time(5, updating=("AAPL",), books=(BOOK,))
    world.pass_time(400, updating=("AAPL",))
    assert len(world.found(Dead)) == 1
    for _ in range(2):
        world.begin_session()
        world.liveness.aim_books(BOOK, ("AAPL",), world.now)
        world.pass_time(2, updating=("AAPL",), books=(BOOK,))
        world.pass_time(3600, updating=("AAPL",))
        assert world.found(Dead) == []
    world.pass_time(2, updating=("AAPL",), books=(BOOK,))
    world.pass_time(400, updating=("AAPL",))
    assert len(world.found(Dead)) == 1


def test_one_silent_key_among_living_ones_is_probed_then_costs_one_session_then_is_reported() -> None:
    """A key that used to deliver is worth a session once; still silent in the next, it is reported by name."""
    world = World("/MNQ", "/MES")
    world.update("/MNQ", "/MES")
    world.pass_time(1)
    world.pass_time(400, updating=("/MNQ",))
    assert [finding for _, finding in world.found(Probe)] == [Probe(FUTURES, ("/MES",), whole=False)]
    ((at, verdict),) = world.found(Dead)
    assert verdict == Dead(FUTURES, ("/MES",), 1001.0)
    assert at == 1 + LIMITS.key_soft_s + LIMITS.hard_s
    world.begin_session()
    world.update("/MNQ", "/MES")
    world.pass_time(1200, updating=("/MNQ",))
    assert world.found(Dead) == []
    assert [finding for _, finding in world.found(Silent)] == [Silent(FUTURES, ("/MES",))]


def test_a_known_key_without_a_snapshot_in_the_new_session_is_worth_another() -> None:
    """One SUBS that wakes only part of its keys (protocol 3.6): asked again by name, then one new session."""
    world = World("/MNQ", "/MES")
    world.update("/MNQ", "/MES")
    world.pass_time(5, updating=("/MNQ", "/MES"))
    world.begin_session()
    world.pass_time(100, updating=("/MNQ",))
    assert [finding for _, finding in world.found(NeverCame)] == [NeverCame(FUTURES, "/MES")]
    assert [finding for _, finding in world.found(Dead)] == [Dead(FUTURES, ("/MES",), world.began)]


def test_closed_and_halted_markets_owe_nothing() -> None:
    """72 hours of a closed weekend: no probe, no session, nothing to report."""
    world = World("/MNQ", "AAPL")
    world.update("/MNQ", "AAPL")
    world.closed = {"/MNQ", "AAPL"}
    world.pass_time(3600)
    world.pass_time(71 * 3600, every_s=20)
    assert world.findings == []


def test_the_count_starts_when_the_market_opens() -> None:
    """After a closed market the full soft limit counts from the opening on."""
    world = World("/MNQ")
    world.update("/MNQ")
    world.closed = {"/MNQ"}
    world.pass_time(1000)
    world.closed = set()
    world.pass_time(59)
    assert world.findings == []
    world.pass_time(2)
    assert len(world.found(Probe)) == 1


def test_a_market_that_closes_under_a_probe_is_let_off() -> None:
    """Between probe and verdict the market closes: no verdict."""
    world = World("/MNQ")
    world.update("/MNQ")
    world.pass_time(65)
    assert len(world.found(Probe)) == 1
    world.closed = {"/MNQ"}
    world.pass_time(600)
    assert world.found(Dead) == []


def test_one_halted_key_does_not_excuse_the_others() -> None:
    """Halted symbols are let off one by one."""
    world = World("/MNQ", "/MES")
    world.update("/MNQ", "/MES")
    world.closed = {"/MES"}
    world.pass_time(61)
    assert [finding for _, finding in world.found(Probe)] == [Probe(FUTURES, ("/MNQ",), whole=True)]


def test_a_book_service_counts_once_it_has_delivered() -> None:
    """A book that was never there is silent by right; one that stops is asked again and then costs one session."""
    world = World("AAPL")
    world.liveness.aim_books(BOOK, ("AAPL",), world.now)
    world.pass_time(900, updating=("AAPL",))
    assert world.findings == []
    world.pass_time(5, updating=("AAPL",), books=(BOOK,))
    last = world.now
    world.pass_time(330, updating=("AAPL",))
    assert [finding for _, finding in world.found(Probe)] == [Probe(BOOK, ("AAPL",), whole=True)]
    assert [finding for _, finding in world.found(Dead)] == [Dead(BOOK, ("AAPL",), last)]
    world.begin_session()
    world.liveness.aim_books(BOOK, ("AAPL",), world.now)
    world.pass_time(2000, updating=("AAPL",))
    assert world.found(Dead) == []
    assert [finding for _, finding in world.found(Silent)] == [Silent(BOOK, ("AAPL",))]
    world.pass_time(2, updating=("AAPL",), books=(BOOK,))
    assert [finding for _, finding in world.found(Recovered)] == [Recovered(BOOK, ("AAPL",))]


def test_each_session_that_ended_by_silence_alone_lets_the_next_be_silent_longer() -> None:
    """The limit doubles up to five minutes, and is the configured one as soon as data is owed."""
    silence = Silence(30.0)
    limits = [silence.limit_s]
    for _ in range(5):
        silence.ended_a_session()
        limits.append(silence.limit_s)
    assert limits == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert [silence.expect_data(), silence.expect_data()] == [True, False]
    assert silence.limit_s == 30.0


def test_a_limit_that_was_set_longer_stays() -> None:
    """Five minutes bound the growth, not what the user asked for."""
    silence = Silence(600.0)
    silence.ended_a_session()
    assert silence.limit_s == 600.0
