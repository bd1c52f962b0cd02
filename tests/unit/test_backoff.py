"""The waits between attempts: none at first, then capped, jittered and never none twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.backoff import Allowance, Backoff

chances = st.floats(0, 1, exclude_max=True)


def least() -> float:
    """The best chance."""
    return 0.0


def most() -> float:
    """The worst chance."""
    return 0.999999


def delays(backoff: Backoff, count: int) -> list[float]:
    """The next waits, in seconds."""
    return [backoff.next_delay() for _ in range(count)]


def test_the_first_wait_is_none() -> None:
    """A connection that breaks once is made again at once."""
    assert Backoff(most).next_delay() == 0


@given(st.lists(chances, min_size=2, max_size=50))
def test_no_two_waits_in_a_row_are_none(draws: list[float]) -> None:
    """For any chance, after the first wait each is at least the floor, and at most the cap."""
    backoff = Backoff(iter(draws).__next__)
    first, *others = delays(backoff, len(draws))
    assert first == 0
    assert all(0.5 <= delay <= 60 for delay in others)


@given(chances, st.integers(2, 40))
def test_the_jitter_is_full(chance: float, attempt: int) -> None:
    """Each wait is drawn from the whole range between the floor and a ceiling that doubles up to the cap."""
    *_, delay = delays(Backoff(lambda: chance), attempt)
    ceiling = min(60.0, 2.0 ** (attempt - 1))
    assert delay == pytest.approx(0.5 + chance * (ceiling - 0.5))


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    """With the worst chance the waits double from 2 s and stay at the cap forever."""
    assert [round(delay) for delay in delays(Backoff(most), 9)] == [0, 2, 4, 8, 16, 32, 60, 60, 60]
    assert round(delays(Backoff(most), 5000)[-1]) == 60


def test_with_the_best_chance_the_floor_remains() -> None:
    """A server that accepts and closes at once meets two connections a second at most."""
    assert delays(Backoff(least), 4) == [0, 0.5, 0.5, 0.5]


def test_base_cap_and_floor_are_the_callers() -> None:
    """Other limits bound the waits the same way."""
    backoff = Backoff(most, base_s=0.1, cap_s=0.3, floor_s=0.05)
    assert delays(backoff, 4) == pytest.approx([0, 0.2, 0.3, 0.3], abs=1e-4)


@pytest.mark.parametrize(("asked", "first"), [(None, 0), (0, 0), (7.5, 7.5), (-3, 0)])
def test_what_the_other_side_asks_for_is_obeyed(asked: float | None, first: float) -> None:
    """A Retry-After holds on the first wait, on later ones and beyond the cap; one in the past asks for nothing."""
    backoff = Backoff(least)
    assert backoff.next_delay(asked) == first
    assert backoff.next_delay(asked) == max(0.5, first)
    assert backoff.next_delay(600) == 600
    assert Backoff(most).next_delay(600) == 600


def test_only_a_healthy_stretch_is_a_new_beginning() -> None:
    """A minute of streaming forgets what was before; a second less forgets nothing."""
    backoff = Backoff(most)
    delays(backoff, 4)
    backoff.streamed(0)
    backoff.streamed(59.9)
    assert backoff.attempts == 4
    assert round(backoff.next_delay()) == 16
    backoff.streamed(60)
    assert delays(backoff, 2) == pytest.approx([0, 2], abs=1e-4)


def test_short_stretches_do_not_add_up() -> None:
    """Many short sessions are not one healthy one."""
    backoff = Backoff(least, healthy_s=10)
    for _ in range(20):
        backoff.next_delay()
        backoff.streamed(9)
    assert backoff.attempts == 20


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_an_allowance_is_never_exceeded_and_never_idle(pauses: list[float]) -> None:
    """For any attempts no span holds more than its number; one is refused only while the span is full."""
    allowance, now, taken = Allowance(5, 60.0), 1000.0, list[float]()
    for pause in pauses:
        now += pause
        wait_s = allowance.take(now)
        recent = [at for at in taken if at > now - 60.0]
        assert (wait_s == 0) == (len(recent) < 5)
        if wait_s:
            assert wait_s == recent[0] + 60.0 - now
        else:
            taken.append(now)


def test_an_allowance_is_whole_again_after_success() -> None:
    """A success does not count against later attempts."""
    allowance = Allowance(2, 60.0)
    assert [allowance.take(0.0), allowance.take(1.0), allowance.take(2.0)] == [0.0, 0.0, 58.0]
    allowance.restore()
    assert [allowance.take(2.0), allowance.take(2.0)] == [0.0, 0.0]


def test_a_clock_that_is_set_back_blocks_nothing() -> None:
    """Attempts of a time that has not come yet are forgotten."""
    allowance = Allowance(1, 60.0)
    assert [allowance.take(10_000.0), allowance.take(0.0), allowance.take(1.0)] == [0.0, 0.0, 59.0]
