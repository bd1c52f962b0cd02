"""The state of a token at a given moment."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.auth.tokens import LOGIN_LIFE_S, TokenSet, fingerprint, is_token, number

NOW = 1_800_000_000.0
ANSWER = {"access_token": "I0.access@", "refresh_token": "R0.refresh@", "expires_in": 1800, "scope": "api"}


def tokens(**changes: object) -> TokenSet:
    """A login of this moment."""
    return TokenSet.from_answer({**ANSWER, **changes}, now=NOW, login_at=NOW)


def test_an_answer_is_valid_until_a_minute_before_its_expiry() -> None:
    """An access token counts as valid while it lives at least the leeway longer."""
    fresh = tokens()
    assert fresh.expires_at == NOW + 1800
    assert fresh.is_valid(NOW + 1739)
    assert not fresh.is_valid(NOW + 1740)
    assert fresh.is_valid(NOW + 1799, leeway_s=0)


@pytest.mark.parametrize("life", [None, "soon", -math.inf, True])
def test_an_answer_without_a_usable_life_lives_half_an_hour(life: object) -> None:
    """A life that is missing or nonsense is taken as Schwab's usual 1800 s."""
    answer = TokenSet.from_answer({**ANSWER, "expires_in": life}, now=NOW)
    assert answer.expires_at in (NOW + 1800, NOW + 1)


def test_a_stored_token_without_an_expiry_counts_as_expired() -> None:
    """A token without a lifetime is refreshed before use."""
    assert not TokenSet.from_answer(ANSWER).is_valid(NOW)


def test_the_refresh_is_due_after_the_interval_and_always_before_the_expiry() -> None:
    """The background refresh comes after the interval, yet never later than a minute before expiry."""
    fresh = tokens()
    assert not fresh.refresh_due(NOW + 1499, 1500)
    assert fresh.refresh_due(NOW + 1500, 1500)
    assert fresh.refresh_at(1800) == NOW + 1740


def test_the_seven_days_count_from_the_login_and_not_from_a_refresh() -> None:
    """Refreshing leaves the time of the login alone."""
    later = NOW + 6.5 * 86_400
    refreshed = tokens().refreshed({"access_token": "I0.second@", "expires_in": 1800}, later)
    assert refreshed.login_at == NOW
    assert refreshed.login_due_at == NOW + LOGIN_LIFE_S
    assert refreshed.login_due_in_s(later) == pytest.approx(43_200)
    assert refreshed.login_due_soon(later)
    assert refreshed.login_reminder(later) == "a new login is due in 12 h 0 min: schwabstream auth login"
    assert refreshed.login_reminder(NOW + LOGIN_LIFE_S) == "a new login is overdue: schwabstream auth login"
    assert not refreshed.login_due_soon(NOW + 5.9 * 86_400)


def test_an_unknown_login_is_never_due_soon() -> None:
    """An unknown end gives no warning."""
    unknown = dataclasses.replace(tokens(), login_at=None)
    assert unknown.login_due_at is None
    assert unknown.login_due_in_s(NOW) is None
    assert not unknown.login_due_soon(NOW)


def test_a_refresh_token_is_replaced_when_one_comes_and_kept_when_none_does() -> None:
    """A rotated refresh token is kept at once, an absent one leaves the old."""
    kept = tokens().refreshed({"access_token": "I0.second@"}, NOW + 10)
    rotated = tokens().refreshed({"access_token": "I0.second@", "refresh_token": "R0.new@"}, NOW + 10)
    assert (kept.refresh_token, rotated.refresh_token) == ("R0.refresh@", "R0.new@")
    assert kept.expires_at == NOW + 1810
    assert kept.extra["scope"] == "api"


def test_a_file_is_read_back_as_it_was_written() -> None:
    """Writing and reading keep everything, members unknown to us included."""
    before = tokens(id_token="e.y.J", something={"new": 1})
    after = TokenSet.from_file(before.to_file())
    assert after == before
    assert before.to_file()["creation_timestamp"] == NOW


@pytest.mark.parametrize("stamp", [0, None, "yesterday", math.nan, -5, True])
def test_a_login_time_that_cannot_be_right_is_unknown(stamp: object) -> None:
    """A creation time of nought or nonsense means that the age is unknown; it is written as 0."""
    read = TokenSet.from_file({"creation_timestamp": stamp, "token": {**ANSWER, "expires_at": NOW}})
    assert read.login_at in (None, 1.0)
    if read.login_at is None:
        assert read.to_file()["creation_timestamp"] == 0


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"token": []},
        {"token": {}},
        {"token": {"access_token": "a"}},
        {"token": {"access_token": 1, "refresh_token": 2}},
    ],
)
def test_a_file_without_tokens_is_refused_without_quoting_it(content: dict[str, object]) -> None:
    """A file that lacks a token is a ValueError."""
    with pytest.raises(ValueError, match="it "):
        TokenSet.from_file(content)


@given(st.text())
def test_only_what_fits_a_header_is_a_token(text: str) -> None:
    """A token is printable ASCII without blanks, so that no header is ever refused or split by it."""
    assert is_token(text) == (text != "" and text.isascii() and text.isprintable() and " " not in text)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text()))
def test_a_number_is_finite_or_unknown(value: object) -> None:
    """Any number read from a file is finite."""
    read = number(value)
    assert read is None or math.isfinite(read)


def test_no_token_shows_in_a_representation() -> None:
    """Neither repr nor the fingerprint gives a token away."""
    shown = repr(tokens()) + tokens().fingerprint
    assert "access@" not in shown
    assert "refresh@" not in shown
    assert len(fingerprint("\ud800x")) == 8
