"""Similar cases: which every run plays, and which ``nox -s quickstart`` adds, as each takes a process of its own."""

from collections.abc import Collection, Iterable, Sequence

import pytest
from _pytest.mark import ParameterSet


def pairs(
    first: Iterable[object], second: Sequence[object], played: Collection[object] | None = None
) -> list[ParameterSet]:
    """Return every pair; every run plays each value of both sides at least once, ``nox -s quickstart`` the rest.

    Of the first side every run plays those in ``played``, or all when it is None.
    """
    firsts = list(first)
    often = [one for one in firsts if played is None or one in played]
    chosen = [(often[n % len(often)], second[n % len(second)]) for n in range(max(len(often), len(second)))]
    return [
        pytest.param(one, other, marks=() if (one, other) in chosen else pytest.mark.slow)
        for one in firsts
        for other in second
    ]


def only(played: Collection[object], cases: Iterable[object]) -> list[ParameterSet]:
    """Return every case; every run plays those in ``played``, ``nox -s quickstart`` the rest."""
    return [pytest.param(case, marks=() if case in played else pytest.mark.slow) for case in cases]
