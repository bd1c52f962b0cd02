"""The rules of Schwab's OAuth: what an answer means, and what a person may paste."""

from email.utils import formatdate
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.auth.oauth import (
    Verdict,
    authorize_url,
    error_name,
    judge_rest_answer,
    judge_token_answer,
    read_paste,
    read_redirect,
    retry_after_s,
)

NOW = 1_800_000_000.0
CODE = "C0.b2F1dGgyLmJkYy5zY2h3YWIuY29t.abcDEF0123456789_-abcDEF0123456789_-abcdefg@"
URL = f"https://127.0.0.1:8182/?code={quote(CODE)}&session=1d2c&state=st4te"
EXPIRED = (
    '{"error":"unsupported_token_type","error_description":"400 Bad Request: \\"{\\"error_description\\":'
    '\\"Refresh token is invalid, expired or revoked\\",\\"error\\":\\"invalid_grant\\"}\\""}'
)
SUPERSEDED = '{"error":"unsupported_token_type","error_description":"... refresh_token_authentication_error ..."}'
BARE = '{"error":"unsupported_token_type","error_description":"400 Bad Request"}'


def test_the_authorize_address_has_the_callback_byte_for_byte() -> None:
    """The registered callback reaches Schwab exactly as written."""
    url = authorize_url("https://api.schwabapi.com", "key", "https://127.0.0.1:8182", "st4te")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["key"],
        "redirect_uri": ["https://127.0.0.1:8182"],
        "state": ["st4te"],
    }


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, "{}", Verdict.OK),
        (400, EXPIRED, Verdict.LOGIN_REFUSED),
        (400, SUPERSEDED, Verdict.LOGIN_REFUSED),
        (400, BARE, Verdict.TRANSIENT),
        (401, '{"error":"invalid_client","error_description":"Unauthorized"}', Verdict.APP_REFUSED),
        (400, '{"error":"invalid_grant"}', Verdict.LOGIN_REFUSED),
        (400, '{"error":"invalid_request"}', Verdict.TRANSIENT),
        (401, "", Verdict.TRANSIENT),
        (403, "<html>Access Denied</html>", Verdict.TRANSIENT),
        (429, "", Verdict.TRANSIENT),
        (500, EXPIRED, Verdict.TRANSIENT),
        (503, "<html>invalid_client</html>", Verdict.TRANSIENT),
    ],
)
def test_each_row_of_the_error_table_is_refused_or_transient(status: int, body: str, verdict: Verdict) -> None:
    """Only a named refusal in a 400 or 401 costs the login; all else is transient."""
    assert judge_token_answer(status, body) is verdict


@pytest.mark.parametrize("body", [BARE, '{"error":"invalid_request"}', EXPIRED, "<html>"])
def test_any_400_to_a_code_means_that_the_code_is_spent(body: str) -> None:
    """A code works once: after a 400 it is never tried again."""
    assert judge_token_answer(400, body, code_grant=True) is Verdict.LOGIN_REFUSED
    assert judge_token_answer(503, body, code_grant=True) is Verdict.TRANSIENT


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, "{}", Verdict.OK),
        (401, '{"errors":[]}', Verdict.UNAUTHORIZED),
        (401, "", Verdict.UNAUTHORIZED),
        (403, '{"message":"no"}', Verdict.UNAUTHORIZED),
        (403, "<HTML>Access Denied", Verdict.TRANSIENT),
        (429, "{}", Verdict.TRANSIENT),
        (502, "", Verdict.TRANSIENT),
    ],
)
def test_rest_answers_are_distinguished(status: int, body: str, verdict: Verdict) -> None:
    """A REST call blames the token only for a 401, or for a 403 that Schwab itself wrote."""
    assert judge_rest_answer(status, body) is verdict


def test_an_error_is_named_only_when_the_name_is_harmless() -> None:
    """Nothing but an OAuth error's own name is ever taken from a body into a message."""
    assert error_name(BARE) == "unsupported_token_type"
    assert error_name('{"error": "I0.SECRET@"}') == ""
    assert error_name("<html>") == ""


