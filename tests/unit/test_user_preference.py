"""The streamer's address and ids, out of userPreference."""

from typing import Any

import pytest

from schwabstream.errors import ProtocolError
from schwabstream.user_preference import read_streamer_login

INFO = {
    "streamerSocketUrl": "wss://streamer",
    "schwabClientCustomerId": "customer",
    "schwabClientCorrelId": "theirs",
    "schwabClientChannel": "N9",
    "schwabClientFunctionId": "APIAPP",
}


@pytest.mark.parametrize("content", [{"streamerInfo": [INFO]}, [{"streamerInfo": [INFO, {}]}]])
def test_an_object_and_a_list_of_one_say_the_same(content: Any) -> None:
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
    """Whatever JSON holds, the result is one error."""
    with pytest.raises(ProtocolError, match="names no streamer"):
        read_streamer_login(content, "access", "ours")
