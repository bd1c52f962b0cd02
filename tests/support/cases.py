"""Which of many similar cases every run plays, and which ``nox -s slow`` adds: each takes a process of its own."""

from collections.abc import Collection, Iterable, Sequence

import pytest
from _pytest.mark import ParameterSet


def pairs(first: Iterable[object], second: Sequence[object]) -> list[ParameterSet]:
    """Return every pair; every run plays each value of both sides at least once, ``nox -s slow`` the rest."""
    firsts = list(first)
    played = {(n % len(firsts), n % len(second)) for n in range(max(len(firsts), len(second)))}
    return [
        pytest.param(one, other, marks=() if (row, column) in played else pytest.mark.slow)
        for row, one in enumerate(firsts)
        for column, other in enumerate(second)
    ]


def only(played: Collection[object], cases: Iterable[object]) -> list[ParameterSet]:
    """Return every case; every run plays those in ``played``, ``nox -s slow`` the rest."""
    return [pytest.param(case, marks=() if case in played else pytest.mark.slow) for case in cases]