SLIPS = {
    "whole address": URL,
    "quotes": f"'{URL}'",
    "double quotes": f'"{URL}"',
    "typographic quotes": f"\u201c{URL}\u201d",
    "angle brackets": f"<{URL}>",
    "blanks around": f"   {URL}  \r\n",
    "line break in the code": URL[:60] + "\n" + URL[60:],
    "windows line break": URL[:70] + "\r\n  " + URL[70:],
    "bracketed paste": f"\x1b[200~{URL}\x1b[201~",
    "html ampersands": URL.replace("&", "&amp;"),
    "at sign already decoded": URL.replace("%40", "@"),
    "encoded twice": URL.replace("%40", "%2540"),
    "encoded five times": URL.replace("%40", "%252525252540"),
    "all of it encoded": quote(URL, safe=""),
    "at sign lost": URL.replace("%40", ""),
    "without scheme": URL.removeprefix("https://"),
    "query alone": URL.partition("?")[2],
    "code alone": CODE,
    "code alone, encoded": CODE.replace("@", "%40"),
    "code alone, no at sign": CODE[:-1],
    "code in quotes": f"`{CODE}`",
    "code and session": f"{quote(CODE)}&session=1d2c",
    "zero width space": f"\ufeff{URL[:50]}\u200b{URL[50:]}",
    "trailing comma": f"{CODE},",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_every_common_slip_is_forgiven(slip: str) -> None:
    """The code is found in any copy of an address or code that has all of it."""
    pasted = read_paste(SLIPS[slip])
    assert pasted.code == CODE
    assert not pasted.problem
    assert pasted.state in (None, "st4te")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing"),
        ("  \n '' ", "nothing"),
        ("https://127.0.0.1:8182/", "no code"),
        ("https://127.0.0.1:8182/?code=", "no code"),
        ("hello world", "no code"),
        ("https://api.schwabapi.com/v1/oauth/authorize?client_id=x&redirect_uri=y", "login page"),
        ("https://127.0.0.1:8182/?error=access_denied&state=x", "access_denied"),
        ("https://127.0.0.1:8182/?error=%3Cscript%3E", "an error"),
        (f"code={'x' * 5000}", "no code"),
    ],
)
def test_input_that_is_not_a_code_is_explained(text: str, words: str) -> None:
    """An unusable paste is answered with a sentence about it."""
    pasted = read_paste(text)
    assert words in pasted.problem
    assert not pasted.code


def test_a_cut_code_is_not_whole_yet() -> None:
    """A code whose end has not come is not taken as all of it."""
    assert not read_paste(URL[:60]).whole
    assert read_paste(URL).whole
    assert not read_paste(CODE[:-1]).whole


@given(st.text(), st.text())
def test_no_paste_whatsoever_raises(before: str, after: str) -> None:
    """Hostile or accidental input ends in a code that fits a header, or in a sentence."""
    for text in (before, before + URL + after, f"{before}code={after}", f"C0.{after}"):
        pasted = read_paste(text)
        assert bool(pasted.code) != bool(pasted.problem)
        assert pasted.code.isascii()
        assert "\n" not in pasted.problem


@given(st.text())
def test_no_redirect_whatsoever_raises(target: str) -> None:
    """Any request to the callback's port is read without an exception."""
    for text in (target, f"/?{target}", f"/?code={target}&state={target}", f"//[{target}"):
        redirect = read_redirect(text)
        assert bool(redirect.code) != bool(redirect.problem)


def test_the_redirect_of_schwab_is_read_strictly() -> None:
    """The server's own reading decodes once and keeps the state."""
    redirect = read_redirect(f"/?code={quote(CODE)}&session=1&state=st4te")
    assert (redirect.code, redirect.state, redirect.problem) == (CODE, "st4te", "")
    assert "access_denied" in read_redirect("/?error=access_denied&state=x").problem


def test_no_code_shows_in_a_representation() -> None:
    """A redirect can be logged without giving its code away."""
    assert CODE not in repr(read_paste(URL))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("99999999", 3600),
        ("soon", None),
        ("", None),
        (None, None),
        ("-5", None),
        ("\u0664\u0662\u00b2", None),
    ],
)
def test_retry_after_is_read_or_unknown(header: str | None, seconds: float | None) -> None:
    """A Retry-After counts in seconds, at most an hour; nonsense is as if it were not there."""
    assert retry_after_s(header, NOW) == seconds


def test_retry_after_can_be_a_date() -> None:
    """A date in the future is the time until then, one in the past is now."""
    assert retry_after_s(formatdate(NOW + 60, usegmt=True), NOW) == 60
    assert retry_after_s(formatdate(NOW - 60, usegmt=True), NOW) == 0
