"""The bytes of a token file and the login they hold, in any supported format, encrypted or not.

A wrong or missing key has its own error, and is never mistaken for a damaged file. A file is encrypted when
``SCHWAB_TOKEN_KEY`` is set: Fernet inside a JSON envelope. Schwabdev's database is read, and never written.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schwabstream.auth.formats import Found, read_content, read_schwabdev_row
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import ConfigurationError, TokenFileError

KEYRING = "keyring"
_ENVELOPE = "schwabstream_fernet"
_KEYRING_SERVICE = "schwabstream"
_SQLITE_MAGIC = b"SQLite format 3\0"
_MAKE_A_KEY = 'make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class TokenCipher:
    """Encrypts and decrypts the content of a token file with one key."""

    def __init__(self, setting: str, path: Path) -> None:
        """Accept a value of ``SCHWAB_TOKEN_KEY``: a Fernet key, or ``keyring`` for the system's key ring.

        ``ConfigurationError`` when it is neither.
        """
        from cryptography.fernet import Fernet

        key = _key_from_keyring(path) if setting.strip() == KEYRING else setting.strip()
        try:
            self._fernet = Fernet(key.encode())
        except ValueError:
            raise ConfigurationError(f"SCHWAB_TOKEN_KEY is not a Fernet key; {_MAKE_A_KEY}") from None

    def encrypt(self, content: bytes) -> str:
        """Return the content, encrypted, as text."""
        return self._fernet.encrypt(content).decode()

    def decrypt(self, text: str, path: Path) -> bytes:
        """Return the decrypted content; ``TokenFileError`` when it was encrypted with another key."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(text.encode())
        except InvalidToken:
            raise TokenFileError(
                f"the token file {path} was encrypted with a key other than SCHWAB_TOKEN_KEY: set the key that it "
                "was written with, or log in again: schwabstream auth login --force"
            ) from None


def encode(tokens: TokenSet, cipher: TokenCipher | None) -> bytes:
    """Return the bytes of a token file."""
    content = json.dumps(tokens.to_file()).encode()
    if cipher:
        content = json.dumps({_ENVELOPE: cipher.encrypt(content)}).encode()
    return content + b"\n"


def is_encrypted(content: bytes) -> bool:
    """Whether these bytes are an encrypted token file."""
    return content.lstrip().startswith(f'{{"{_ENVELOPE}"'.encode())


def decode(content: bytes, path: Path, cipher: TokenCipher | None) -> Found:
    """Read a token file in any supported format.

    ``ValueError`` names the problem of a damaged or foreign file without quoting it; ``TokenFileError`` means a
    missing or wrong key. ``path`` is where the bytes came from.
    """
    if content.startswith(_SQLITE_MAGIC):
        return _read_schwabdev_database(path)
    if not content.strip(b"\0 \t\r\n"):
        raise ValueError("it is empty")
    parsed = _parse(content)
    if isinstance(parsed, Mapping) and isinstance(parsed.get(_ENVELOPE), str):
        if cipher is None:
            raise TokenFileError(f"the token file {path} is encrypted: set SCHWAB_TOKEN_KEY to its key")
        parsed = _parse(cipher.decrypt(parsed[_ENVELOPE], path))
    return read_content(parsed)


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON, or cut short") from None


def _read_schwabdev_database(path: Path) -> Found:
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            row = connection.execute("SELECT * FROM schwabdev LIMIT 1").fetchone()
    except sqlite3.Error:
        raise ValueError("it is a database without Schwabdev's table") from None
    if row is None:
        raise ValueError("Schwabdev's table is empty")
    return read_schwabdev_row(dict(row))


def _key_from_keyring(path: Path) -> str:
    """Return this token file's key from the system's key ring; create it the first time."""
    from cryptography.fernet import Fernet

    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ConfigurationError("SCHWAB_TOKEN_KEY=keyring needs an extra package: pip install keyring") from None
    try:
        key: str | None = keyring.get_password(_KEYRING_SERVICE, str(path))
        if key is None:
            key = Fernet.generate_key().decode()
            keyring.set_password(_KEYRING_SERVICE, str(path), key)
    except KeyringError as error:
        raise ConfigurationError(
            f"the system's key ring does not answer ({type(error).__name__}): unlock it, or put a key into "
            "SCHWAB_TOKEN_KEY"
        ) from error
    return key
