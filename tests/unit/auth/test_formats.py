"""Every older format of a token file."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.auth.formats import OURS, read_content, read_schwabdev_row

NOW = 1_800_000_000.0
ISO = datetime.fromtimestamp(NOW, UTC).isoformat()
TOKEN: dict[str, Any] = {
    "access_token": "I0.a@", "refresh_token": "R0.r@", "expires_in": 1800, "token_type": "Bearer", "scope": "api"
}  # fmt: skip
ROW = {**TOKEN, "access_token_issued": ISO, "refresh_token_issued": ISO, "id_token": "j"}

FORMATS = {
    "ours": ({"creation_timestamp": NOW, "token": {**TOKEN, "expires_at": NOW + 1800}}, OURS, NOW, NOW + 1800),
    "bare": ({**TOKEN, "expires_at": NOW + 1800}, "bare OAuth token", None, NOW + 1800),
    "bare in milliseconds": ({**TOKEN, "expires_at": (NOW + 5) * 1000}, "bare OAuth token", None, NOW + 5),
    "flat with a time": (
        {"access_token": "a", "refresh_token": "r", "expires_at": ISO}, "bare OAuth token", None, NOW,
    ),
    "flat with a word": (
        {"access_token": "a", "refresh_token": "r", "expires_at": "soon"}, "bare OAuth token", None, 0.0,
    ),
    "wrapped without metadata": (
        {"token": {**TOKEN, "expires_at": NOW}}, "schwab-py without metadata", None, NOW,
    ),
    "Schwabdev": (
        {"access_token_issued": ISO, "refresh_token_issued": ISO, "token_dictionary": TOKEN},
        "Schwabdev JSON", NOW, NOW + 1800,
    ),
    "Schwabdev without a zone": (
        {"access_token_issued": ISO[:-6], "refresh_token_issued": ISO[:-6], "token_dictionary": TOKEN},
        "Schwabdev JSON", NOW, NOW + 1800,
    ),
    "Schwabdev without times": ({"token_dictionary": TOKEN}, "Schwabdev JSON", None, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_recognized_and_read(name: str) -> None:
    """Each format gives its tokens, its expiry and, where it has one, the age of its login."""
    content, name_of_format, login_at, expires_at = FORMATS[name]
    found = read_content(content)
    assert found.format == name_of_format
    assert found.is_legacy == (name_of_format != OURS)
    assert (found.tokens.login_at, found.tokens.expires_at) == (login_at, expires_at)
    assert found.tokens.access_token == content.get("token", content.get("token_dictionary", content))["access_token"]


def test_a_row_of_schwabdevs_table_is_read() -> None:
    """Schwabdev's table keeps the age of the login."""
    found = read_schwabdev_row(ROW)
    assert (found.tokens.login_at, found.tokens.expires_at, found.format) == (NOW, NOW + 1800, "Schwabdev SQLite")


def test_an_encrypted_row_is_refused() -> None:
    """A value that Schwabdev encrypted is not mistaken for a token."""
    with pytest.raises(ValueError, match="encrypted"):
        read_schwabdev_row({**ROW, "refresh_token": "enc:gAAAA"})


@pytest.mark.parametrize(
    "content", [None, [], "x", 5, {}, {"access_token": "a"}, {"token": {}}, {"token_dictionary": {}}]
)
def test_content_that_is_not_a_token_file_is_refused(content: object) -> None:
    """A foreign or damaged file is a ValueError, so that it is set aside and not used."""
    with pytest.raises(ValueError, match="it "):
        read_content(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*TOKEN, "token", "token_dictionary", "creation_timestamp", "refresh_token_issued"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_read_or_refused(content: object) -> None:
    """Any JSON in a file ends in tokens or a ValueError."""
    try:
        found = read_content(content)
    except ValueError:
        return
    assert found.tokens.to_file()
