"""Numbers that Redis never got: ranges are merged and counted."""

import random

from schwabstream.publishing.queue.dropped import MOST_RANGES, DroppedNumbers


def test_ranges_count_what_a_set_of_the_same_numbers_would() -> None:
    """However ranges overlap, touch or repeat, the count between two numbers is that of the distinct numbers there."""
    for seed in range(50):
        chance, dropped, model = random.Random(seed), DroppedNumbers(), set[int]()
        for _ in range(10):
            ranges = [(first, first + chance.randrange(5)) for first in chance.sample(range(100), 3)]
            dropped.add(ranges)
            model.update(number for first, last in ranges for number in range(first, last + 1))
            low, high = sorted(chance.sample(range(-5, 110), 2))
            assert dropped.between(low, high) == sum(low < number < high for number in model)


def test_the_number_of_ranges_is_bounded() -> None:
    """The newest ranges stay."""
    dropped = DroppedNumbers()
    dropped.add((number, number) for number in range(0, 2 * (MOST_RANGES + 5), 2))
    assert dropped.between(-1, 10) == 0
    assert dropped.between(-1, 10**9) == MOST_RANGES
