"""Plays many seeded schedules on all cores; a schedule that breaks a promise is printed with its seed."""

import argparse
import multiprocessing
import os
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Outcome = TypeVar("Outcome")


def play_all(play_one: Callable[[int], tuple[Outcome, str]], seeds: Iterable[int]) -> tuple[list[Outcome], list[str]]:
    """Returns what the schedules that held came to, and which broke what."""
    outcomes, failures = [], []
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for outcome, failure in pool.imap_unordered(play_one, seeds, chunksize=4):
            if failure:
                failures.append(failure)
                print(failure, flush=True)
            else:
                outcomes.append(outcome)
    return outcomes, failures


def seeds_from(words: Sequence[str] | None, description: str) -> range:
    """The seeds that the command line asks for; fresh ones unless it names the first."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(10**9), help="the first seed")
    parser.add_argument("--count", type=int, default=10_000, help="how many schedules")
    arguments = parser.parse_args(words)
    first, count = arguments.first, arguments.count
    print(f"{count} schedules from seed {first}; one of them again: --first SEED --count 1", flush=True)
    return range(first, first + count)
