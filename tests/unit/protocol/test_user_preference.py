"""Out of userPreference: the streamer's address and ids, and what the account may see."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.errors import ProtocolError
from schwabstream.protocol.user_preference import Entitlements, read_entitlements, read_streamer_login

INFO = {
    "streamerSocketUrl": "wss://streamer",
    "schwabClientCustomerId": "customer",
    "schwabClientCorrelId": "theirs",
    "schwabClientChannel": "N9",
    "schwabClientFunctionId": "APIAPP",
}
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["offers", "streamerInfo", "level2Permissions", *INFO]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("content", [{"streamerInfo": [INFO]}, [{"streamerInfo": [INFO, {}]}]])
def test_an_object_and_a_list_of_one_give_the_same(content: Any) -> None:
    """Both forms of Schwab's answer give a login, with its correlation id when it names one."""
    login = read_streamer_login(content, "access", "ours")
    assert (login.socket_url, login.customer_id, login.correl_id) == ("wss://streamer", "customer", "theirs")
    assert (login.channel, login.function_id, login.access_token) == ("N9", "APIAPP", "access")


def test_a_missing_correlation_id_is_ours() -> None:
    """Without one of Schwab's the given id counts."""
    info = {name: value for name, value in INFO.items() if name != "schwabClientCorrelId"}
    assert read_streamer_login({"streamerInfo": [info]}, "access", "ours").correl_id == "ours"


@pytest.mark.parametrize("name", [name for name in INFO if name != "schwabClientCorrelId"])
@pytest.mark.parametrize("value", [None, "", 5, ["x"]])
def test_what_a_login_needs_must_be_text(name: str, value: object) -> None:
    """An address or id that misses, is empty or is something else breaks the protocol."""
    with pytest.raises(ProtocolError, match="names no streamer"):
        read_streamer_login({"streamerInfo": [{**INFO, name: value}]}, "access", "ours")


@pytest.mark.parametrize("content", [None, [], "x", {}, {"streamerInfo": []}, {"streamerInfo": "x"}])
def test_anything_else_breaks_the_protocol(content: object) -> None:
    """Any JSON ends in a login or one error."""
    with pytest.raises(ProtocolError, match="names no streamer"):
        read_streamer_login(content, "access", "ours")


@pytest.mark.parametrize(
    ("offer", "expected", "missing"),
    [
        ({"level2Permissions": True, "mktDataPermission": "NP"}, Entitlements(True, "non-professional"), []),
        ({"level2Permissions": False, "mktDataPermission": "PP"}, Entitlements(False, "professional"), ["no_level2"]),
        ({"level2Permissions": True}, Entitlements(True, None), ["no_market_data"]),
        (
            {"level2Permissions": "true", "mktDataPermission": 1},
            Entitlements(False, None),
            ["no_level2", "no_market_data"],
        ),
        ({}, Entitlements(False, None), ["no_level2", "no_market_data"]),
    ],
)
def test_what_is_not_granted_is_missing(offer: object, expected: Entitlements, missing: list[str]) -> None:
    """Only what Schwab grants in its own words counts; each thing missing has a word and a sentence with the remedy."""
    found = read_entitlements({"offers": [offer]})
    assert found == expected
    assert list(found.missing()) == missing


@given(_ANYTHING)
def test_any_json_is_an_answer_or_one_error(content: object) -> None:
    """Nothing that Schwab may send raises anything but ``ProtocolError``."""
    read_entitlements(content)
    with contextlib.suppress(ProtocolError):
        read_streamer_login(content, "token", "spare")
