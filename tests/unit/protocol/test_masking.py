"""Tests for the masking of account numbers in texts."""

import random
import re

import pytest

from schwabstream.protocol.masking import mask_known, mask_text, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("account 12345678 is closed", "account ****5678 is closed"),
        ("1234-5678", "****5678"),
        ("1234 56 78.", "****5678."),
        ("id 440012345678", "id ****5678"),
        ("A12345678B", "A****5678B"),
        ("F" * 60 + "01C4", "****01C4"),
        (r"\u0031\u0032345678", "****5678"),
        (r"\\u00312345678", "****5678"),
        ("\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", "****\uff15\uff16\uff17\uff18"),
    ],
)
def test_every_form_of_an_account_number_is_masked(text: str, shown: str) -> None:
    """Eight or more digits, also with separators or escapes, and a hash keep only their last four characters."""
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-09 14:11:00.000",
        "2025-12-09T14:11:00-05:00",
        "12/09/2025",
        "14:11:00.123456",
        "AAPL  251219C00200000",
        "Symbol limit reached (SCREENER_EQUITY=10, DISCARDED=1)",
        "1234567",
        "",
    ],
)
def test_dates_symbols_and_short_numbers_stay_readable(text: str) -> None:
    """Dates, times, option symbols and up to seven digits are not account numbers."""
    assert mask_text(text) == text


def test_a_known_account_is_masked_where_dates_and_symbols_stay() -> None:
    """A number that looks like a date is masked when it is an account's."""
    assert mask_text("on 2025-12-09", ["20251209"]) == "on ****1209"
    assert mask_known("order 1001234567899", ["12345678"]) == "order 100****567899"


def test_a_short_account_shows_nothing() -> None:
    """The last four digits of a short number would be most of it."""
    assert (masked("12345"), masked("########"), masked("")) == ("****",) * 3


def test_no_planted_number_survives_in_any_text() -> None:
    """Of 10,000 numbers of 8 to 12 digits between random text and separators, none is left."""
    chance = random.Random(14)
    for _ in range(10_000):
        number = "".join(chance.choices("0123456789", k=chance.randint(8, 12)))
        parts = [number[:4], number[4:]] if chance.random() < 0.5 else number
        separated = chance.choice(["", "-", " ", ".", "/", " - "]).join(parts)
        text = mask_text(chance.choice(["", "a", " ", "(", ": "]) + separated + chance.choice(["", "z", ",", " x"]))
        assert number not in re.sub("[^0-9]", "", text)
