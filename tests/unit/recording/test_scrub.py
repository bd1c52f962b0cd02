"""Secrets are removed before anything is written; everything else stays byte for byte."""

import json
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.recording.scrub import Scrubber

FRAMES = [
    json.loads(line)["raw"].encode()
    for line in (Path(__file__).parents[2] / "fixtures" / "frames.jsonl").read_text(encoding="utf-8").splitlines()
]
TOKEN = "I0.b2F1dGgyLmNkYy5zY2h3YWIuY29t.secret-access-token@"
CUSTOMER = "ab" * 32
CORREL = "c0ffee00-5b8b-4fd3-9bed-7f4910600000"
LOGIN = json.dumps(
    {
        "requests": [
            {
                "service": "ADMIN",
                "command": "LOGIN",
                "requestid": "1",
                "SchwabClientCustomerId": CUSTOMER,
                "SchwabClientCorrelId": CORREL,
                "parameters": {"Authorization": TOKEN, "SchwabClientChannel": "N9"},
            }
        ]
    }
)


def test_a_login_keeps_its_shape_and_loses_its_secrets() -> None:
    """The LOGIN command is recorded without token and ids."""
    clean = Scrubber().command(LOGIN)
    assert not any(secret in clean for secret in (TOKEN, CUSTOMER, CORREL))
    (request,) = json.loads(clean)["requests"]
    assert (request["command"], request["requestid"]) == ("LOGIN", "1")
    assert request["parameters"] == {"Authorization": "*", "SchwabClientChannel": "N9"}


def test_a_subscription_loses_only_its_ids() -> None:
    """Requests stay readable: a replay needs them."""
    request = {"service": "FUTURES_BOOK", "command": "SUBS", "requestid": "4", "parameters": {"keys": "/NQ"}}
    clean = Scrubber().command(json.dumps({"requests": [{**request, "SchwabClientCorrelId": CORREL}]}))
    assert json.loads(clean)["requests"] == [{**request, "SchwabClientCorrelId": "*"}]


def test_an_account_subscription_loses_its_parameters() -> None:
    """The key of an account subscription is the client's own string, and may be an id."""
    request = {"service": "ACCT_ACTIVITY", "command": "SUBS", "requestid": "4", "parameters": {"keys": "12345678"}}
    assert "12345678" not in Scrubber().command(json.dumps(request))


def test_a_command_that_is_none_is_not_kept() -> None:
    """A frame that cannot be read cannot be cleaned."""
    assert Scrubber().command(f"{{broken {TOKEN}") == ""


def test_learned_secrets_are_found_wherever_they_stand() -> None:
    """A server that quotes the token or an id in a message does not get it into the recording."""
    scrubber = Scrubber()
    scrubber.command(LOGIN)
    frame = orjson.dumps({"response": [{"content": {"code": 3, "msg": f"denied: {TOKEN} of {CUSTOMER}"}}]})
    clean = scrubber.frame(frame)
    assert TOKEN.encode() not in clean
    assert CUSTOMER.encode() not in clean
    assert orjson.loads(clean)["response"][0]["content"] == {"code": 3, "msg": "denied: * of *"}


def test_ids_in_answers_go_even_when_nobody_logged_in() -> None:
    """An answer echoes the ids under their names; those are emptied without having been learned."""
    clean = Scrubber().frame(b'{"response":[{"SchwabClientCorrelId" : "never-seen","content":{"code":0}}]}')
    assert clean == b'{"response":[{"SchwabClientCorrelId" : "*","content":{"code":0}}]}'


def test_short_ids_do_not_eat_prices() -> None:
    """An id too short to be one is not looked for among prices."""
    scrubber = Scrubber()
    scrubber.command(json.dumps({"service": "ADMIN", "SchwabClientCustomerId": "1", "SchwabClientCorrelId": "2"}))
    frame = b'{"data":[{"service":"LEVELONE_FUTURES","content":[{"key":"/NQ","1":1212.25}]}]}'
    assert scrubber.frame(frame) is frame


def test_account_data_is_dropped_and_market_data_beside_it_kept() -> None:
    """One frame may hold both; only the account's part is removed."""
    quote = {"service": "LEVELONE_EQUITIES", "content": [{"key": "AAPL", "3": 233.31}]}
    order = {"service": "ACCT_ACTIVITY", "content": [{"1": "12345678", "2": "OrderCreated", "3": "{}"}]}
    clean = orjson.loads(Scrubber().frame(orjson.dumps({"data": [order, quote]})))
    assert clean["data"][0]["content"] == []
    assert clean["data"][1] == quote


def test_account_data_that_cannot_be_read_is_not_kept() -> None:
    """A broken frame that speaks of an account leaves nothing but the fact."""
    scrubber = Scrubber()
    for frame in (
        b'{"data":[{"service":"ACCT_ACTIVITY","content":[{"1":"12345678","9":NaN}]}]}',
        b'[{"service":"ACCT_ACTIVITY","1":"12345678"}]',
        b'{"data":{"service":"ACCT_ACTIVITY","1":"12345678"}}',
        b'{"data":["ACCT_ACTIVITY 12345678"]}',
        b'{"notify":[{"service":"ACCT_ACTIVITY","content":{"msg":"12345678"}}]}',
        b'{"data":[{"content":["ACCT_ACTIVITY 12345678"]}]}',
    ):
        assert b"12345678" not in scrubber.frame(frame)


def test_account_numbers_in_answers_are_masked() -> None:
    """The text of an answer or a notice stays readable without the number of an account."""
    scrubber = Scrubber()
    for frame, clean in (
        (
            b'{"response":[{"service":"ACCT_ACTIVITY","content":{"code":11,"msg":"no 12345678 \\"x"}}]}',
            b'"no ****5678 \\"x"',
        ),
        (b'{"notify":[{"service":"ADMIN","content":{"code":12,"msg":"for 1234-5678"}}]}', b'"for ****5678"'),
    ):
        assert clean in scrubber.frame(frame)


def test_an_answer_about_the_account_service_stays() -> None:
    """Whether the service was available is not a secret."""
    frame = b'{"response":[{"service":"ACCT_ACTIVITY","content":{"code":11,"msg":"not available"}}]}'
    assert orjson.loads(Scrubber().frame(frame)) == orjson.loads(frame)


def test_recorded_frames_without_secrets_stay_as_they_are() -> None:
    """Every published frame of market data passes byte for byte, broken ones included."""
    for frame in FRAMES:
        if b"ACTIVITY" not in frame and b"SchwabClient" not in frame:
            assert Scrubber().frame(frame) is frame


@given(st.binary(max_size=300))
def test_any_bytes_pass(noise: bytes) -> None:
    """Nothing that arrives raises, and the token never passes."""
    scrubber = Scrubber()
    scrubber.command(LOGIN)
    assert TOKEN.encode() not in scrubber.frame(noise + TOKEN.encode() + noise)
    assert scrubber.frame(b"_ACTIVITY" + noise) is not None
