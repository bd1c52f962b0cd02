"""The course of a price."""

from schwabstream.market.spark import MINUTES, PriceCourse

NOW = 1_790_000_040.0  # a whole minute


def test_each_minute_has_its_last_price() -> None:
    """Prices of a minute replace each other; a minute without a price has the one before."""
    course = PriceCourse()
    for at_s, price in ((-180, 1.0), (-179, 2.0), (-60, 3.0), (59, 4.0)):
        course.add(NOW + at_s, price)
    assert course.last_minutes(NOW + 59) == (None,) * (MINUTES - 4) + (2.0, 2.0, 3.0, 4.0)


def test_bars_fill_the_time_before_the_first_tick() -> None:
    """A bar is the price of its minute unless a live price of that minute is known."""
    course = PriceCourse()
    course.add(NOW, 5.0)
    course.add_bar(NOW - 60, 4.0)
    course.add_bar(NOW, 9.0)
    assert course.last_minutes(NOW)[-3:] == (None, 4.0, 5.0)


def test_a_price_from_before_the_window_begins_it() -> None:
    """The course starts at the last price before it, if that is not much older and there is a newer one."""
    course = PriceCourse()
    course.add(NOW - 60 * MINUTES, 1.0)
    assert course.last_minutes(NOW) == ()
    course.add(NOW, 2.0)
    assert course.last_minutes(NOW) == (1.0,) * (MINUTES - 1) + (2.0,)
    assert PriceCourse().last_minutes(NOW) == ()


def test_a_day_of_prices_keeps_only_the_last_minutes() -> None:
    """What is kept does not grow, and what is shown stays right."""
    course = PriceCourse()
    for minute in range(24 * 60):
        course.add(NOW + 60 * minute, float(minute))
    assert course.last_minutes(NOW + 60 * (24 * 60 - 1)) == tuple(float(24 * 60 - MINUTES + n) for n in range(MINUTES))
    assert len(course._prices) <= 4 * MINUTES


def test_what_was_drawn_before_does_not_hide_what_is_new() -> None:
    """A new price, a bar and the next minute each change the course."""
    course = PriceCourse()
    course.add(NOW, 1.0)
    assert course.last_minutes(NOW)[-2:] == (None, 1.0)
    course.add(NOW + 1, 2.0)
    assert course.last_minutes(NOW) == (None,) * (MINUTES - 1) + (2.0,)
    course.add_bar(NOW - 60, 3.0)
    assert course.last_minutes(NOW)[-2:] == (3.0, 2.0)
    course.add(NOW + 60, 4.0)
    assert course.last_minutes(NOW)[-2:] == (3.0, 2.0)
    course.add(NOW - 60, 5.0)
    assert course.last_minutes(NOW + 60)[-3:] == (5.0, 2.0, 4.0)
