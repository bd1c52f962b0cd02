"""Values counted by size."""

import math

from hypothesis import given
from hypothesis import strategies as st

from schwabstream.histogram import Histogram


@given(st.lists(st.floats(min_value=0, max_value=1e6)))
def test_histogram_counts_each_value_once(values: list[float]) -> None:
    """Every value lands in exactly one place: the first whose bound it does not exceed."""
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram.add(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.counts[0] == sum(value <= 1 for value in values)
    assert histogram.counts[-1] == sum(value > 100 for value in values)
    assert math.isclose(histogram.total, sum(values))
