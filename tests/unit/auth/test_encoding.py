"""The bytes of a token file: encoded and decoded, encrypted on request, and errors that quote nothing."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.auth.encoding import TokenCipher, decode, encode, is_encrypted
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import ConfigurationError, SchwabStreamError, TokenFileError

PATH = Path("/somewhere/schwab_token.json")
TOKENS = TokenSet("I0.access@", "R0.refresh@", 1_800_001_800.0, 1_800_000_000.0, {"scope": "api"})


def cipher() -> TokenCipher:
    """A cipher with a key of its own."""
    return TokenCipher(Fernet.generate_key().decode(), PATH)


@pytest.mark.parametrize("with_key", [False, True])
def test_what_is_encoded_is_decoded(with_key: bool) -> None:
    """Decoding gives the login that was encoded, with and without a key, and needs no rewrite."""
    key = cipher() if with_key else None
    content = encode(TOKENS, key)
    assert decode(content, PATH, key).tokens == TOKENS
    assert is_encrypted(content) is with_key
    assert (b"refresh@" in content) is not with_key


def test_a_wrong_or_missing_key_is_an_error_about_the_key() -> None:
    """An encrypted file without its key is a TokenFileError, not damage, and the message names the setting."""
    content = encode(TOKENS, cipher())
    with pytest.raises(TokenFileError, match="a key other than SCHWAB_TOKEN_KEY"):
        decode(content, PATH, cipher())
    with pytest.raises(TokenFileError, match="set SCHWAB_TOKEN_KEY"):
        decode(content, PATH, None)


def test_a_plain_file_is_read_although_there_is_a_key() -> None:
    """A key set later does not shut out the file written before."""
    assert decode(encode(TOKENS, None), PATH, cipher()).tokens == TOKENS


@given(st.binary(max_size=200) | st.builds(lambda text: json.dumps(text).encode(), st.text() | st.lists(st.integers())))
def test_damage_is_a_value_error_that_quotes_nothing(content: bytes) -> None:
    """Any other bytes are a ValueError or an error of ours, and its message holds none of them."""
    with pytest.raises((ValueError, SchwabStreamError)) as caught:
        decode(b"PLANTED" + content, PATH, None)
    assert "PLANTED" not in str(caught.value)
    with pytest.raises((ValueError, SchwabStreamError)):
        decode(content, PATH, None)


def test_the_key_can_live_in_the_systems_key_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``keyring`` a key is made once per token file, kept in the key ring and found there again."""
    ring: dict[tuple[str, str], str] = {}
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    errors.KeyringError = KeyError  # type: ignore[attr-defined]  # a stand-in for the optional package
    keyring.get_password = lambda *name: ring.get(name)  # type: ignore[attr-defined]  # same
    keyring.set_password = lambda *name: ring.update({name[:2]: name[2]})  # type: ignore[attr-defined]  # same
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    content = encode(TOKENS, TokenCipher("keyring", PATH))
    assert list(ring) == [("schwabstream", str(PATH))]
    assert decode(content, PATH, TokenCipher("keyring", PATH)).tokens == TOKENS
    keyring.get_password = lambda *name: {}[name]  # type: ignore[attr-defined]  # same
    with pytest.raises(ConfigurationError, match="does not answer"):
        TokenCipher("keyring", PATH)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        TokenCipher("keyring", PATH)


@pytest.mark.parametrize("key", ["hunter2", "", "ä" * 44])
def test_a_key_of_the_wrong_form_is_explained(key: str) -> None:
    """A key of the wrong form is a ConfigurationError that shows how to make one and does not repeat it."""
    with pytest.raises(ConfigurationError, match="generate_key") as caught:
        TokenCipher(key, PATH)
    assert not key or key not in str(caught.value)
